"""Reading a plan file: one descriptor, read against its hash when it is opened, and again whenever it is used.

A plan waits, for an approval or for its turn, in a folder where somebody may write. So a run keeps what it opened open,
and with it the digest up to every mebibyte: a file put in its place is not read at all, and bytes that were altered in
place are never given out. That costs one more SHA-256 of the packed file, and 32 bytes of memory a mebibyte.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import orjson
import zstandard
from pydantic import ValidationError

from tasks.changes.errors import PlanDamaged
from tasks.changes.plan_file import CHUNK, FORMAT, TRAILER, TRAILER_LENGTH, TRAILER_MAGIC, Counts, Header, seal_of
from tasks.changes.plan_store import PlanStore

NAME_ENDS: Final = re.compile(r"-([0-9a-f]{8})\.plan\.zst")
TORN: Final = (OSError, ValueError, KeyError, TypeError, struct.error, zstandard.ZstdError, MemoryError)
"""What reading a file raises that is no plan, or only a part of one."""


class SealedFile:
    """A sealed plan file, held open.

    Raises PlanDamaged where it is missing, torn, altered or of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = _opened(path)
        weakref.finalize(self, os.close, self._descriptor)
        self._check_format()
        self._read_footer()
        self._marks: list[bytes] = []
        self.hash = self._read_body()
        self.header = Header.model_validate_json(next(self.lines()))

    def __reduce__(self) -> NoReturn:
        message = f"{self.path} is held open, so that only what was read can be applied; that cannot be pickled."
        raise TypeError(message)

    def lines(self) -> Iterator[bytes]:
        """Read the header, the actions and the footer, a line each.

        Raises PlanDamaged before it gives out anything that has been altered since the file was opened.
        """
        unpacker = zstandard.ZstdDecompressor()
        with unpacker.stream_reader(_Unaltered(self), read_size=CHUNK, read_across_frames=True) as unpacked:  # type: ignore[arg-type]
            yield from io.BufferedReader(unpacked, CHUNK)
        yield self._footer

    def check(self) -> None:
        """Raise PlanDamaged unless its path still leads to it, and it still holds what it held."""
        try:
            same = os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except OSError as error:
            message = f"{self.path} is gone: {error.strerror}."
            raise PlanDamaged(message) from error
        if not same:
            message = f"{self.path} is another file than the one that was read."
            raise PlanDamaged(message)
        for _ in self.chunks():
            pass
        if self._tail != os.pread(self._descriptor, len(self._tail) + 1, self._length):
            raise self._altered()

    def chunks(self) -> Iterator[bytes]:
        """Read the packed header and actions, each chunk only given out if it is as it was when the file was opened."""
        digest = hashlib.sha256()
        for chunk, mark in zip(self._chunks(), self._marks, strict=True):
            digest.update(chunk)
            if digest.digest() != mark:
                raise self._altered()
            yield chunk

    def _chunks(self) -> Iterator[bytes]:
        return (
            os.pread(self._descriptor, min(CHUNK, self._length - place), place)
            for place in range(0, self._length, CHUNK)
        )

    def _altered(self) -> PlanDamaged:
        return PlanDamaged(f"{self.path} was altered since it was read: its bytes are others. Make a new plan.")

    def _check_format(self) -> None:
        """Read what made the file before anything else: another format may have another footer."""
        try:
            unpacker = zstandard.ZstdDecompressor()
            with os.fdopen(os.dup(self._descriptor), "rb") as file, unpacker.stream_reader(file) as unpacked:
                line = io.BufferedReader(unpacked).readline()
            first = orjson.loads(line)
            made_by = f"{first['job']} {first['version']}"
            if first["format"] == FORMAT:
                Header.model_validate(first)
        except (*TORN, ValidationError) as error:
            message = f"{self.path} is not a plan file, or its beginning is torn."
            raise PlanDamaged(message) from error
        if first["format"] != FORMAT:
            message = (
                f"{self.path} has plan format {first['format']} (made by {made_by}), this Steward reads {FORMAT}; "
                "use the version that made it."
            )
            raise PlanDamaged(message)

    def _read_footer(self) -> None:
        """Read the counts and the hash by the trailer, which says where they begin."""
        try:
            size = os.fstat(self._descriptor).st_size
            trailer = os.pread(self._descriptor, TRAILER.size, max(0, size - TRAILER.size))
            magic, length, place = TRAILER.unpack(trailer)
            if (magic, length) != (TRAILER_MAGIC, TRAILER_LENGTH) or not 0 < place < size - TRAILER.size:
                _no_trailer()
            self._length, self._tail = place, os.pread(self._descriptor, size - place, place)
            self._footer = zstandard.ZstdDecompressor().decompress(self._tail[: -TRAILER.size])
            footer: dict[str, Any] = orjson.loads(self._footer)
            self.counts, self._given = Counts.model_validate(footer["counts"]), footer["sha256"]
            self._counted: dict[str, Any] = footer["counts"]
        except TORN as error:
            message = (
                f"{self.path} is torn: it has no footer. It was never sealed, or a part is missing; make a new plan."
            )
            raise PlanDamaged(message) from error

    def _read_body(self) -> str:
        """Read the whole file without unpacking it; return its hash, and keep the digest up to each chunk."""
        digest = hashlib.sha256()
        for chunk in self._chunks():
            digest.update(chunk)
            self._marks.append(digest.digest())
        seal = seal_of(digest, self._counted)
        if seal != self._given:
            message = f"{self.path} was altered after it was sealed: its hash does not match. Make a new plan."
            raise PlanDamaged(message)
        return seal


class _Unaltered:
    """What a decompressor reads from."""

    def __init__(self, file: SealedFile) -> None:
        self._chunks = file.chunks()

    def read(self, _size: int) -> bytes:
        return next(self._chunks, b"")


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # or a pipe would be waited for
    except FileNotFoundError as error:
        message = f"There is no plan file {path}."
        raise PlanDamaged(message) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise PlanDamaged(message) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        message = f"{path} is no plan file: it is no file at all."
        raise PlanDamaged(message)
    return descriptor


def _no_trailer() -> NoReturn:
    message = "no trailer"
    raise ValueError(message)


def open_file(plan: str, plans: str | None = None, wanted: str | None = None) -> SealedFile:
    """Open a sealed plan's file by path or name, after reading all of it against its hash.

    Raises PlanDamaged where it is missing, torn or altered, or another than its name or the hash `wanted` says.
    """
    file = SealedFile(PlanStore.at(plans, reading=True).fetch(plan))
    check_name(file)
    if wanted is not None:
        check_hash(file, wanted)
    return file


def check_name(file: SealedFile) -> None:
    """Raise PlanDamaged where a plan's name, which ends with the beginning of its hash, is another plan's."""
    if (found := NAME_ENDS.search(file.path.name)) and not file.hash.startswith(found[1]):
        message = (
            f"{file.path} holds another plan than its name says: its hash begins with {file.hash[:8]}. "
            "It was replaced or renamed; look for the plan that was meant."
        )
        raise PlanDamaged(message)


def check_hash(file: SealedFile, wanted: str) -> None:
    """Raise PlanDamaged unless the plan has this hash, or one that begins so."""
    if not file.hash.startswith(wanted.lower()):
        message = f"{file.path} has the hash {file.hash}, not {wanted}: it is another plan. Look for the one you read."
        raise PlanDamaged(message)

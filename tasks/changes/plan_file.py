"""The plan file: zstd-compressed JSON lines, a header first, one action a line, a sealed footer last.

The footer is a zstd frame of its own, found by a trailer, so that a seal can be checked without unpacking the rest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import msgspec
import orjson
import zstandard
from pydantic import BaseModel, ConfigDict

from tasks.changes.protocols import Action, Identity, Image

FORMAT = 1
PROBLEMS_KEPT = 100
CHUNK = 1 << 20
PLAIN = {str, int, bool, type(None)}
# A zstd frame that readers skip: its magic number, its length, and where the footer's frame begins.
TRAILER = struct.Struct("<IIQ")
TRAILER_MAGIC, TRAILER_LENGTH = 0x184D2A50, 8


class Header(BaseModel):
    """The first line: what made the plan, for which store. Holds no secret."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    job: str
    version: str
    store: str
    undoable: bool
    parameters: dict[str, Any]
    created: str
    identity: Identity = Identity()
    """How the store's server can be recognised; a plan from before that was kept has an empty one."""
    sources: list[str] = []
    """What else the judge read, such as the databases whose rows reference objects; by address, without secrets."""


class Group(BaseModel):
    """How many records of a group the plan changes, and how many it could have changed."""

    planned: int = 0
    population: int = 0


class Counts(BaseModel):
    """What the scan saw and what is planned; the footer's content, so its names are the file's format."""

    scanned: int = 0
    planned: int = 0
    frees: int = 0
    because: dict[str, int] = {}
    kept: dict[str, int] = {}
    ignored: dict[str, int] = {}
    problem_count: int = 0
    problems: list[dict[str, str]] = []
    remarks: list[str] = []
    grouped_by: str = ""
    groups: dict[str, Group] = {}
    """The groups of which the plan changes something, by name."""
    anchors: list[str] = []
    """Keys of a few records that the plan leaves alone, by which its store can be recognised."""

    @property
    def population(self) -> int:
        """Return how many records could have been removed or changed: planned, kept and problems."""
        return self.scanned - sum(self.ignored.values())


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """An action as one line holds it; what is absent is left out."""

    key: Any
    frees: int
    reason: str
    detail: str = ""
    before: Any = None
    after: Any = None


_encode_into: Final = msgspec.json.Encoder().encode_into
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def to_json(image: Image) -> str | dict[str, Any]:
    """Give bytes as text, or as {"base64": …} where they are not UTF-8; an object that looks so as {"object": …}."""
    if isinstance(image, str):
        return image
    if isinstance(image, dict):
        if not PLAIN.issuperset(map(type, image.values())):
            json.dumps(image, allow_nan=False)  # msgspec would write null for NaN, and undo would put back null
        return {"object": image} if image.keys() in ({"base64"}, {"object"}) else image
    try:
        return image.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(image).decode()}


def from_json(image: Any) -> Any:
    """Undo `to_json`, except that bytes which are UTF-8 stay text."""
    if isinstance(image, dict) and image.keys() == {"base64"}:
        return base64.b64decode(image["base64"])
    if isinstance(image, dict) and image.keys() == {"object"}:
        return image["object"]
    return image


def add_line(action: Action, lines: bytearray) -> None:
    """Write an action as one more line."""
    before = None if action.before is None else to_json(action.before)
    after = None if action.after is None else to_json(action.after)
    line = _Line(to_json(action.key), action.frees, action.reason, action.detail, before, after)
    _encode_into(line, lines, -1)
    lines += b"\n"


def action_of(line: bytes) -> Action:
    """Read an action back from its line."""
    found = orjson.loads(line)  # in a third of msgspec's time, where text has much to unescape
    key, before, after = found["key"], found.get("before"), found.get("after")
    if isinstance(key, dict) or isinstance(before, dict) or isinstance(after, dict):
        found = _decode(line)  # integers of any size
        key, before, after = (from_json(found.get(name)) for name in ("key", "before", "after"))
    return Action(key, before, after, found["frees"], found["reason"], found.get("detail", ""))


class _Digesting:
    """A file that keeps the SHA-256 of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)


def seal_of(digest: hashlib._Hash, counts: Mapping[str, Any]) -> str:
    """Give the SHA-256 of the packed header and actions, and of the counts."""
    digest.update(orjson.dumps(counts, option=orjson.OPT_SORT_KEYS))
    return digest.hexdigest()


@dataclass
class PlanWriter:
    """Writes a plan in constant memory; a file that was never sealed is removed.

    As a context manager it opens `path` for itself (mode 0600, never over another file).
    """

    path: Path
    header: Header
    counts: Counts = field(default_factory=Counts)

    def __enter__(self) -> Self:
        """Open the file and write the header."""
        header = orjson.dumps(self.header.model_dump(), option=orjson.OPT_APPEND_NEWLINE)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._body = _Digesting(self._file)
        self._packed = zstandard.ZstdCompressor(level=1, threads=1).stream_writer(self._body)  # type: ignore[arg-type]
        self._lines = bytearray(header)
        self._frees = 0
        self._because: Counter[str] = Counter()
        self._sealed = False
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Close the file; remove it where it was not sealed."""
        self._file.close()
        if not self._sealed:
            self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        self._packed.write(self._lines)
        self._lines.clear()

    def write(self, action: Action) -> None:
        """Add one action and count it."""
        add_line(action, self._lines)
        if len(self._lines) >= CHUNK:
            self._flush()
        self._frees += action.frees
        self._because[action.reason] += 1

    def seal(self) -> str:
        """Write the footer, make the file durable, and return the plan's hash."""
        self.counts.planned, self.counts.frees = self._because.total(), self._frees
        self.counts.because = dict(self._because)
        self._flush()
        self._packed.flush(zstandard.FLUSH_FRAME)
        place = self._file.tell()
        counts = self.counts.model_dump()
        seal = seal_of(self._body.digest, counts)
        footer = orjson.dumps({"counts": counts, "sha256": seal}, option=orjson.OPT_APPEND_NEWLINE)
        self._file.write(zstandard.ZstdCompressor(write_checksum=True).compress(footer))
        self._file.write(TRAILER.pack(TRAILER_MAGIC, TRAILER_LENGTH, place))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._sealed = True
        return seal

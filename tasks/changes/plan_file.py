"""The plan file: zstd-compressed JSON lines, a header first, one action a line, a sealed footer last."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import zstandard
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.changes.errors import PlanDamaged
from tasks.changes.protocols import Action, Image

FORMAT = 1
PROBLEMS_KEPT = 100
CHUNK = 1 << 20


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


class Counts(BaseModel):
    """What the scan saw and what is planned; the footer's content, so its names are the file's format."""

    scanned: int = 0
    planned: int = 0
    frees: int = 0
    because: dict[str, int] = {}
    kept: dict[str, int] = {}
    problem_count: int = 0
    problems: list[dict[str, str]] = []


def to_json(image: Image) -> str | dict[str, Any]:
    """Give bytes as text, or as {"base64": …} where they are not UTF-8; the rest as it is."""
    if not isinstance(image, bytes):
        return image
    try:
        return image.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(image).decode()}


def from_json(image: Any) -> Any:
    """Undo `to_json`, except that bytes which are UTF-8 stay text."""
    if isinstance(image, dict) and image.keys() == {"base64"}:
        return base64.b64decode(image["base64"])
    return image


def line_of(action: Action) -> bytes:
    """Write an action as one line; what is absent is left out."""
    line: dict[str, Any] = {"key": to_json(action.key), "frees": action.frees, "reason": action.reason}
    if action.detail:
        line["detail"] = action.detail
    if action.before is not None:
        line["before"] = to_json(action.before)
    if action.after is not None:
        line["after"] = to_json(action.after)
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def action_of(line: bytes) -> Action:
    """Read an action back from its line."""
    found = orjson.loads(line)
    get = found.get
    return Action(
        from_json(found["key"]),
        from_json(get("before")),
        from_json(get("after")),
        get("frees", 0),
        get("reason", ""),
        get("detail", ""),
    )


def seal_of(digest: hashlib._Hash, counts: Mapping[str, Any]) -> str:
    """Give the SHA-256 of the lines so far and of the counts."""
    sealed = digest.copy()
    sealed.update(orjson.dumps(counts, option=orjson.OPT_SORT_KEYS))
    return sealed.hexdigest()


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
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._packed = zstandard.ZstdCompressor(level=1, threads=1).stream_writer(self._file, closefd=False)
        self._digest = hashlib.sha256()
        self._lines: list[bytes] = []
        self._pending = 0
        self._frees = 0
        self._because: Counter[str] = Counter()
        self._append(orjson.dumps(self.header.model_dump(), option=orjson.OPT_APPEND_NEWLINE))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Close the file; remove it where it was not sealed."""
        self._file.close()
        if kind is not None:
            self.path.unlink(missing_ok=True)

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._pending += len(line)
        if self._pending >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        chunk = b"".join(self._lines)
        self._digest.update(chunk)
        self._packed.write(chunk)
        self._lines.clear()
        self._pending = 0

    def write(self, action: Action) -> None:
        """Add one action and count it."""
        self._append(line_of(action))
        self._frees += action.frees
        self._because[action.reason] += 1

    def seal(self) -> str:
        """Write the footer, make the file durable, and return the plan's hash."""
        self.counts.planned, self.counts.frees = self._because.total(), self._frees
        self.counts.because = dict(self._because)
        self._flush()
        counts = self.counts.model_dump()
        seal = seal_of(self._digest, counts)
        self._packed.write(orjson.dumps({"counts": counts, "sha256": seal}, option=orjson.OPT_APPEND_NEWLINE))
        self._packed.flush(zstandard.FLUSH_FRAME)
        self._file.flush()
        os.fsync(self._file.fileno())
        return seal


def lines_of(path: Path) -> Iterator[bytes]:
    """Read the file's lines, whatever they are."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as unpacked:
        yield from io.BufferedReader(unpacked, CHUNK)


def read_header(path: Path) -> Header:
    """Read the first line.

    Raises PlanDamaged where the file is no plan, or one of another format.
    """
    try:
        header = Header.model_validate_json(next(lines_of(path), b""))
    except FileNotFoundError as error:
        message = f"There is no plan file {path}."
        raise PlanDamaged(message) from error
    except (OSError, zstandard.ZstdError, ValidationError) as error:
        message = f"{path} is not a plan file, or its beginning is torn: {type(error).__name__}."
        raise PlanDamaged(message) from error
    if header.format != FORMAT:
        message = f"{path} has plan format {header.format}, this Steward reads {FORMAT}; use the version that made it."
        raise PlanDamaged(message)
    return header


def verify(path: Path) -> tuple[Counts, str]:
    """Read the whole file in constant memory and return its counts and hash.

    Raises PlanDamaged where the footer is missing or does not match what stands before it.
    """
    digest, last = hashlib.sha256(), b""
    try:
        for line in lines_of(path):
            digest.update(last)
            last = line
        footer = orjson.loads(last)
        seal = seal_of(digest, footer["counts"])
        counts = Counts.model_validate(footer["counts"])
    except (zstandard.ZstdError, orjson.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
        message = f"{path} is torn: it has no footer. It was never sealed, or a part is missing; make a new plan."
        raise PlanDamaged(message) from error
    if seal != footer["sha256"]:
        message = f"{path} was altered after it was sealed: its hash does not match. Nothing was done; make a new plan."
        raise PlanDamaged(message)
    return counts, seal

"""Batch downloads and their archives: which file a record names, and whether its record may go."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from msgspec import UNSET

from tasks.changes.groups import NAME_LENGTH
from tasks.changes.plan_file import Counts
from tasks.changes.protocols import Action, Ignore, Keep, Key, Problem, Remove, Verdict, text_of
from tasks.datashare.records import FINAL_STATES, Download, Task, UnreadableRecord, read_task
from tasks.stores.files import Folder

PRESENT: Final = Keep("archive is there")
# Those two are in no group: their archives too are gone, and do not speak for the folder.
TOO_YOUNG: Final = Keep("younger than the minimum age")
AGELESS: Final = Keep("age unknown")
NO_DOWNLOAD: Final = Ignore("not a batch download")
UNFINISHED: Final = Ignore("not finished")
CAME_BACK: Final = "archive came back"
GONE: Final = "archive is gone"
GONE_MISNAMED: Final = "archive is gone (and the task's id is not its field)"
NOT_ASKED: Final = {state: Ignore(f"state {state} is not to be removed") for state in FINAL_STATES}
FOLDERS: Final = 1 << 10
"""Folders whose verdicts are remembered; records name few."""

OTHER_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
NO_URI: Final = re.compile(r"[#?]|%(?![0-9A-Fa-f]{2})")
ORDINARY: Final = re.compile(r"[^.%#?\\\0][^%#?\\\0]+", re.DOTALL).fullmatch
# archive_<user>_<date>.zip, read from the right: a user's id may hold "_" too; before 2023 the time had ":".
DATE_IN_NAME: Final = re.compile(rb"_(\d{4}-\d\d-\d\dT\d\d)[_:](\d\d)[_:](\d\d)(\.\d{1,9})?Z[^_]*$")


class UnusableName(ValueError):
    """A record's file name leads to no file in the folder."""


def location_in(download: Download | None) -> str:
    """Give the location a batch download names: text, or the text of the typed mapper's pair.

    Raises UnusableName.
    """
    location = download.filename if download else None
    if isinstance(location, list) and len(location) == 2:
        location = location[1]
    if isinstance(location, str):
        return location
    message = "its batchDownload names no file"
    raise UnusableName(message)


def names_of(location: str) -> tuple[bytes, ...]:
    """Give the names under which the archive at a location may lie in a folder; only the last part counts.

    A `file:` URI is percent-decoded once; a plain path may be meant either way.
    Raises UnusableName where the last part is empty, a step up, or not a name at all.
    """
    return names_in(location, location.rpartition("/")[2])


def names_in(location: str, last: str) -> tuple[bytes, ...]:
    """Return the same, for who knows the last part already."""
    # Every archive of Datashare's has these two escapes and no other: a short cut, three times as fast.
    plain = last.replace("%5B", "[").replace("%5D", "]")
    if ORDINARY(plain) and location.startswith("file:/"):
        return (plain.encode(),)
    if location.startswith("file:/"):
        if NO_URI.search(last):
            message = f"{last!r} is not a valid part of a file URI"
            raise UnusableName(message)
        return (_checked(unquote_to_bytes(last)),)
    if OTHER_SCHEME.match(location):
        message = f"its archive is no local file: {location}"
        raise UnusableName(message)
    return _checked(last.encode()), _checked(unquote_to_bytes(last))


@lru_cache(FOLDERS)
def group_of(folder: str) -> str:
    """Return the group of the records that name a folder: its path, whether it is written as a `file:` URI or not."""
    if not folder.startswith("file:"):
        return folder or "(none)"
    return "/" + unquote(folder.removeprefix("file:")).strip("/")


@lru_cache(FOLDERS)
def present_in(folder: str) -> Keep:
    """Keep a record of this folder, for its archive is there."""
    return Keep(PRESENT.reason, group_of(folder))


def _checked(name: bytes) -> bytes:
    if name in (b"", b".", b"..") or b"/" in name or b"\\" in name or b"\0" in name:
        message = f"{name!r} is not the name of a file"
        raise UnusableName(message)
    return name


def time_of(task: Task, name: bytes) -> datetime | None:
    """Give when a batch download was done, else begun; from its archive's name where the record has no time."""
    try:
        if (at := task.time) is not None:
            return datetime.fromtimestamp(at / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a time that no calendar has
        return None
    return date_in(name)


def date_in(name: bytes) -> datetime | None:
    """Give the date in an archive's name, to the microsecond; None where it has none that a calendar has."""
    if not (found := DATE_IN_NAME.search(name)):
        return None
    hour, minute, second, fraction = (part and part.decode() for part in found.groups())
    try:
        return datetime.fromisoformat(f"{hour}:{minute}:{second}{fraction or ''}+00:00")
    except ValueError:
        return None


class ArchiveGone:
    """Judges task records: a finished batch download whose archive is not in the folder goes.

    Only the last part of a location counts, so records of another folder's archives look as if theirs were gone: their
    group is the folder that they name. Raises SourceUnreadable where the folder cannot be read in full.
    """

    grouped_by = "folder"

    def __init__(
        self,
        folder: Folder,
        states: Collection[str] = ("DONE",),
        *,
        now: datetime,
        min_age: timedelta = timedelta(0),
        allow_empty: bool = False,
    ) -> None:
        self._folder, self._names = folder, folder.names()
        self._states, self._allow_empty = frozenset(states), allow_empty
        self._youngest = now - min_age if min_age else None

    def __call__(self, key: Key, value: bytes) -> Verdict:
        """Judge one record by its field and its JSON."""
        try:
            task = read_task(value)
            download = task.arguments.download
            if download is UNSET:
                return NO_DOWNLOAD
            if task.state not in FINAL_STATES:
                return UNFINISHED
            location = location_in(download)
            folder, _, last = location.rpartition("/")
            names = names_in(location, last)
        except (UnreadableRecord, UnusableName) as problem:
            return Problem(str(problem))
        for name in names:
            if name in self._names:
                return present_in(folder[:NAME_LENGTH])
        if task.state not in self._states:
            return NOT_ASKED[task.state]
        if self._youngest and (young := self._too_young(task, names[0])):
            return young
        return Remove(GONE if task.id == text_of(key) else GONE_MISNAMED, location, group_of(folder[:NAME_LENGTH]))

    def _too_young(self, task: Task, name: bytes) -> Keep | None:
        at = time_of(task, name)
        if at is None:
            return AGELESS
        return TOO_YOUNG if self._youngest and at > self._youngest else None

    def check_source(self) -> None:
        """Raise SourceUnreadable unless the folder is still the one that was looked into."""
        self._folder.check()

    def look_again(self, actions: Sequence[Action]) -> Mapping[Key, str]:
        """Look for each archive once more; a record whose archive came back stays."""
        self._folder.check()
        holds = self._folder.holds
        back = {one.key: CAME_BACK for one in actions for name in names_of(one.detail) if holds(name)}
        self._folder.check()  # what is not found in a folder that went away meanwhile says nothing
        return back

    def doubt(self, counts: Counts) -> str | None:
        """Doubt a folder that holds nothing, or none of the archives that the records name."""
        if not counts.planned or self._allow_empty or (len(self._names) and counts.kept.get(PRESENT.reason)):
            return None
        found = "holds none of the archives that the records name" if len(self._names) else "is empty"
        return f"{self._folder.path} {found}: is it mounted, and the right folder? If so, say it with --allow-empty."

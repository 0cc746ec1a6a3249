"""Which objects of a DataJoint store may go: those that no row references, and that are not young."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Final, Protocol

from tasks.changes.plan_file import Counts
from tasks.changes.protocols import Action, Ignore, Keep, Key, Remove, Verdict, text_of
from tasks.datajoint import doubts
from tasks.datajoint.doubts import FOREIGN_REFERENCED, MISPLACED, referenced_by, unreferenced_by
from tasks.datajoint.grammar import FILEPATH, Foreign, Grammar, Meaning
from tasks.datajoint.namespaces import Namespace
from tasks.datajoint.references import Known, References


class Listed(Protocol):
    """What a listing says of an object, as far as it matters here."""

    @property
    def size(self) -> int:
        """Give its bytes."""

    @property
    def modified(self) -> datetime:
        """Give when it was written, with a timezone, by the store's clock."""


OUTSIDE: Final = Ignore("foreign: outside the location")
YOUNG: Final = Keep("younger than the grace period")
"""In no group: that an object is young does not speak for the references that were read."""
OLD: Final = Ignore("unreferenced, but written by DataJoint 0.11")
REFERENCED_NOW: Final = "referenced since the plan was made"
NOT_OURS: Final = "not an object that this run may remove"
SLACK: Final = timedelta(seconds=1)
"""Stores cut the time of an object to the second, so that it looks older than it is."""


@cache
def foreign(reason: str) -> Ignore:
    """Return the verdict on what means nothing to the run."""
    return Ignore(f"foreign: {reason}")


class Unreferenced:
    """Judges the objects of one namespace: what no row of any source references goes, if it is older than the grace.

    `now` is by the store's clock, from before the listing. References are read when the first record is judged; so the
    store must have been listed in full by then, and a row written while it was listed counts. Hand `notice` each page
    while the store is listed: a folder is as young as the youngest object in it. `stays`: where the bytes of removed
    objects stay, if they do.
    """

    grouped_by = "owner"
    fresh_seconds = 0.0
    """A row may take an orphan again at any moment: each batch is looked at right before it goes."""

    def __init__(
        self,
        namespace: Namespace,
        references: References,
        *,
        now: datetime,
        grace: timedelta = timedelta(days=1),
        allow_empty: bool = False,
        stays: str | None = None,
    ) -> None:
        self._namespace, self._grammar, self._references = namespace, Grammar(namespace), references
        self._youngest = now - grace - SLACK if grace else None
        self._allow_empty, self._stays = allow_empty, stays
        self._young: set[str] = set()  # folders, by their identity
        self._read: Known | None = None
        self._going = 0

    @property
    def sources(self) -> Sequence[str]:
        """Return the databases whose rows are read."""
        return self._references.names

    @property
    def _known(self) -> Known:
        if self._read is None:
            self._read = self._references.read()
        return self._read

    def notice(self, page: Iterable[tuple[Key, Listed]]) -> None:
        """Take note of the folders in which something is young, and forget references that are older than this page."""
        self._read, self._going = None, 0
        self._young.update(filter(None, (self._folder(key) for key, value in page if self._is_young(value))))

    def _folder(self, key: Key) -> str | None:
        path = self._grammar.path_of(text_of(key))
        meaning = self._grammar.read(path) if path else None
        return meaning.identity if isinstance(meaning, Meaning) and meaning.in_folder else None

    def _is_young(self, value: Listed) -> bool:
        return self._youngest is not None and value.modified > self._youngest

    def __call__(self, key: Key, value: Listed) -> Verdict:
        """Judge one object by its key and its age."""
        path = self._grammar.path_of(text_of(key))
        if path is None:
            return OUTSIDE
        meaning = self._grammar.read(path)
        if isinstance(meaning, Foreign):
            return FOREIGN_REFERENCED if self._known.covers(path, meaning) else foreign(meaning.reason)
        if self._is_misplaced(meaning):
            return MISPLACED
        if self._known.covers(path, meaning):
            return referenced_by(meaning.owner)
        return self._unreferenced(meaning, value)

    def _unreferenced(self, meaning: Meaning, value: Listed) -> Verdict:
        if meaning.form.kind == "blob of 0.11":
            return OLD
        if meaning.form is not FILEPATH and meaning.owner not in self._known.owners:
            return foreign(f"{meaning.owner} has no tables here")
        if self._is_young(value) or (meaning.in_folder and meaning.identity in self._young):
            return YOUNG
        self._going += value.size
        return Remove(unreferenced_by(meaning.owner), meaning.form.kind, meaning.owner)

    def _is_misplaced(self, meaning: Meaning) -> bool:
        form = meaning.form
        return bool(form.digest) and not self._namespace.places(form.generation, meaning.parts["folds"])

    def look_again(self, actions: Sequence[Action]) -> Mapping[Key, str]:
        """Ask whether a row references one of these objects now."""
        paths = {one.key: self._grammar.path_of(text_of(one.key)) for one in actions}
        still = self._references.still([path for path in paths.values() if path is not None])
        strange = {key: NOT_OURS for key, path in paths.items() if path is None or self._is_strange(path)}
        return strange | {key: REFERENCED_NOW for key, path in paths.items() if path in still}

    def _is_strange(self, path: str) -> bool:
        meaning = self._grammar.read(path)
        return isinstance(meaning, Foreign) or self._is_misplaced(meaning)

    def remarks(self, counts: Counts) -> list[str]:  # noqa: ARG002  # as every judge's
        """Say how many bytes stay in the store although their objects go."""
        return [f"{self._going:,} bytes of objects that go stay {self._stays}."] if self._going and self._stays else []

    def doubt(self, counts: Counts) -> str | None:
        """Doubt references that are none, or none of which is among the objects listed."""
        return self.doubt_empty(counts) or self._first(doubts.unseen, counts)

    def doubt_empty(self, counts: Counts) -> str | None:
        """Doubt references that are none."""
        return self._first(doubts.empty, counts)

    def _first(self, doubt: Callable[[Known, Counts], Iterator[str]], counts: Counts) -> str | None:
        return None if self._allow_empty else next(doubt(self._known, counts), None)

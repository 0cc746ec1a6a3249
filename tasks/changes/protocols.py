"""The words every job is written in: verdicts, actions, outcomes, and the two protocols, store and judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

if TYPE_CHECKING:
    from tasks.changes.plan_file import Counts

Key = str | bytes
"""What names a record in its store: a hash field, a primary key, an object's key."""


def text_of(key: Key) -> str:
    """Give a key as readable text."""
    return key if isinstance(key, str) else key.decode(errors="backslashreplace")


Image = str | bytes | dict[str, Any]
"""A record's state as a plan holds it: its value, or a version of it (etag, size, mtime)."""

V = TypeVar("V")
V_contra = TypeVar("V_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave a record that could have been removed or changed; reports count the reasons, guards the records.

    `group`: which of the judge's groups the record is of; no part of what two verdicts are compared by.
    """

    reason: str
    group: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Ignore:
    """Leave a record that the run could not have removed or changed whatever it found: no guard counts it."""

    reason: str


@dataclass(slots=True)  # not frozen, here and below: they are made by the million, and that takes three times as long
class Remove:
    """Remove the record. The reason is counted, the detail is this record's own."""

    reason: str
    detail: str = ""
    group: str = field(default="", compare=False)


@dataclass(slots=True)
class Replace:
    """Put `after` in the record's place. The reason is counted, the detail is this record's own."""

    after: Image
    reason: str
    detail: str = ""
    group: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """Leave the record as it is and say that it could not be handled; the run then fails at its end."""

    reason: str


Verdict = Keep | Ignore | Remove | Replace | Problem


class Action(Struct, frozen=True, gc=False):
    """One planned change: `before` stands in the store (None: absent), `after` shall stand there (None: absent)."""

    key: Key
    before: Image | None
    after: Image | None
    frees: int = 0
    """Bytes the store is smaller by once this is done; negative where it grows."""
    reason: str = ""
    detail: str = ""

    def inverse(self) -> Action:
        """Give the action that takes this one back."""
        return Action(self.key, self.after, self.before, -self.frees, self.reason, self.detail)


class Outcome(Enum):
    """What became of an action."""

    DONE = "done"
    ALREADY = "already as planned"
    CONFLICT = "changed since the plan was made"


def foreseen(stands: object, before: object, after: object) -> Outcome | None:
    """Return what an action would come to where `stands` stands now; None where the record is gone."""
    if stands == before:
        return Outcome.DONE
    if stands == after:
        return Outcome.ALREADY
    return None if stands is None else Outcome.CONFLICT


class Store(Protocol[V]):
    """One kind of thing, and how it is scanned and changed."""

    @property
    def location(self) -> str:
        """Name this store, without secrets; a plan is for one location only."""

    @property
    def batch_size(self) -> int:
        """Give the most actions that one call of `apply` takes."""

    @property
    def undoable(self) -> bool:
        """Say whether `apply` can carry out the inverse of what it did."""

    def now(self) -> datetime:
        """Give the time by the store's own clock where it has one, with a timezone."""

    def count(self) -> int | None:
        """Give about how many records a scan will see, or None if only a scan can tell."""

    def scan(self) -> Iterator[Sequence[tuple[Key, V]]]:
        """Read every record that is there all along at least once, in bounded batches; change nothing."""

    def image(self, value: V) -> Image:
        """Give what a plan holds of a record's value, enough to compare it and to put it back."""

    def weigh(self, image: Image) -> int:
        """Give the bytes that a record of this image takes."""

    def apply(self, actions: Sequence[Action]) -> Sequence[Outcome | Problem]:
        """Carry out each action only where the store still holds its before-image.

        Returns one outcome per action, or a Problem where the store refuses that one. Where it cannot go on it raises
        a StoreError with the outcomes that it knows; each other action is then either done or not done.
        """


@dataclass(frozen=True)
class Identity:
    """How a store's server can be told from another at the same address; empty where it tells nothing."""

    ids: Mapping[str, str] = field(default_factory=dict)
    """What it calls itself, and what those that it took over from were called: one in common proves the same data."""
    changes_at_restart: bool = False
    """Whether its ids are others after each start, so that others prove nothing."""
    place: str = ""
    """Where it keeps its data; compared where ids change at a restart."""


@runtime_checkable
class Identified(Protocol):
    """A store whose server can be recognised."""

    def identity(self) -> Identity:
        """Return what the server calls itself; empty where this login may not ask, never a reason to stop."""


@runtime_checkable
class Previews(Protocol):
    """A store that can tell what `apply` would do, without doing it."""

    def preview(self, actions: Sequence[Action]) -> Sequence[Outcome | None]:
        """Return the outcome that each action would have now.

        None is a conflict too: the record is gone, though it was to be there before as well as after.
        """


@runtime_checkable
class ReadsSources(Protocol):
    """A judge that reads what the store itself does not tell, again before each batch."""

    @property
    def sources(self) -> Sequence[str]:
        """Return where it reads, by address and without secrets: a plan is only applied by one that reads there."""


@runtime_checkable
class Holds(Protocol):
    """A store that can tell whether it holds records; a plan then keeps a few keys of what it leaves alone."""

    def holds(self, keys: Sequence[Key]) -> Sequence[bool]:
        """Return for each key, of a few, whether a record is there."""


@runtime_checkable
class WorksAhead(Protocol):
    """A store that works on a batch while its caller gets the next one ready."""

    def begin(self, actions: Sequence[Action]) -> Callable[[], Sequence[Outcome | Problem]]:
        """Begin what `apply` does; calling the result waits for the outcomes. One batch at a time."""


class Judge(Protocol[V_contra]):
    """A pure function from one record to a verdict; it needs no server."""

    def __call__(self, key: Key, value: V_contra, /) -> Verdict:
        """Judge one record; a record that cannot be understood is a Problem, never an exception."""


@runtime_checkable
class LooksAgain(Protocol):
    """A judge whose knowledge lies outside the store, and may have changed since the plan was made."""

    def look_again(self, actions: Sequence[Action]) -> Mapping[Key, str]:
        """Give the actions that must not be done after all, each with the reason; asked just before a batch."""


@runtime_checkable
class ChecksSource(Protocol):
    """A judge whose knowledge lies where it can go away as a whole, such as a folder that is mounted."""

    def check_source(self) -> None:
        """Raise SourceUnreadable unless it is still there, and the same; asked last before a batch, so it is quick."""


@runtime_checkable
class Groups(Protocol):
    """A judge whose verdicts name groups of records, each of which the guard looks at by itself."""

    @property
    def grouped_by(self) -> str:
        """Return what one group is, such as `folder`."""


@runtime_checkable
class Doubts(Protocol):
    """A judge that can tell when what it knows looks wrong."""

    def doubt(self, counts: Counts) -> str | None:
        """Give the reason to refuse a plan with these counts, or None."""


@runtime_checkable
class Remarks(Protocol):
    """A judge that knows more than its verdicts say."""

    def remarks(self, counts: Counts) -> Sequence[str]:
        """Give what a reader of the plan should know, once the scan is over."""

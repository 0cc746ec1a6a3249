"""What stores of objects have in common: records, images, and the ways in which an object changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from functools import cached_property
from itertools import groupby
from os import fsdecode
from typing import Any, Final, Literal

from tasks.changes.clock import elapsed
from tasks.changes.errors import LookExpired, SourceUnreadable, StewardError, StoreError, StoreUnavailable
from tasks.changes.protocols import Action, Image, Key, Outcome, Problem, foreseen, text_of
from tasks.stores.key_ranges import WHOLE, Prefix, Range, Shard, folder_of, ranges_of, tidied
from tasks.stores.listing import Object, Page, ahead, spooled
from tasks.stores.quarantine import QUARANTINE, stamped

BATCH: Final = 1000
TRIES: Final = 3
"""Times that a listing is begun."""

Mode = Literal["delete", "quarantine", "purge-versions"]
Results = Mapping[Any, Outcome | Problem]
"""What became of objects, by key."""


class Way(Enum):
    """How an object changes."""

    DELETE = auto()
    PURGE = auto()
    SET_ASIDE = auto()
    PUT_BACK = auto()


def fields_of(image: Image | None) -> dict[str, Any]:
    """Return an image as the dict that it is."""
    if not isinstance(image, dict):
        message = f"The image of an object is a dict, not {type(image).__name__}."
        raise TypeError(message)
    return image


def way_of(action: Action) -> Way:
    """Read from an action how its object changes: the plan alone says what is done, whatever store carries it out."""
    if action.after is not None and action.before is None:
        return Way.PUT_BACK
    if action.after is not None:
        message = f"An object is never rewritten: {text_of(action.key)}."
        raise TypeError(message)
    image = fields_of(action.before)
    if "aside" in image:
        return Way.SET_ASIDE
    return Way.PURGE if "versions" in image else Way.DELETE


def object_of(image: Mapping[str, Any]) -> Object:
    """Return the object that an image is of."""
    return Object(image["size"], image["etag"], datetime.fromisoformat(image["modified"]))


def aside_of(key: Key, image: Mapping[str, Any]) -> str:
    """Return the key under which an object lies in the quarantine."""
    return f"{image['aside']}/{fsdecode(key)}"


def same_content(one: Object, other: Object) -> bool:
    """Whether two objects hold the same, whenever they were written."""
    return one[:2] == other[:2]


def foreseen_back(here: Object | None, there: Object | None, planned: Object) -> Outcome | None:
    """Return what putting an object back from the quarantine would come to, by what stands here and lies there."""
    if there is None:
        as_planned = here is not None and same_content(here, planned)
        return Outcome.ALREADY if as_planned else Outcome.CONFLICT if here else None
    if here is not None:
        return Outcome.DONE if same_content(here, there) else Outcome.CONFLICT
    return Outcome.DONE if there.size == planned.size else Outcome.CONFLICT


class ObjectStore(ABC):
    """Objects under prefixes. A record's value is an `Object`; its image is a dict of that, and of what becomes of it.

    `mode`: "delete"; "quarantine", which moves removed objects to a folder of the same store, where undo finds them
    until they are purged; or "purge-versions", which deletes them with all their versions. What lies in `quarantine` is
    left out of every scan but one of the quarantine itself.
    """

    batch_size = BATCH
    listings_at_once = 1

    def __init__(
        self,
        base: str,
        prefixes: Sequence[Prefix],
        mode: Mode = "delete",
        *,
        shard: Shard = WHOLE,
        quarantine: str = QUARANTINE,
    ) -> None:
        self.location = f"{base}/{folder_of(*(prefix.text for prefix in prefixes))}"
        self.undoable = mode == "quarantine"
        self._mode, self._quarantine = mode, quarantine.strip("/") + "/"
        self._ranges = ranges_of(prefixes, shard, self.listings_at_once)
        self._notice: Callable[[Page], None] = lambda _: None
        self._looked = elapsed()

    @abstractmethod
    def now(self) -> datetime:
        """Return the time by the store's clock."""

    @abstractmethod
    def listed(self, keys: Range) -> Iterator[Page]:
        """List the objects of a range, in pages.

        Raises SourceUnreadable where that cannot be done in full.
        """

    @abstractmethod
    def change(self, way: Way, images: Mapping[Key, dict[str, Any]]) -> Iterator[Results]:
        """Change at most `batch_size` objects that still look like their images, all in one way.

        Results are yielded as soon as they are known. An exception leaves every object without one either changed or
        not, with no request under way.
        """

    def count(self) -> int | None:
        """Return None: only a scan can tell."""
        return None

    def watch(self, notice: Callable[[Page], None]) -> None:
        """Have a judge take note of every page of a scan before the first is given."""
        self._notice = notice

    def scan(self) -> Iterator[Page]:
        """List everything, and only then yield the first page: what the judge reads at it is newer than the listing.

        Pages are yielded in the order of the ranges, so that a batch of a plan has neighbours in it.
        """
        first, rest = self._listed_in_full()
        if first is not None:
            yield first
            yield from rest

    def _listed_in_full(self) -> tuple[Page | None, Iterator[Page]]:
        """List everything, begun again where the listing broke: of half a listing nothing is concluded."""
        for left in reversed(range(TRIES)):
            pages = self._spooled()
            try:
                return next(pages, None), pages
            except SourceUnreadable:
                if not left:
                    raise
        raise AssertionError

    def _spooled(self) -> Iterator[Page]:
        listings = (self._pages(keys) for keys in self._ranges)
        return spooled((turn, self._noticed(page)) for turn, page in ahead(listings, self.listings_at_once))

    def _noticed(self, page: Page) -> Page:
        self._notice(page)
        return page

    def _pages(self, keys: Range) -> Iterator[Page]:
        hidden = self._quarantine
        if keys.prefix.startswith(hidden) or not hidden.startswith(tidied(keys.prefix)):
            return self.listed(keys)
        return ([one for one in page if not text_of(one[0]).startswith(hidden)] for page in self.listed(keys))

    @cached_property
    def _aside(self) -> str:
        return f"{self._quarantine}{stamped(self.now())}"

    def image(self, value: Object) -> dict[str, Any]:
        """Return what tells this object from another under the same key, and what is to become of it."""
        image: dict[str, Any] = {"size": value.size, "etag": value.etag, "modified": value.modified.isoformat()}
        if self._mode == "quarantine":
            image["aside"] = self._aside
        elif self._mode == "purge-versions":
            image["versions"] = "all"
        return image

    def weigh(self, image: Image) -> int:
        """Return the object's bytes; 0 where they stay in the store."""
        fields = fields_of(image)
        return 0 if "aside" in fields else int(fields["size"])

    @abstractmethod
    def look(self, keys: Collection[Key]) -> Mapping[Key, Object | None]:
        """Look at objects; None where there is none."""

    def preview(self, actions: Sequence[Action]) -> list[Outcome | None]:
        """Return what `apply` would come to, from the objects as they are now."""
        asides: dict[Key, Key] = {
            one.key: aside_of(one.key, fields_of(one.after)) for one in actions if way_of(one) is Way.PUT_BACK
        }
        now = self.look([*(one.key for one in actions), *asides.values()])
        return [
            foreseen_back(now[one.key], now[asides[one.key]], object_of(fields_of(one.after)))
            if one.key in asides
            else foreseen(now[one.key], object_of(fields_of(one.before)), None)
            for one in actions
        ]

    def apply(self, actions: Sequence[Action]) -> list[Outcome | Problem]:
        """Change the objects that still look as planned; what cannot be done to one is a Problem, the rest goes on.

        A StoreError has the outcomes of all that were changed before it.
        """
        results: dict[Key, Outcome | Problem] = {}
        self._looked = elapsed()
        try:
            for way, same in groupby(actions, way_of):
                for known in self.change(way, {one.key: fields_of(one.before or one.after) for one in same}):
                    results.update(known)
        except StewardError as error:
            failure = with_outcomes(error, results)
            if isinstance(failure, LookExpired):
                failure.untouched = {one.key for one in actions if one.key not in results}
            if failure is error:
                raise
            raise failure from error
        return [results[one.key] for one in actions]


def with_outcomes(error: StewardError, outcomes: Results) -> StewardError:
    """Return an error that has the outcomes known when it is raised; where there are none, the error itself."""
    if not outcomes:
        return error
    known = error if isinstance(error, StoreError) else StoreUnavailable(str(error))
    known.outcomes = {**known.outcomes, **outcomes}
    return known

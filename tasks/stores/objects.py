"""Objects in an S3 bucket as a store: listed in pages, changed only where they still look as planned."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from tasks.changes.errors import LookExpired, SourceUnreadable, StewardError, StoreError, StoreUnavailable
from tasks.changes.protocols import Action, Identity, Image, Key, Outcome, Problem, text_of
from tasks.stores import s3_changes
from tasks.stores.border import border
from tasks.stores.key_ranges import WHOLE, Prefix, Range, Shard, tidied
from tasks.stores.listing import Object, Page
from tasks.stores.look_age import LookAge
from tasks.stores.object_store import BATCH, Mode, ObjectStore, Results, Way, aside_of, fields_of
from tasks.stores.quarantine import QUARANTINE
from tasks.stores.s3_errors import Refused
from tasks.stores.s3_look import just_before, look
from tasks.stores.s3_talk import Bucket

if TYPE_CHECKING:
    from tasks.changes.plan import Plan

AT_ONCE: Final = 16
"""Parts of a batch that are changed at the same time, so that a far server's answers are not waited for one by one."""
LEAST: Final = 25
"""Objects in a part; for fewer, requests of their own are not worth it."""
WAYS: Final = {
    Way.DELETE: s3_changes.delete,
    Way.PURGE: s3_changes.purge,
    Way.SET_ASIDE: s3_changes.set_aside,
    Way.PUT_BACK: s3_changes.put_back,
}


class Objects(ObjectStore):
    """The objects under some prefixes of a bucket; the key of a record is the whole key of its object.

    S3 has no deletion that compares sizes and times. So objects are listed again just before they are changed, and
    their etags go with the request, which some servers (AWS, SeaweedFS) compare and others ignore.
    """

    batch_size = 2 * BATCH
    listings_at_once = 4

    def __init__(
        self,
        bucket: Bucket,
        prefixes: Sequence[Prefix],
        mode: Mode = "delete",
        *,
        shard: Shard = WHOLE,
        quarantine: str = QUARANTINE,
    ) -> None:
        super().__init__(bucket.location, prefixes, mode, shard=shard, quarantine=quarantine)
        self._bucket, self._first = bucket, prefixes[0].text
        self._thread = ThreadPoolExecutor(1)
        self._asked = False

    def now(self) -> datetime:
        """Return the server's time."""
        return self._bucket.now(self._first)

    @cached_property
    def versioned(self) -> bool | None:
        """Whether the bucket keeps old versions, so that deleting frees nothing; asked once, None where it is unknown.

        It is for the report only.
        """
        return self._bucket.versioned()

    @property
    def keeps_versions_perhaps(self) -> bool:
        """Whether what is deleted may stay as an old version, and nobody says."""
        return self._mode == "delete" and self.versioned is None

    def weigh(self, image: Image) -> int:
        """Return the object's bytes; 0 where they stay in the bucket, moved aside or as an old version."""
        return 0 if "versions" not in fields_of(image) and self.versioned else super().weigh(image)

    def listed(self, keys: Range) -> Iterator[Page]:
        """List the objects of a range; what the listing holds before and behind it is not read."""
        if tidied(keys.prefix) != keys.prefix:
            return self._listed_untidy(keys)
        return self._listed(keys)

    def _listed(self, keys: Range) -> Iterator[Page]:
        after = just_before(keys.first) if keys.first != keys.prefix else None
        with border(self.location, lambda _: None):
            for page in self._bucket.pages(keys.prefix, after):
                yield [record for record in page if keys.holds(record[0])]
                if page and keys.ends_before(page[-1][0]):
                    return

    def look(self, keys: Collection[Key]) -> dict[Key, Object | None]:
        """Look at objects, in as few pages as it takes; None also where it cannot be told what is there."""
        parts = look(self._bucket, [text_of(key) for key in keys])
        return {key: None if isinstance(found, Problem) else found for part in parts for key, found in part.items()}

    def identity(self) -> Identity:
        """Return when the bucket was made, where the server tells that; AWS has each name once, and alters the date."""
        if "amazonaws.com" in self.location:
            return Identity()
        try:
            created = self._bucket.created()
        except StoreUnavailable:
            raise
        except StoreError:  # listing all buckets is a right of its own, and it is asked only to tell one from another
            return Identity()
        return Identity({"creation date": created} if created else {})

    def _listed_untidy(self, keys: Range) -> Iterator[Page]:
        """List a range with `//` in its prefix and the like, of which some servers make other keys."""
        tidy = tidied(keys.prefix)
        others = tuple(own.prefix for own in self._ranges if tidied(own.prefix) == own.prefix)

        def is_ours(key: str) -> bool:
            if key.startswith(keys.prefix):
                return keys.holds(key)
            return (
                key.startswith(tidy) and keys.holds(keys.prefix + key.removeprefix(tidy)) and not key.startswith(others)
            )

        with border(self.location, lambda _: None):
            listed = keys.prefix
            if self._tidies(keys.prefix, tidy):
                listed = tidy
            for page in self._bucket.pages(listed):
                yield [record for record in page if is_ours(record[0])]

    def _tidies(self, prefix: str, tidy: str) -> bool:
        """Whether the server lists nothing under a prefix, and yet finds by it what it lists without the slashes."""
        if any(self._bucket.pages(prefix, most=1)):
            return False
        first = next((key for page in self._bucket.pages(tidy, most=1) for key, _ in page), None)
        return first is not None and self._bucket.is_there(prefix + first.removeprefix(tidy))

    def begin(self, actions: Sequence[Action]) -> Callable[[], list[Outcome | Problem]]:
        """Begin to apply a batch; calling the result waits for the outcomes."""
        return self._thread.submit(self.apply, actions).result

    def change(self, way: Way, images: Mapping[Key, dict[str, Any]]) -> Iterator[Results]:
        """Look at the objects, and delete, purge, move aside or put back those that look as planned."""
        keys = sorted(map(str, images))
        if way in (Way.SET_ASIDE, Way.PUT_BACK):
            self._check_may_delete(keys[0] if way is Way.SET_ASIDE else aside_of(keys[0], images[keys[0]]))
        parts = [{key: images[key] for key in part} for part in _evenly(keys)]
        failures: list[StewardError] = []
        with ThreadPoolExecutor(AT_ONCE) as threads:  # left only when no request is under way, also by an exception
            yield from threads.map(lambda part: self._change_part(way, part, failures), parts)
        if failures:
            raise min(failures, key=_weight)

    def _change_part(self, way: Way, part: s3_changes.Images, failures: list[StewardError]) -> Results:
        """Change some of the objects; return all results that are known, whatever comes between."""
        results: dict[Key, Outcome | Problem] = {}
        try:
            with border(self.location, lambda _: None):
                for known in WAYS[way](self._bucket, part, LookAge(self.location, self._looked)):
                    results.update(known)
                    if any(isinstance(failure, Refused) for failure in failures):
                        break
        except SourceUnreadable as error:
            failures.append(StoreUnavailable(f"{error} Run the command again."))
        except StewardError as error:
            failures.append(error)
        return results

    def _check_may_delete(self, key: str) -> None:
        if not self._asked:
            self._bucket.check_may_delete(key)
        self._asked = True


def _weight(failure: StewardError) -> int:
    """Return how much a failure of a part counts among others: the least is the one that the batch ends with."""
    if isinstance(failure, LookExpired):
        return 2
    return 1 if isinstance(failure, StoreUnavailable) else 0


def _evenly(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut keys into parts of about the same size."""
    parts = min(AT_ONCE, math.ceil(len(keys) / LEAST))
    size = math.ceil(len(keys) / parts)
    return (keys[at : at + size] for at in range(0, len(keys), size))


def retained(plan: Plan) -> int:
    """Return the bytes of all that a plan removes and that yet stay in the store, moved aside or as old versions."""
    actions = (action for batch in plan.batches(1000) for action in batch)
    return sum(one.before["size"] for one in actions if isinstance(one.before, dict) and not one.frees)

"""Looking at objects again: by pages where they lie close together, one by one where they do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Final

from tasks.changes.errors import SourceUnreadable
from tasks.changes.protocols import Problem
from tasks.stores.key_ranges import folder_of
from tasks.stores.listing import Object
from tasks.stores.s3_talk import PAGE, Bucket, carried

Looked = Object | Problem | None

WORTH: Final = 40
"""Objects that a page must settle; where it settles fewer, single requests are faster."""
FEW: Final = 3
"""Keys that cannot be looked at, one after the other, before the whole listing is given up."""
SAFE: Final = dict.fromkeys(range(0xD800, 0xE000), 0xD7FF) | {0xFFFE: 0xFFFD, 0xFFFF: 0xFFFD}
"""For characters that no page can carry, the last before them that it can."""


def look(
    bucket: Bucket, keys: Collection[str], check: Callable[[], None] = lambda: None
) -> Iterator[dict[str, Looked]]:
    """Yield what is under each key now, None where nothing is: a part of the keys with every page.

    `check` is called before each request. A key is only taken for absent where a page has passed it by, in whichever
    order the server lists. One of which a page cannot be read is a Problem.
    """
    left = sorted(set(keys))
    worth = True
    while left and worth:
        check()
        settled = _page(bucket, left)
        yield settled
        worth = len(settled) >= min(WORTH, len(left))
        left = [key for key in left if key not in settled]
    if left:
        yield _single(bucket, left, check)


def _page(bucket: Bucket, left: list[str]) -> dict[str, Looked]:
    """Settle some of these keys with one page; none, where it cannot be read."""
    after = just_before(left[0])
    most = min(PAGE, math.ceil(len(left) * bucket.listed_for_one) + WORTH)
    try:
        page = bucket.page(carried(folder_of(left[0], left[-1])), after, most=most)
    except SourceUnreadable:  # one key of it may be at fault
        return {}
    listed = dict(page.objects)
    last = (page.objects[-1][0] if page.objects else after) if page.token else None
    settled: dict[str, Looked] = {key: listed.get(key) for key in left if key in listed or passed(after, key, last)}
    found = [place for place, (key, _) in enumerate(page.objects, 1) if key in settled]
    if len(found) >= WORTH:
        bucket.listed_for_one = found[-1] / len(found)
    return settled


def _single(bucket: Bucket, keys: list[str], check: Callable[[], None]) -> dict[str, Looked]:
    """Look at keys one by one; raise SourceUnreadable where none of the first few can be looked at."""
    found: dict[str, Looked] = {}
    for key in keys:
        check()
        try:
            found[key] = bucket.stands(key)
        except SourceUnreadable as error:
            found[key] = Problem(f"what is there now cannot be told: {error}")
            if len(found) == FEW and all(isinstance(one, Problem) for one in found.values()):
                raise
    return found


def just_before(key: str) -> str:
    """Return a text behind which a listing soon comes to a key, and which a page can carry."""
    if (beginning := carried(key)) != key:
        return beginning
    before = ord(key[-1]) - 1
    if before < ord(" "):
        return key[:-1]
    return key[:-1] + chr(SAFE.get(before, before))


def passed(after: str, key: str, last: str | None) -> bool:
    """Whether a page from behind `after` to `last` would hold a key.

    S3 orders keys by their bytes, SeaweedFS folder by folder, where it also leaves out the folder named `after`.
    None: the page is the last.
    """
    if not (after < key and after.split("/") < key.split("/")) or key.startswith(f"{after}/"):
        return False
    return last is None or (key <= last and key.split("/") <= last.split("/"))

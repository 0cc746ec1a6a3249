"""Looking at objects again: by pages where they lie close together, one by one where they do not."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Final

from tasks.stores.key_ranges import folder_of
from tasks.stores.listing import Object
from tasks.stores.s3_talk import PAGE, Bucket

WORTH: Final = 40
"""Objects that a page must settle; where it settles fewer, single requests are faster."""


def look(bucket: Bucket, keys: Collection[str]) -> Iterator[dict[str, Object | None]]:
    """Give what stands under each key now, None where nothing does: a part of the keys with every page.

    A key is only taken for absent where a page has passed it by, in whichever order the server lists.
    """
    left = sorted(set(keys))
    worth = True
    while left and worth:
        after = just_before(left[0])
        most = min(PAGE, math.ceil(len(left) * bucket.listed_for_one) + WORTH)
        page = bucket.page(folder_of(left[0], left[-1]), after, most=most)
        listed = dict(page.objects)
        last = (page.objects[-1][0] if page.objects else after) if page.token else None
        settled = {key: listed.get(key) for key in left if key in listed or passed(after, key, last)}
        yield settled
        worth = len(settled) >= min(WORTH, len(left))
        found = [place for place, (key, _) in enumerate(page.objects, 1) if key in settled]
        if len(found) >= WORTH:
            bucket.listed_for_one = found[-1] / len(found)
        left = [key for key in left if key not in settled]
    if left:
        yield {key: bucket.stands(key) for key in left}


def just_before(key: str) -> str:
    """Give a text behind which a listing soon comes to a key."""
    before = ord(key[-1]) - 1
    if before < ord(" "):
        return key[:-1]
    return key[:-1] + chr(before if not 0xD800 <= before <= 0xDFFF else 0xD7FF)


def passed(after: str, key: str, last: str | None) -> bool:
    """Say whether a page from behind `after` to `last` would hold a key.

    S3 orders keys by their bytes, SeaweedFS folder by folder, where it also leaves out the folder named `after`.
    None: the page is the last.
    """
    if not (after < key and after.split("/") < key.split("/")) or key.startswith(f"{after}/"):
        return False
    return last is None or (key <= last and key.split("/") <= last.split("/"))

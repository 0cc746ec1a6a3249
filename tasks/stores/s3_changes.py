"""The ways in which objects in a bucket change, each only where an object still looks as planned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tasks.changes.protocols import Outcome, Problem
from tasks.stores.listing import Object
from tasks.stores.object_store import aside_of, object_of, same_content
from tasks.stores.s3_look import look
from tasks.stores.s3_pages import Version
from tasks.stores.s3_talk import Bucket

Images = Mapping[str, Mapping[str, Any]]
Results = dict[str, Outcome | Problem]


def delete(bucket: Bucket, images: Images) -> Results:
    """Delete objects, a page's worth in one request."""
    return _where_unchanged(bucket, images, bucket.remove)


def set_aside(bucket: Bucket, images: Images) -> Results:
    """Copy objects into the quarantine, then delete them; whoever dies in between is followed by one who does both."""

    def move(etags: dict[str, str]) -> Results:
        copied: Results = {key: bucket.copy(key, etag, aside_of(key, images[key])) for key, etag in etags.items()}
        return copied | bucket.remove({key: etags[key] for key, result in copied.items() if result is Outcome.DONE})

    return _where_unchanged(bucket, images, move)


def _where_unchanged(bucket: Bucket, images: Images, act: Callable[[dict[str, str]], Results]) -> Results:
    """Act on those that still look as planned, given with their etags, right after each look."""
    results: Results = {}
    for looked in look(bucket, images):
        results |= {key: Outcome.CONFLICT if stands else Outcome.ALREADY for key, stands in looked.items()}
        results |= act({key: stands.etag for key, stands in looked.items() if stands == object_of(images[key])})
    return results


def purge(bucket: Bucket, images: Images) -> Results:
    """Delete objects with all their versions, also where a run before this one got no further than the newest.

    Where something else was uploaded since the plan was made, all versions stay.
    """
    results = delete(bucket, images)
    gone = [key for key, result in results.items() if result in (Outcome.DONE, Outcome.ALREADY)]
    histories = {key: bucket.versions(key) for key in gone}
    newer = {key for key, versions in histories.items() if _came_later(versions, object_of(images[key]))}
    own = {key: versions for key, versions in histories.items() if versions and key not in newer}
    refused = bucket.remove_versions([one for versions in own.values() for one in versions if one.object])
    # The markers go last, and only from what is empty: without them an older version would be the object again.
    rest = [one for key, versions in own.items() if key not in refused for one in versions if not one.object]
    refused |= bucket.remove_versions(rest)
    return results | dict.fromkeys(newer, Outcome.CONFLICT) | {key: refused.get(key, Outcome.DONE) for key in own}


def _came_later(versions: Sequence[Version], planned: Object) -> bool:
    """Say whether another content was uploaded after what is planned to go.

    The same content may bear a later time: SeaweedFS counts a legal hold as a change, but not in every listing.
    """
    real = [one.object for one in versions if one.object]
    others = [(place, one.modified) for place, one in enumerate(real) if not same_content(one, planned)]
    return any(at > planned.modified or (place == 0 and at == planned.modified) for place, at in others)


def put_back(bucket: Bucket, images: Images) -> Results:
    """Copy objects out of the quarantine to where nothing stands now, then delete what lay there."""
    asides = {key: aside_of(key, image) for key, image in images.items()}
    now: dict[str, Object | None] = {}
    for part in (*look(bucket, asides), *look(bucket, asides.values())):
        now |= part

    def back(key: str) -> Outcome | Problem:
        here, there = now[key], now[asides[key]]
        if there is None:
            as_planned = here is not None and same_content(here, object_of(images[key]))
            return Outcome.ALREADY if as_planned else Outcome.CONFLICT
        if here is not None:  # where it is the same, a run before this one got no further than the copy
            return Outcome.DONE if same_content(here, there) else Outcome.CONFLICT
        if there.size != images[key]["size"]:
            return Outcome.CONFLICT
        copied = bucket.copy(asides[key], there.etag, key, only_new=True)
        if copied is Outcome.CONFLICT:  # or the request was sent twice, and met what it had made itself
            stands = bucket.stands(key)
            return Outcome.DONE if stands is not None and same_content(stands, there) else Outcome.CONFLICT
        return Outcome.CONFLICT if copied is Outcome.ALREADY else copied

    results = {key: back(key) for key in images}
    left = {asides[key]: now[asides[key]] for key, result in results.items() if result is Outcome.DONE}
    removed = bucket.remove({aside: there.etag for aside, there in left.items() if there})
    return results | {key: stays for key in images if isinstance(stays := removed.get(asides[key]), Problem)}

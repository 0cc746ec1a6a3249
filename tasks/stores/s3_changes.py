"""The ways in which objects in a bucket change, each only where an object still looks as planned.

Each yields results as soon as they are known, so that an error later on takes nothing of them away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tasks.changes.errors import LookExpired, SourceUnreadable, StoreError
from tasks.changes.protocols import Outcome, Problem
from tasks.stores.listing import Object
from tasks.stores.look_age import LookAge
from tasks.stores.object_store import aside_of, object_of, same_content
from tasks.stores.one_by_one import one_by_one
from tasks.stores.s3_errors import Refused
from tasks.stores.s3_look import Looked, look
from tasks.stores.s3_pages import Version
from tasks.stores.s3_talk import Bucket, Results

Images = Mapping[str, Mapping[str, Any]]
GONE = (Outcome.DONE, Outcome.ALREADY)
LARGE = 64 << 20
"""Bytes of an object whose copy may take longer than another step."""


def delete(bucket: Bucket, images: Images, age: LookAge) -> Iterator[Results]:
    """Delete objects, a page's worth in one request."""
    return _where_unchanged(bucket, images, lambda etags: bucket.remove(etags, age.check), age)


def set_aside(bucket: Bucket, images: Images, age: LookAge) -> Iterator[Results]:
    """Copy objects into the quarantine, then delete them; whoever dies in between is followed by one who does both."""

    def copy(key: str, etag: str) -> Outcome | Problem:
        age.check()
        copied = _copy_aside(bucket, key, etag, images[key])
        if images[key]["size"] > LARGE:
            age.went_on()
        return copied

    def move(etags: Mapping[str, str]) -> Iterator[Results]:
        copied, failure = _collected(one_by_one(etags, lambda key: copy(key, etags[key])))
        yield {key: result for key, result in copied.items() if result is not Outcome.DONE}
        done = {key: etags[key] for key in copied if copied[key] is Outcome.DONE}
        yield from _remove_copied(bucket, done, images, age)
        if failure:
            raise failure

    return _where_unchanged(bucket, images, move, age)


def _copy_aside(bucket: Bucket, key: str, etag: str, image: Mapping[str, Any]) -> Outcome | Problem:
    aside = aside_of(key, image)
    copied = bucket.copy(key, etag, aside)
    if copied is not Outcome.ALREADY or bucket.stands(key) is None:
        return copied
    # The listing has it, and yet it is not there to be copied: so do servers with the markers of their folders.
    if key.endswith("/") and not image["size"]:
        return bucket.put_empty(aside)
    return Problem("it is listed, but cannot be copied: the server says that it is not there")


def _remove_copied(bucket: Bucket, etags: Mapping[str, str], images: Images, age: LookAge) -> Iterator[Results]:
    """Delete what was copied; where that may not be, the copy goes again, so that there is one of each thing."""
    left = dict.fromkeys(etags, Outcome.CONFLICT)
    try:
        for removed in bucket.remove(etags, age.check):
            stay = {key: result for key, result in removed.items() if result not in GONE}
            yield removed | _take_back(bucket, stay, images)
            left = {key: result for key, result in left.items() if key not in removed}
    except (Refused, LookExpired):
        _take_back(bucket, left, images)
        raise


def _take_back(bucket: Bucket, stay: Mapping[str, Outcome | Problem], images: Images) -> Results:
    """Remove the copies of objects that could not be deleted; return what became of these, with what is left over."""
    asides = {key: aside_of(key, images[key]) for key in stay}
    removals = bucket.remove(dict.fromkeys(asides.values(), ""))
    removed, failure = _collected(result for part in removals for result in part.items())
    return {
        key: result
        if removed.get(asides[key]) in GONE or not isinstance(result, Problem)
        else Problem(f"{result.reason} Its copy stays, {asides[key]}{f': {failure}' if failure else '.'}")
        for key, result in stay.items()
    }


def _collected(results: Iterator[tuple[str, Outcome | Problem]]) -> tuple[Results, StoreError | None]:
    """Return the results that are known, and the error that ended them, if one did."""
    known: Results = {}
    try:
        for key, result in results:
            known[key] = result
    except StoreError as failure:
        return known, failure
    return known, None


def _where_unchanged(
    bucket: Bucket, images: Images, act: Callable[[Mapping[str, str]], Iterator[Results]], age: LookAge
) -> Iterator[Results]:
    """Act on those that still look as planned, given with their etags, right after each look."""
    for looked in look(bucket, images, age.check):
        as_planned = {
            key: found.etag
            for key, found in looked.items()
            if isinstance(found, Object) and found == object_of(images[key])
        }
        yield {key: _unlike_planned(found) for key, found in looked.items() if key not in as_planned}
        yield from act(as_planned)


def _unlike_planned(found: Looked) -> Outcome | Problem:
    if isinstance(found, Problem):
        return found
    return Outcome.ALREADY if found is None else Outcome.CONFLICT


def purge(bucket: Bucket, images: Images, age: LookAge) -> Iterator[Results]:
    """Delete objects with all their versions, also where a run before this one got no further than the newest.

    Where something else was uploaded since the plan was made, all versions stay.
    """
    gone: Results = {}
    for part in delete(bucket, images, age):
        gone |= {key: result for key, result in part.items() if result in GONE}
        yield {key: result for key, result in part.items() if result not in GONE}
    own: dict[str, list[Version]] = {}
    for key, result in gone.items():
        versions = _versions(bucket, key)
        if isinstance(versions, Problem):
            yield {key: versions}
        elif _came_later(versions, object_of(images[key])):
            yield {key: Outcome.CONFLICT}
        elif versions:
            own[key] = versions
        else:
            yield {key: result}
    yield from _purge_versions(bucket, own)


def _versions(bucket: Bucket, key: str) -> list[Version] | Problem:
    try:
        return bucket.versions(key)
    except SourceUnreadable as error:
        return Problem(f"its versions cannot be told: {error}")


def _purge_versions(bucket: Bucket, own: Mapping[str, Sequence[Version]]) -> Iterator[Results]:
    refused: Results = {}
    for removed in bucket.remove_versions([one for versions in own.values() for one in versions if one.object]):
        refused |= {key: result for key, result in removed.items() if result not in GONE}
    # The markers go last, and only from what is empty: without them an older version would be the object again.
    rest = [one for key, versions in own.items() if key not in refused for one in versions if not one.object]
    for removed in bucket.remove_versions(rest):
        refused |= {key: result for key, result in removed.items() if result not in GONE}
    yield {key: refused.get(key, Outcome.DONE) for key in own}


def _came_later(versions: Sequence[Version], planned: Object) -> bool:
    """Whether another content was uploaded after what is planned to go.

    The same content may bear a later time: SeaweedFS counts a legal hold as a change, but not in every listing.
    """
    real = [one.object for one in versions if one.object]
    others = [(place, one.modified) for place, one in enumerate(real) if not same_content(one, planned)]
    return any(at > planned.modified or (place == 0 and at == planned.modified) for place, at in others)


def put_back(bucket: Bucket, images: Images, _age: LookAge) -> Iterator[Results]:
    """Copy objects out of the quarantine to where nothing is now, then delete what was there; no look is needed."""
    asides = {key: aside_of(key, image) for key, image in images.items()}
    now: dict[str, Looked] = {}
    for part in (*look(bucket, asides), *look(bucket, asides.values())):
        now |= part

    def back(key: str) -> Outcome | Problem:
        return _put_back(bucket, key, images[key], now[key], asides[key], now[asides[key]])

    copied, failure = _collected(one_by_one(images, back))
    yield {key: result for key, result in copied.items() if result is not Outcome.DONE}
    own = {asides[key]: key for key, result in copied.items() if result is Outcome.DONE}
    etags = {aside: found.etag for aside in own if isinstance(found := now[aside], Object)}
    for removed in bucket.remove(etags):
        yield {own[aside]: result if isinstance(result, Problem) else Outcome.DONE for aside, result in removed.items()}
    if failure:
        raise failure


def _put_back(
    bucket: Bucket, key: str, image: Mapping[str, Any], here: Looked, aside: str, there: Looked
) -> Outcome | Problem:
    if isinstance(here, Problem):
        return here
    if isinstance(there, Problem):
        return there
    if there is None:
        as_planned = here is not None and same_content(here, object_of(image))
        return Outcome.ALREADY if as_planned else Outcome.CONFLICT
    if here is not None:  # where it is the same, a run before this one got no further than the copy
        return Outcome.DONE if same_content(here, there) else Outcome.CONFLICT
    if there.size != image["size"]:
        return Outcome.CONFLICT
    return _copy_back(bucket, key, aside, there)


def _copy_back(bucket: Bucket, key: str, aside: str, there: Object) -> Outcome | Problem:
    copied = bucket.copy(aside, there.etag, key, only_new=True)
    if copied is Outcome.CONFLICT:  # or the request was sent twice, and met what it had made itself
        stands = bucket.stands(key)
        return Outcome.DONE if stands is not None and same_content(stands, there) else Outcome.CONFLICT
    if copied is not Outcome.ALREADY:
        return copied
    if key.endswith("/") and not there.size and bucket.stands(aside) is not None:
        return bucket.put_empty(key)
    return Outcome.CONFLICT

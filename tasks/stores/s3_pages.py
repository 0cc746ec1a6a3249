"""Pages of an S3 listing, read five times as fast as by the SDK, and refused where they are not whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from tasks.changes.errors import SourceUnreadable
from tasks.stores.listing import Object


class Listed(NamedTuple):
    """A page of objects in the server's order, and what to ask for the next with, if there is one."""

    objects: list[tuple[str, Object]]
    token: str | None


class Version(NamedTuple):
    """A version of an object; None for a marker that says it was deleted."""

    key: str
    id: str
    object: Object | None


def page_of(body: bytes, location: str) -> Listed:
    """Read an answer to ListObjectsV2.

    Raises SourceUnreadable where it is none, or says that there is more but not where.
    """
    try:
        space, root, name_of = _opened(body)
        fields = [{child.tag: child.text or "" for child in one} for one in root.iter(f"{space}Contents")]
        objects = [(name_of(one[f"{space}Key"]), _object(one, space)) for one in fields]
        more = {"true": True, "false": False}[root.findtext(f"{space}IsTruncated", "").lower()]
        token = root.findtext(f"{space}NextContinuationToken") if more else None
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise _not_whole(location, f"it holds no readable page ({type(error).__name__}: {error})") from error
    if more and not token:
        raise _not_whole(location, "it has more pages, but does not say where")
    return Listed(objects, token)


def versions_of(body: bytes, key: str, location: str) -> tuple[list[Version], bool]:
    """Read an answer to ListObjectVersions under a key: its versions, newest first, and whether more may follow."""
    try:
        space, root, name_of = _opened(body)
        found = list(_versions(space, root, name_of))
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise _not_whole(location, f"it holds no readable versions ({type(error).__name__}: {error})") from error
    own = [version for version in found if version.key == key]
    return own, len(own) == len(found) and root.findtext(f"{space}IsTruncated", "").lower() == "true"


def _versions(space: str, root: ElementTree.Element, name_of: Callable[[str], str]) -> Iterator[Version]:
    for one in root:
        if one.tag in (f"{space}Version", f"{space}DeleteMarker"):
            fields = {child.tag: child.text or "" for child in one}
            real = one.tag == f"{space}Version"
            yield Version(
                name_of(fields[f"{space}Key"]), fields[f"{space}VersionId"], _object(fields, space) if real else None
            )


def _opened(body: bytes) -> tuple[str, ElementTree.Element, Callable[[str], str]]:
    root = ElementTree.fromstring(body)  # noqa: S314  # as the SDK reads it; expat expands no entities of a server's
    space = root.tag[: root.tag.find("}") + 1]
    return space, root, unquote_plus if root.findtext(f"{space}EncodingType") == "url" else str


def _object(fields: dict[str, str], space: str) -> Object:
    # Some servers give fractions here that they leave out elsewhere: seconds are what all agree on.
    modified = datetime.fromisoformat(f"{fields[f'{space}LastModified'][:19]}+00:00")
    return Object(int(fields[f"{space}Size"]), fields.get(f"{space}ETag", "").strip('"'), modified)


def _not_whole(location: str, why: str) -> SourceUnreadable:
    return SourceUnreadable(f"The listing of {location} cannot be read in full: {why}.")

"""Talking to an S3 bucket: pages of its listing, and removals and copies under conditions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from xml.etree import ElementTree

from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from tasks.changes.protocols import Outcome, Problem
from tasks.stores.listing import Object
from tasks.stores.s3_errors import failures, result_of, said
from tasks.stores.s3_pages import Listed, Version, page_of, versions_of

PAGE: Final = 1000
NOT_XML: Final = re.compile("[\x00-\x1f\ufffe\uffff]")
"""Characters that XML 1.0 cannot carry, or not unchanged: a key that has one is not named in a body."""


@dataclass(frozen=True)
class Guarded(DeleteObject):
    """A removal that a server which looks at etags makes only of this etag."""

    etag: str = ""

    def toxml(self, element: ElementTree.Element | None) -> ElementTree.Element:
        """Add the etag to what the SDK writes."""
        made = super().toxml(element)
        if self.etag:
            ElementTree.SubElement(made, "ETag").text = f'"{self.etag}"'
        return made


class Bucket:
    """One bucket, for several threads; `location` names it in messages, without secrets."""

    def __init__(self, client: Minio, name: str, location: str) -> None:
        self.name, self.location = name, location
        self.listed_for_one = 1.0
        """Objects that a listing lately went through to look at one again; pages for that are made as large."""
        self._client = client

    def now(self, prefix: str = "") -> datetime:
        """Give the server's time; a prefix under which one may list is enough to ask."""
        return parsedate_to_datetime(self._list(prefix=prefix, max_keys=1).headers["Date"]).astimezone(UTC)

    def versioned(self) -> bool:
        """Say whether a plain deletion leaves the bytes where they are, as an old version."""
        with failures(self.location):
            return self._client.get_bucket_versioning(self.name).status in ("Enabled", "Suspended")

    def created(self) -> str:
        """Return when the bucket was made, empty where the server does not tell."""
        with failures(self.location):
            buckets = self._client.list_buckets()
        made = next((one.creation_date for one in buckets if one.name == self.name), None)
        return made.isoformat() if made and made.year > 1970 else ""

    def _list(self, **query: object) -> Any:
        # The SDK has no public request for one page. Some policies know no defaults, so all are given, as the SDK does.
        given = {"delimiter": "", "encoding-type": "url"} | {
            name.replace("_", "-"): str(value) for name, value in query.items() if value is not None
        }
        with failures(self.location):
            return self._client._execute("GET", self.name, query_params=given)  # type: ignore[arg-type]

    def page(self, prefix: str, after: str | None = None, token: str | None = None, most: int = PAGE) -> Listed:
        """List at most 1000 objects: the first behind `after`, or those that a page's token leads to."""
        after = None if token else after or None
        query = {"list_type": 2, "start_after": after, "continuation_token": token}
        return page_of(self._list(prefix=prefix, max_keys=most, **query).data, self.location)

    def pages(self, prefix: str, after: str | None = None, most: int = PAGE) -> Iterator[list[tuple[str, Object]]]:
        """List all objects under a prefix, or those of them behind `after`."""
        token: str | None = None
        while True:
            page = self.page(prefix, after, token, most)
            yield page.objects
            token = page.token
            if not token:
                return

    def stands(self, key: str) -> Object | None:
        """Look at one object: its own key is the first of those that begin with it."""
        first = next((record for page in self.pages(key, most=1) for record in page), None)
        return first[1] if first and first[0] == key else None

    def versions(self, key: str) -> list[Version]:
        """List the versions of one object and the markers of its deletions, newest first."""
        found: list[Version] = []
        more: dict[str, object] = {}
        while True:
            answer = self._list(versions="", prefix=key, max_keys=PAGE, **more)
            page, goes_on = versions_of(answer.data, key, self.location)
            found += page
            if not goes_on:
                return found
            more = {"key_marker": key, "version_id_marker": found[-1].id}

    def remove(self, objects: Mapping[str, str]) -> dict[str, Outcome | Problem]:
        """Delete at most 1000 objects, given with their etags, in one request.

        Where the server looks at etags, one that was written anew since it was listed stays, a CONFLICT.
        """
        named = [Guarded(key, etag=etag) for key, etag in objects.items() if not NOT_XML.search(key)]
        refused = self._refused(named)
        results = {one.name: refused.get(one.name, Outcome.DONE) for one in named}
        return results | {
            key: self._one(lambda key=key: self._client.remove_object(self.name, key))  # type: ignore[misc]
            for key in objects
            if key not in results
        }

    def remove_versions(self, versions: Sequence[Version]) -> dict[str, Outcome | Problem]:
        """Delete versions; give what became of the objects some version of which was refused."""
        return self._refused([DeleteObject(version.key, version.id) for version in versions])

    def _refused(self, objects: Sequence[DeleteObject]) -> dict[str, Outcome | Problem]:
        results = {}
        with failures(self.location):
            for error in self._client.remove_objects(self.name, objects):  # lazy: unread, it deletes nothing
                if error.name is None:
                    raise said(self.location, error.code, error.message)
                results[error.name] = result_of(self.location, error.code, error.message)
        return results

    def copy(self, key: str, etag: str, to: str, *, only_new: bool = False) -> Outcome | Problem:
        """Copy an object within the bucket if it still has this etag, with `only_new` not over another."""
        headers = CopySource(self.name, key, match_etag=etag or None).gen_copy_headers()
        return self._one(lambda: self._copy(to, headers | ({"If-None-Match": "*"} if only_new else {})))

    def _copy(self, to: str, headers: dict[str, str]) -> None:
        # The SDK's own function asks for the object's size before each copy.
        answer = self._client._execute("PUT", self.name, object_name=to, headers=dict(headers))
        if not ElementTree.fromstring(answer.data).tag.endswith("CopyObjectResult"):  # noqa: S314  # see s3_pages
            raise S3Error.fromxml(answer)  # AWS may only find out after it has said 200

    def _one(self, change: Callable[[], object]) -> Outcome | Problem:
        with failures(self.location):
            try:
                change()
            except S3Error as error:
                return result_of(self.location, error.code, error.message, error.response.status)
            except ValueError as error:
                return Problem(f"its name cannot be used in a request: {error}")
        return Outcome.DONE

"""The connection to an S3 bucket: pages of its listing, and removals and copies under conditions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, Final
from uuid import uuid4
from xml.etree import ElementTree

from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteError, DeleteObject
from minio.error import S3Error

from tasks.changes.errors import SourceUnreadable, StoreDenied, StoreError, StoreFailed, StoreUnavailable
from tasks.changes.protocols import Outcome, Problem
from tasks.stores.key_ranges import folder_of
from tasks.stores.listing import ListingBroken, Object
from tasks.stores.one_by_one import one_by_one
from tasks.stores.s3_errors import (
    ADVICE,
    OUTCOMES,
    NotOffered,
    Refused,
    failures,
    is_busy,
    is_denied,
    is_not_offered,
    said,
)
from tasks.stores.s3_pages import Listed, Version, page_of, versions_of

Results = dict[str, Outcome | Problem]
PAGE: Final = 1000
PAGES_FOR_ONE: Final = 20
"""Pages that are read to find one key that cannot be asked for by its whole name."""
PAUSES: Final = (0.5, 2.0)
"""Seconds before keys for which the server was busy are tried again, without the others."""
NOT_XML: Final = re.compile("[\x00-\x1f\ufffe\uffff]")
"""Characters that XML 1.0 cannot carry, or not unchanged: a key that has one is not named in a body."""

LIST: Final = "s3:ListBucket"
BUCKETS: Final = "s3:ListAllMyBuckets"
LIST_VERSIONS: Final = "s3:ListBucketVersions"
DELETE: Final = "s3:DeleteObject"
DELETE_VERSION: Final = "s3:DeleteObjectVersion"
COPY: Final = "s3:GetObject or s3:PutObject"
VERSIONING: Final = "s3:GetBucketVersioning"


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


def carried(text: str) -> str:
    """Return the beginning of a text that a page of a listing can carry: some servers echo what they were asked."""
    return NOT_XML.split(text, maxsplit=1)[0]


class Bucket:
    """One bucket, for several threads; `location` names it in messages, without secrets.

    What concerns one key is a result of that key; what concerns all is raised. A refusal concerns all as long as the
    right that it is about was never granted.
    """

    def __init__(self, client: Minio, name: str, location: str) -> None:
        self.name, self.location = name, location
        self.listed_for_one = 1.0
        """Objects that a listing lately went through to look at one again; pages for that are made as large."""
        self._client = client
        self._granted: set[str] = set()
        self._in_bulk = True

    def now(self, prefix: str = "") -> datetime:
        """Return the server's time; a prefix under which one may list is enough to ask."""
        with failures(self.location, LIST):
            date = self._list(prefix=prefix, max_keys=1).headers.get("Date")
        try:
            return parsedate_to_datetime(date or "").astimezone(UTC)
        except ValueError as error:
            message = f"{self.location} does not answer as S3 does: it tells no time. Is it an S3 endpoint?"
            raise StoreDenied(message) from error

    def versioned(self) -> bool | None:
        """Whether a plain deletion leaves the bytes where they are, as an old version; None where it is not told."""
        try:
            with failures(self.location, VERSIONING):
                return self._client.get_bucket_versioning(self.name).status in ("Enabled", "Suspended")
        except StoreError:  # it is for the report only
            return None

    def created(self) -> str:
        """Return when the bucket was made, empty where the server does not tell."""
        with failures(self.location, BUCKETS):
            buckets = self._client.list_buckets()
        made = next((one.creation_date for one in buckets if one.name == self.name), None)
        return made.isoformat() if made and made.year > 1970 else ""

    def _list(self, right: str = LIST, **query: object) -> Any:
        # The SDK has no public request for one page. Some policies know no defaults, so all are given, as the SDK does.
        given = {"delimiter": "", "encoding-type": "url"} | {
            name.replace("_", "-"): str(value) for name, value in query.items() if value is not None
        }
        with failures(self.location, right):
            return self._client._execute("GET", self.name, query_params=given)  # type: ignore[arg-type]

    def page(self, prefix: str, after: str | None = None, token: str | None = None, most: int = PAGE) -> Listed:
        """List at most 1000 objects: the first behind `after`, or those that a page's token leads to."""
        after = None if token else after or None
        query: dict[str, Any] = {"list_type": 2, "start_after": after, "continuation_token": token}
        return page_of(self._list(prefix=prefix, max_keys=most, **query).data, self.location)

    def pages(self, prefix: str, after: str | None = None, most: int = PAGE) -> Iterator[list[tuple[str, Object]]]:
        """List all objects under a prefix, or those of them behind `after`.

        Raises ListingBroken where a page cannot be had, so that the listing must be begun again.
        """
        token: str | None = None
        while True:
            page = self._page_of_some_size(prefix, after, token, most)
            yield page.objects
            if page.token and page.token == token:
                message = f"The listing of {self.location} leads from a page to the same page again."
                raise ListingBroken(message)
            token = page.token
            if not token:
                return

    def _page_of_some_size(self, prefix: str, after: str | None, token: str | None, most: int) -> Listed:
        """Ask for a page; where it cannot be read, as some server's that ends at an odd key, for a smaller one."""
        for size in filter(None, (most, most - 1)):
            try:
                return self._page_after(prefix, after, token, size)
            except ListingBroken:
                raise
            except SourceUnreadable:  # perhaps a smaller one can be
                continue
        return self._page_after(prefix, after, token, max(most // 2, 1))

    def _page_after(self, prefix: str, after: str | None, token: str | None, most: int) -> Listed:
        try:
            return self.page(prefix, after, token, most)
        except StoreDenied as error:
            if not token or type(error) is not StoreDenied:
                raise
            message = f"The listing of {self.location} cannot be continued. {error}"
            raise ListingBroken(message) from error

    def is_there(self, key: str) -> bool:
        """Whether the server answers for a key, which need not be listed so; False too where it may not be asked."""
        try:
            with failures(self.location, COPY):
                self._client.stat_object(self.name, key)
        except StoreUnavailable:
            raise
        except StoreError:
            return False
        return True

    def stands(self, key: str) -> Object | None:
        """Return the object under one key: it is the first of those that begin with it.

        Raises SourceUnreadable where that cannot be told.
        """
        asked = carried(key)
        if asked == key:
            first = next((record for page in self.pages(key, most=1) for record in page), None)
            return first[1] if first and first[0] == key else None
        pages = self.pages(asked)
        for page in islice(pages, PAGES_FOR_ONE):
            if found := dict(page).get(key):
                return found
        if next(pages, None) is None:
            return None
        message = f"too many keys of {self.location} begin as it does"
        raise SourceUnreadable(message)

    def versions(self, key: str) -> list[Version]:
        """List the versions of one object and the markers of its deletions, newest first."""
        found: list[Version] = []
        more: dict[str, Any] = {}
        asked = carried(key)
        while True:
            answer = self._list(LIST_VERSIONS, versions="", prefix=asked, max_keys=PAGE, **more)
            page, goes_on = versions_of(answer.data, key, self.location)
            found += page
            if not goes_on:
                return found
            if asked != key:
                message = f"the versions of {key!r} in {self.location} do not fit into a page"
                raise SourceUnreadable(message)
            more = {"key_marker": key, "version_id_marker": found[-1].id}

    def check_may_delete(self, key: str) -> None:
        """Raise StoreDenied where the keys may delete nothing beside a key: asked before anything is copied.

        What is asked for is not there. The condition keeps versioned buckets from taking note of its deletion.
        """
        absent = f"{folder_of(carried(key))}.steward-asks-{uuid4().hex}"
        try:
            with failures(self.location, DELETE):
                self._client._execute("DELETE", self.name, object_name=absent, headers={"If-Match": '"none"'})
        except Refused:
            raise
        except StoreDenied:  # it may: the condition does not hold, or is not offered
            return

    def remove(self, objects: Mapping[str, str], check: Callable[[], None] = lambda: None) -> Iterator[Results]:
        """Delete at most 1000 objects, given with their etags, in one request; yield results as they are known.

        Where the server looks at etags, one that was written anew since it was listed stays, a CONFLICT. `check` is
        called before each request, and keeps it from being sent by an exception.
        """
        named = [Guarded(key, etag=etag) for key, etag in objects.items() if not NOT_XML.search(key)]
        yield from self._delete(named, DELETE, check)
        odd = [DeleteObject(key) for key in objects if NOT_XML.search(key)]
        yield from self._delete_one_by_one(odd, DELETE, check)

    def remove_versions(self, versions: Sequence[Version]) -> Iterator[Results]:
        """Delete versions; yield results by the keys of objects, which say DONE where one was deleted."""
        objects = [DeleteObject(version.key, version.id) for version in versions]
        yield from self._delete([one for one in objects if not NOT_XML.search(one.name)], DELETE_VERSION)
        yield from self._delete_one_by_one([one for one in objects if NOT_XML.search(one.name)], DELETE_VERSION)

    def _delete(
        self, objects: Sequence[DeleteObject], right: str, check: Callable[[], None] = lambda: None
    ) -> Iterator[Results]:
        for at in range(0, len(objects), PAGE):
            part = objects[at : at + PAGE]
            if self._in_bulk:
                try:
                    yield from self._delete_in_bulk(part, right, check)
                    continue
                except NotOffered:
                    self._in_bulk = False
            yield from self._delete_one_by_one(part, right, check)

    def _delete_in_bulk(
        self, objects: Sequence[DeleteObject], right: str, check: Callable[[], None]
    ) -> Iterator[Results]:
        """Delete objects in one request; those for which the server is busy are tried again without the others."""
        names = {one.name for one in objects}
        check()
        errors = self._errors_of(objects, right)
        busy = {name for name, error in errors.items() if is_busy(error.code)}
        if len(busy) == len(names) > 1:
            error = errors[min(busy)]
            raise said(self.location, error.code, error.message)
        yield self._results(names - busy, errors, right)
        for pause in PAUSES if busy else ():
            time.sleep(pause)
            check()
            names = busy
            errors = self._errors_of([one for one in objects if one.name in names], right)
            busy = {name for name, error in errors.items() if is_busy(error.code)}
            results = self._results(names - busy, errors, right)
            # What is gone now went with the first request, whatever its answer was.
            yield {name: Outcome.DONE if result is Outcome.ALREADY else result for name, result in results.items()}
        yield {name: _problem(errors[name], right) for name in busy}

    def _errors_of(self, objects: Sequence[DeleteObject], right: str) -> dict[str, DeleteError]:
        """Ask for a deletion; return what the server could not delete, by key."""
        with failures(self.location, right):
            errors = list(self._client.remove_objects(self.name, list(objects)))
        for error in errors:
            if error.name is None:
                raise said(self.location, error.code, error.message, right=right)
        names = {one.name for one in objects}
        if strange := [error for error in errors if error.name not in names]:
            message = f"{self.location} answers for a key that it was not asked to delete: {strange[0].name!r}."
            raise StoreFailed(message)
        return {str(error.name): error for error in errors}

    def _results(self, names: set[str], errors: Mapping[str, DeleteError], right: str) -> Results:
        """Return what became of objects; raise StoreDenied where the keys may delete none of them, or any before."""
        denied = [name for name in names if name in errors and is_denied(errors[name].code)]
        if len(denied) < len(names):
            self._granted.add(right)
        elif denied and right not in self._granted and (right == DELETE or len(denied) > 1):
            raise said(self.location, errors[denied[0]].code, errors[denied[0]].message, right=right)
        return {
            name: OUTCOMES.get(errors[name].code) or _problem(errors[name], right) if name in errors else Outcome.DONE
            for name in names
        }

    def _delete_one_by_one(
        self, objects: Sequence[DeleteObject], right: str, check: Callable[[], None] = lambda: None
    ) -> Iterator[Results]:
        def delete(one: DeleteObject) -> Outcome | Problem:
            check()
            return self._one(lambda: self._client.remove_object(self.name, one.name, one.version_id), right)

        return ({one.name: result} for one, result in one_by_one(objects, delete))

    def copy(self, key: str, etag: str, to: str, *, only_new: bool = False) -> Outcome | Problem:
        """Copy an object within the bucket if it still has this etag, with `only_new` not over another."""
        headers = CopySource(self.name, key, match_etag=etag or None).gen_copy_headers()
        if only_new:
            with suppress(NotOffered):  # then whoever writes there in this very moment is not noticed
                return self._one(lambda: self._copy(to, headers | {"If-None-Match": "*"}), COPY)
        return self._one(lambda: self._copy(to, headers), COPY)

    def _copy(self, to: str, headers: Mapping[str, Any]) -> None:
        # The SDK's own function asks for the object's size before each copy.
        answer = self._client._execute("PUT", self.name, object_name=to, headers=dict(headers))
        if not ElementTree.fromstring(answer.data).tag.endswith("CopyObjectResult"):  # noqa: S314  # see s3_pages
            raise S3Error.fromxml(answer)  # AWS may only find out after it has said 200

    def put_empty(self, key: str) -> Outcome | Problem:
        """Write an object without content."""
        return self._one(lambda: self._client._execute("PUT", self.name, object_name=key, body=b""), COPY)

    def _one(self, change: Callable[[], object], right: str) -> Outcome | Problem:
        with failures(self.location, right):
            try:
                change()
            except S3Error as error:
                return self._result(error.code, error.message, error.response.status, right)
            except ValueError as error:
                return Problem(f"its name cannot be used in a request: {error}")
        self._granted.add(right)
        return Outcome.DONE

    def _result(self, code: str | None, message: str | None, status: int, right: str) -> Outcome | Problem:
        """Return what an error says of one object; raise it where that is said of them all."""
        if code in OUTCOMES:
            return OUTCOMES[code]
        denied = is_denied(code, status)
        for_all = denied and right not in self._granted
        if for_all or is_busy(code, status) or is_not_offered(code, status) or code in ADVICE:
            raise said(self.location, code, message, status, right)
        return Problem(f"{code}: {message}{_held(right) if denied else ''}")


def _problem(error: DeleteError, right: str) -> Problem:
    return Problem(f"{error.code}: {error.message}{_held(right) if is_denied(error.code) else ''}")


def _held(right: str) -> str:
    return f" It is under a hold or retention, or the keys lack the right {right} for it."

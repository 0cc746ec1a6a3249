"""A listing of objects, kept in a temporary file so that it is complete before anything else is read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

import zstandard
from msgspec import msgpack

from tasks.changes.errors import SourceUnreadable
from tasks.changes.protocols import Key


class ListingBroken(SourceUnreadable):
    """A listing broke off in the middle: it must be begun again, as nothing can be concluded from its beginning."""


class Object(NamedTuple):
    """What a listing says of an object: bytes, a version of its content, and when it was written, in UTC.

    `modified` is in whole seconds where it is a server's, so it may be up to a second early.
    """

    size: int
    etag: str
    modified: datetime


Page = Sequence[tuple[Key, Object]]
T = TypeVar("T")

_decode: Final = msgpack.Decoder(list[tuple[Any, Object]]).decode  # a key is text or bytes


def ahead(listings: Iterable[Iterator[T]], at_once: int = 1) -> Iterator[tuple[int, T]]:
    """Yield the pages of listings, each with its listing's number, some at a time, while the caller has the last."""
    waiting = enumerate(listings)
    with ThreadPoolExecutor(at_once) as threads:
        coming = {threads.submit(next, pages, None): (number, pages) for number, pages in islice(waiting, at_once)}
        while coming:
            for ready in wait(coming, return_when=FIRST_COMPLETED).done:
                listing, page = coming.pop(ready), ready.result()
                follows = next(waiting, None) if page is None else listing
                if follows:
                    coming[threads.submit(next, follows[1], None)] = follows
                if page is not None:
                    yield listing[0], page


def spooled(pages: Iterable[tuple[int, Page]]) -> Iterator[Page]:
    """Read all pages, then yield them, one listing after the other, however they came.

    What is read after the first was listed before it. They wait in a file that has no name: only this process can read
    it, and it is gone with it, however that ends. It takes about 60 bytes a key; memory is for one page, and for where
    each lies, a hundred bytes.
    """
    pack, unpack = zstandard.ZstdCompressor(level=1).compress, zstandard.ZstdDecompressor().decompress
    with tempfile.TemporaryFile(prefix="steward-listing-") as file:
        places = []
        for listing, page in pages:
            place = file.tell()
            places.append((listing, place, file.write(pack(msgpack.encode(page)))))
        for _, place, length in sorted(places):
            file.seek(place)
            yield _decode(unpack(file.read(length)))

"""A listing of objects, kept in a temporary file so that it is complete before anything else is read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import datetime
from itertools import islice
from struct import Struct
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import zstandard
from msgspec import msgpack

from tasks.changes.protocols import Key


class Object(NamedTuple):
    """What a listing says of an object: bytes, a version of its content, and when it was written, in UTC.

    `modified` is in whole seconds where it is a server's, so it may be up to a second early.
    """

    size: int
    etag: str
    modified: datetime


Page = Sequence[tuple[Key, Object]]
T = TypeVar("T")

LENGTH: Final = Struct("<I")
_decode: Final = msgpack.Decoder(list[tuple[Any, Object]]).decode  # a key is text or bytes


def ahead(listings: Iterable[Iterator[T]], at_once: int = 1) -> Iterator[T]:
    """Get the next pages of listings, of some at the same time, while the caller works on the last."""
    waiting = iter(listings)
    with ThreadPoolExecutor(at_once) as threads:
        coming = {threads.submit(next, one, None): one for one in islice(waiting, at_once)}
        while coming:
            for ready in wait(coming, return_when=FIRST_COMPLETED).done:
                listing, page = coming.pop(ready), ready.result()
                follows = next(waiting, None) if page is None else listing
                if follows:
                    coming[threads.submit(next, follows, None)] = follows
                if page is not None:
                    yield page


def spooled(pages: Iterable[Page]) -> Iterator[Page]:
    """Read all pages, then give them again: what is read after the first was listed before it.

    They wait in a file that has no name: only this process can read it, and it is gone with it, however that ends.
    It takes about 60 bytes a key; memory is for one page.
    """
    with tempfile.TemporaryFile(prefix="steward-listing-") as file:
        with zstandard.ZstdCompressor(level=1).stream_writer(file, closefd=False) as packed:
            for page in pages:
                body = msgpack.encode(page)
                packed.write(LENGTH.pack(len(body)) + body)
        file.seek(0)
        with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as unpacked:
            yield from _pages(unpacked)


def _pages(file: BinaryIO) -> Iterator[Page]:
    while length := file.read(LENGTH.size):
        yield _decode(file.read(LENGTH.unpack(length)[0]))

"""Reads a record as strictly as a type says, to the depth and with the URIs that Datashare can read."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final

import msgspec

from tasks.datashare.records import UnreadableRecord, decoded

MAX_NESTING_DEPTH: Final = 20
OPENING, BRACKETS = (bytes(set(range(256)) - set(some)) for some in (b"{[", b"{[]}"))
STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
IS_URI: Final[Callable[[str], object]] = re.compile(
    r"""[^\x00-\x20"<>\\^`{|}[\]\x7f%]*+(?:%[0-9A-Fa-f]{2}[^\x00-\x20"<>\\^`{|}[\]\x7f%]*+)*+"""
).fullmatch


class Reader:
    """Reads records of one generation as its Datashare does."""

    def __init__(self, record: Any) -> None:
        """Take the type of a record."""
        self._decode = msgspec.json.Decoder(record).decode

    def check(self, value: bytes) -> None:
        """Raise UnreadableRecord, whose text is the reason, where Datashare would fail on a record or misread it."""
        try:
            decoded(value, self._decode)
        except msgspec.ValidationError as error:
            raise UnreadableRecord(str(error)) from error
        if len(value.translate(None, OPENING)) > MAX_NESTING_DEPTH and depth(value) > MAX_NESTING_DEPTH:
            message = f"it is nested deeper than the {MAX_NESTING_DEPTH} levels that Datashare reads"
            raise UnreadableRecord(message)


def depth(value: bytes) -> int:
    """Give how deep a JSON text is nested."""
    return max(accumulate(1 if one in b"{[" else -1 for one in STRING.sub(b"", value).translate(None, BRACKETS)))


def check_uri(text: str | None, name: str) -> None:
    """Raise ValueError where java.net.URI would fail."""
    if text is not None and not IS_URI(text):
        message = f"{name} {text} is no URI: it must be percent-encoded"
        raise ValueError(message)

"""Reads a record as strictly as a type says, to the depth and with the URIs that Datashare can read."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final

import msgspec

from tasks.datashare.records import UnreadableRecord, decoded

MAX_NESTING_DEPTH: Final = 20
MAX_NUMBER_LENGTH: Final = 100
BRACKETS: Final = bytes(set(range(256)) - set(b"{[]}"))
# Every record is looked at only in outline, which is fast: its digits, each as 0, its commas, and what opens a level,
# as [. A number has all of its digits in one row.
OUTLINE: Final = bytes(0x30 if one in b"0123456789" else 0x5B if one in b"{[" else one for one in range(256))
NO_OUTLINE: Final = bytes(set(range(256)) - set(b"0123456789,{["))
MANY_DIGITS: Final = b"0" * 40
NUMBER: Final = re.compile(rb"-?(\d+)(?:\.(\d+))?(?:[eE][+-]?(\d+))?")
STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
IS_URI: Final[Callable[[str], object]] = re.compile(
    r"""[^\x00-\x20"<>\\^`{|}[\]\x7f%]*+(?:%[0-9A-Fa-f]{2}[^\x00-\x20"<>\\^`{|}[\]\x7f%]*+)*+"""
).fullmatch


NARROWER: Final = "$.task.args"
"""Where a common type differs from the others."""


class Reader:
    """Reads records of one generation as its Datashare does."""

    def __init__(self, *records: Any, common: Any = None) -> None:
        """Take the types that a record must be of, each.

        `common` is a narrower one that most records are of, and that is checked in less time than all of the others.
        """
        self._decoders = [msgspec.json.Decoder(record, float_hook=str).decode for record in records]
        self._common = msgspec.json.Decoder(common or records[0]).decode

    def check(self, value: bytes) -> None:
        """Raise UnreadableRecord, whose text is the reason, where Datashare would fail on a record or misread it."""
        try:
            decoded(value, self._common)
        except msgspec.ValidationError as error:
            self._check_types(value, error)
        check_limits(value)

    def _check_types(self, value: bytes, uncommon: msgspec.ValidationError) -> None:
        """Raise UnreadableRecord where a record that is not of the common type is not of all of the others either."""
        if NARROWER not in str(uncommon):
            raise UnreadableRecord(str(uncommon)) from uncommon
        for decode in self._decoders:
            try:
                decoded(value, decode)
            except msgspec.ValidationError as error:
                raise UnreadableRecord(str(error)) from error


def check_limits(value: bytes) -> None:
    """Raise UnreadableRecord, whose text is the reason, where a JSON text is too much for Datashare's parser."""
    outline = value.translate(OUTLINE, NO_OUTLINE)
    if outline.count(b"[") > MAX_NESTING_DEPTH and depth(value) > MAX_NESTING_DEPTH:
        message = f"it is nested deeper than the {MAX_NESTING_DEPTH} levels that Datashare reads"
        raise UnreadableRecord(message)
    if MANY_DIGITS in outline and longest_number(value) > MAX_NUMBER_LENGTH:
        message = f"it has a number of more than the {MAX_NUMBER_LENGTH} digits that Datashare reads"
        raise UnreadableRecord(message)


def depth(value: bytes) -> int:
    """Return how deep a JSON text is nested."""
    return max(accumulate(1 if one in b"{[" else -1 for one in STRING.sub(b"", value).translate(None, BRACKETS)))


def longest_number(value: bytes) -> int:
    """Return the most digits that a number in a JSON text has, those of its exponent too."""
    numbers = NUMBER.finditer(STRING.sub(b"", value))
    return max((sum(map(len, filter(None, number.groups()))) for number in numbers), default=0)


def check_uri(text: str | None, name: str) -> None:
    """Raise ValueError where java.net.URI would fail."""
    if text is not None and not IS_URI(text):
        message = f"{name} {text} is no URI: it must be percent-encoded"
        raise ValueError(message)

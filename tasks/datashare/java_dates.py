"""Dates as Java's reader takes them: milliseconds since 1970, or a text in one of three forms."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DATE: Final = "java.util.Date"

MILLISECONDS: Final = r"-?\d{1,18}"
DAY: Final = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
TIME: Final = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:\.\d{1,9})?"
ZONE: Final = r"Z|[+-]\d\d(?::?\d\d)?"
RFC_1123: Final = (
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
    r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d (?:GMT|UTC|[+-]\d{4})"
)
FORMS: Final = rf"^(?:{MILLISECONDS}|{DAY}(?:T{TIME}(?:{ZONE})?)?|{RFC_1123})\Z"
"""All texts that are a date. Java also counts a month 13 on into the next year, which no one means."""

_is_date: Final = re.compile(FORMS).match


def milliseconds(value: Any) -> int | None:
    """Return a time in milliseconds since 1970, UTC: given so, as a text, or as the typed mapper's pair of either.

    None where it is none of these.
    """
    if isinstance(value, list) and len(value) == 2 and value[0] == DATE:
        value = value[1]
    if isinstance(value, str):
        return _milliseconds_of(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _milliseconds_of(text: str) -> int | None:
    if not _is_date(text):
        return None
    if re.fullmatch(MILLISECONDS, text):
        return int(text)
    try:
        date = parsedate_to_datetime(text) if "," in text else datetime.fromisoformat(text)
    except ValueError:  # the 30th of February
        return None
    return (date.replace(tzinfo=date.tzinfo or UTC) - EPOCH) // timedelta(milliseconds=1)

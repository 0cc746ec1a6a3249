"""Text for people: what comes from a record never acts on a terminal, a size has a unit beside its number."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from rich.filesize import decimal

MASK: Final = "PASSWORD"
PASSWORD: Final = re.compile(r"(?<=://)(?P<user>[^\s/?#@:]*:)[^\s/?#]*(?=@)")
"""A password in a URL that is somewhere in a text."""
SHOWN: Final = 200
BAR: Final = 24
LEAD: Final = 20
EIGHTHS: Final = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def without_passwords(text: str) -> str:
    """Return a text, such as a traceback, without the passwords of the URLs in it."""
    return PASSWORD.sub(rf"\g<user>{MASK}", text) if "://" in text else text


def printable(text: str) -> str:
    """Return text with every character escaped that a terminal would act on, or that turns the text around."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_lines(text: str) -> str:
    """Return text of several lines of which none acts on a terminal; for a text of ours that may hold others' words."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


def json_printable(text: str) -> str:
    """Return one line of JSON as equal JSON that a terminal only shows: JSON itself escapes no C1 and no bidi marks."""
    return text if text.isprintable() else "".join(map(_json_character, text))


def _json_character(one: str) -> str:
    return one if one.isprintable() else json.dumps(one)[1:-1]


def clipped(text: str, limit: int = SHOWN) -> str:
    """Return at most so many characters of a text, and how many there are in all."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def clipped_pair(old: str, new: str, limit: int) -> tuple[str, str]:
    """Return so much of two texts that the place where they begin to differ is in it."""
    if max(len(old), len(new)) <= limit:
        return old, new
    differ = (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other)
    start = max(0, next(differ, min(len(old), len(new))) - LEAD)
    return _window(old, start, limit), _window(new, start, limit)


def _window(text: str, start: int, limit: int) -> str:
    end = start + limit
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def sized(count: int) -> str:
    """Return a number of bytes, exact, and from 1,000 on in human units too."""
    return f"{count:,}" if count < 1000 else f"{count:,} ({decimal(count)})"


def freeing(count: int) -> str:
    """Return in words what the store is smaller by, or larger where it is negative."""
    exact, _, human = sized(abs(count)).partition(" ")
    return f"{'adding' if count < 0 else 'freeing'} {exact} bytes {human}".rstrip()


def bars(counts: Mapping[str, int]) -> list[str]:
    """Return two lines for each count: what is counted, and a bar in proportion to the largest with the number.

    What is counted may be long, and a bar of another width than letters: nothing stands behind either.
    """
    largest = max(counts.values(), default=0)
    return [line for name, count in counts.items() for line in (printable(name), f"{_bar(count, largest)} {count:,}")]


def _bar(count: int, largest: int) -> str:
    eighths = max(1, round(8 * BAR * count / largest)) if count else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8]

"""Markdown in which what comes from records stays data: no mark-up, no HTML, no link is made of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from tasks.changes.texts import printable

ACTS: Final = re.compile(r"[\\`*_\[\]<>&|~$#@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What Markdown acts on within a line, and what it makes links of."""


def plain(text: str) -> str:
    """Return text that Markdown shows as it is, within a line."""
    return ACTS.sub(r"\\\g<0>", printable(text))


def code(text: str) -> str:
    """Return text in the style of code, within a line."""
    shown = printable(text)
    fence = _longer_than_in(shown, 1)
    pad = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) else ""
    return f"{fence}{pad}{shown}{pad}{fence}" if shown.strip() else "(empty)"


def block(lines: Iterable[str]) -> str:
    """Return lines in the style of code, each on its own."""
    shown = [printable(line) for line in lines]
    fence = _longer_than_in("\n".join(shown), 3)
    return "\n".join([fence, *shown, fence])


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of two columns, the second one of numbers; what comes from records is escaped already."""
    return "\n".join(["| what | how many |", "|:--|--:|", *(f"| {what} | {value} |" for what, value in rows)])


def _longer_than_in(text: str, least: int) -> str:
    """Return a fence of backticks that is nowhere in a text."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)

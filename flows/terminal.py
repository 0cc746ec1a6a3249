"""What a command writes for people: colours on a terminal, and none elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable

from rich.console import Console
from rich.style import Style

from tasks.changes.texts import printable

Paint = Callable[[str, str], str]
"""Gives a text a style, such as `bold red`."""


def say(text: str) -> None:
    """Tell the operator something, on stderr, in lines of which none acts on the terminal."""
    lines = "\n".join(map(printable, text.split("\n")))
    Console(stderr=True, soft_wrap=True, highlight=False).print(lines, markup=False)


def paint() -> Paint:
    """Return what paints text for stdout, or leaves it as it is: NO_COLOR, FORCE_COLOR and TERM=dumb are obeyed."""
    system = None if os.environ.get("NO_COLOR") else Console().color_system
    return _painted if system else _unpainted


def _painted(text: str, style: str) -> str:
    return Style.parse(style).render(text) if text else text


def _unpainted(text: str, _style: str) -> str:
    return text

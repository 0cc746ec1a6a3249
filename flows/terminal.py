"""What a command writes for people and programs: nothing acts on a terminal, and colours are only on one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress

from rich.console import Console
from rich.style import Style

from tasks.changes.errors import StewardError
from tasks.changes.texts import printable_lines

Paint = Callable[[str, str], str]
"""Gives a text a style, such as `bold red`."""


class OutputFailed(StewardError):
    """Stdout cannot be written, as on a full disk."""


def open_streams() -> None:
    """Open what is closed of stdin, stdout and stderr, or the next file or connection would be taken for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def say(text: str) -> None:
    """Write something to the operator, on stderr, in lines of which none acts on the terminal.

    An stderr that is closed, or full, does not end a run: it may be in the middle of its changes.
    """
    with suppress(OSError, ValueError):
        Console(stderr=True, soft_wrap=True, highlight=False).print(printable_lines(text), markup=False)


def write(text: str) -> None:
    """Write lines to stdout that are printable already; nothing happens where nobody reads them any more.

    Raises OutputFailed where they cannot be written.
    """
    _written(lambda: print(text, flush=True))


def write_all(texts: Iterable[str]) -> None:
    """Write many texts to stdout, until nobody reads them any more; raises OutputFailed."""
    for text in texts:
        if not _written(lambda text=text: print(text)):  # type: ignore[misc]  # mypy knows no default of a lambda
            return
    flush()


def flush() -> None:
    """Write what is left of the output, such as that of --help; raises OutputFailed."""
    if sys.stdout and not sys.stdout.closed:
        _written(sys.stdout.flush)


def _written(act: Callable[[], None]) -> bool:
    try:
        act()
    except BrokenPipeError:  # `| head` has read enough
        _write_no_more()
        return False
    except OSError as error:
        _write_no_more()
        message = f"The output cannot be written: {error.strerror}."
        raise OutputFailed(message) from error
    return True


def _write_no_more() -> None:
    """Send the rest of the output nowhere, or Python would try to write it once more as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def paint() -> Paint:
    """Return what paints text for stdout, or leaves it as it is: NO_COLOR, FORCE_COLOR and TERM=dumb are obeyed."""
    system = None if os.environ.get("NO_COLOR") else Console().color_system
    return _painted if system else _unpainted


def _painted(text: str, style: str) -> str:
    return Style.parse(style).render(text) if text else text


def _unpainted(text: str, _style: str) -> str:
    return text

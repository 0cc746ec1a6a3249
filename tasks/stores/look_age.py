"""Noticing that a batch stood still, so that what was seen before it was sent may not hold any more.

A row may reference an object again at any moment, and nothing in the object shows it. So references are read right
before a batch. Where it then goes on step by step, it is over before long; where it stands still, as in a stopped
process or before a server that is gone, the rest of it has to be looked at again.
"""

from __future__ import annotations

from typing import Final

from tasks.changes.clock import elapsed
from tasks.changes.errors import LookExpired

STILL_SECONDS: Final = 5.0
"""More than any step of a batch takes that goes on."""


class LookAge:
    """One for each part of a batch that goes on by itself, from the moment when the batch was looked at."""

    def __init__(self, location: str, since: float) -> None:
        self._location, self._last = location, since

    def check(self) -> None:
        """Raise LookExpired where nothing has gone on since the last call; asked right before each step."""
        now = elapsed()
        if now - self._last > STILL_SECONDS:
            message = f"{self._location} stood still for {now - self._last:.0f} s, and the rest may have changed."
            raise LookExpired(message)
        self._last = now

    def went_on(self) -> None:
        """Note that a step is done that may well take long."""
        self._last = elapsed()

"""A plan's name on the terminal before its first change, so that a run that ends early can be taken up or back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows.terminal import say
from tasks.changes.next_steps import next_steps

if TYPE_CHECKING:
    from tasks.changes.report import Report


class Announcer(logging.Handler):
    """Waits for the lines that a run logs when its plan waits for somebody, when its changes begin, and at its end.

    Each holds the report as far as it is.
    """

    begun: Report | None = None
    reported: Report | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Name the plan, where this is the line of its beginning; keep the report that is in the line of its end."""
        self.reported = getattr(record, "reported", self.reported)
        if begun := getattr(record, "begun", None):
            if self.begun is None:
                say(f"Plan: {begun.plan}")
            self.begun = begun


@contextmanager
def announced(store: str) -> Iterator[Announcer]:
    """Have the plan of a run named on stderr, and where the run is interrupted, what to do about it."""
    announcer, log = Announcer(), logging.getLogger("prefect.flow_runs")
    log.addHandler(announcer)
    try:
        yield announcer
    except KeyboardInterrupt:
        if announcer.begun and (steps := next_steps(announcer.begun, store)):
            say("\n".join(["", steps.text, *(f"  {command}" for command in steps.commands)]))
        raise
    finally:
        log.removeHandler(announcer)

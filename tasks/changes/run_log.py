"""Log records of which no line is forged and none acts on a terminal, whatever a message or an exception holds."""

from __future__ import annotations

import logging
from typing import Final

from tasks.changes.texts import printable, printable_lines, without_passwords

RUNS: Final = ("prefect.flow_runs", "prefect.task_runs")
"""The loggers of runs: what they log is on a run's page, and on the terminal of whoever reads it there."""
INDENT: Final = "    "
AS_TEXT: Final = logging.Formatter()


class Printable(logging.Filter):
    """Lets every record pass, its message in one line and its traceback indented, both escaped."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Escape a record, for this handler and those that come after it."""
        record.msg, record.args = printable(without_passwords(record.getMessage())), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = indented(without_passwords(AS_TEXT.formatException(record.exc_info)))
        record.exc_info = None
        return True


def indented(traceback: str) -> str:
    """Return a traceback in which no line looks like the beginning of a record."""
    return "\n".join(f"{INDENT}{line}" for line in printable_lines(traceback).split("\n"))


def escape_logs_of_runs() -> None:
    """Escape what Prefect logs of runs of this process; more than once is as good as once."""
    for name in RUNS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, Printable) for one in logger.filters):
            logger.addFilter(Printable())

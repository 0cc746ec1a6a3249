"""What went wrong, as a command ends with it: one text and an exit status, and what nobody foresaw in a log file."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from blocks.errors import UnusableCredentials
from flows.log_file import write_traceback
from flows.prefect_api import meaning, wrong_settings
from tasks.changes.errors import ApplyStopped, StewardError, StoreFailed
from tasks.changes.texts import without_passwords

DONE, FAILED, USAGE, REFUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143
PREFIXES = {USAGE: "", REFUSED: "Refused: ", FAILED: "Failed: "}


class Terminated(KeyboardInterrupt):
    """Somebody, or the machine as it stops, asked the command to end."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise Terminated where the process is sent SIGTERM, so that it ends as it does at Ctrl-C."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def status_and_text(error: Exception) -> tuple[int, str]:
    """Return the exit status that an exception means, and what the operator is told."""
    if isinstance(error, UnusableCredentials):
        return USAGE, str(error)
    failure = error if isinstance(error, StewardError) else _of_prefect(error)
    if failure is None:
        return FAILED, f"Failed: {_in_a_line(error)}. {_traceback_of(error)}"
    text = f"{PREFIXES[failure.exit_status]}{failure}"
    if _nobody_foresaw(error):
        text = f"{text.removesuffix('.')}. {_traceback_of(error)}"
    return failure.exit_status, text


def _of_prefect(error: Exception) -> StewardError | None:
    if wrong := wrong_settings(error):
        return wrong
    return meaning(error) if "prefect.context" in sys.modules else None  # where its import failed, it fails again


def _in_a_line(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0].rstrip(".")
    return without_passwords(f"{type(error).__name__}: {first}" if first else type(error).__name__)


def _traceback_of(error: Exception) -> str:
    file = write_traceback(error)
    return f"Nobody foresaw this; its traceback is in {file}" if file else "Nobody foresaw this."


def _nobody_foresaw(error: BaseException | None) -> bool:
    """Return whether an error of ours was made of an exception that a client library, or we, raised unexpectedly."""
    while error:
        stopped_by = error.__cause__ if isinstance(error, ApplyStopped) else None
        if isinstance(error, StoreFailed) or (stopped_by and not isinstance(stopped_by, StewardError)):
            return True
        error = error.__cause__
    return False

"""The log of a command in a file: the one that its options ask for, or one for a traceback that nobody foresaw."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from traceback import format_exception

from flows.terminal import say
from tasks.changes.errors import BadInput
from tasks.changes.run_log import Printable, indented
from tasks.changes.texts import without_passwords

LOGGERS = ("prefect", "steward")
FORMAT = "%(asctime)s:%(levelname)s:%(name)s:%(message)s"


class LogFile(logging.FileHandler):
    """A log file; where it cannot be written any more that is said once, and the run goes on."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  # logging names them
        """Say that the file cannot be written."""
        self._tell(sys.exception())

    def close(self) -> None:
        """Close the file, whose last lines may have no room."""
        try:
            super().close()
        except OSError as error:
            self._tell(error)

    def _tell(self, error: BaseException | None) -> None:
        if not self._told:
            self._told = True
            reason = getattr(error, "strerror", None) or error
            say(f"--log-file {self.baseFilename} cannot be written any more: {reason}.")


def log_to(path: str, level: str) -> None:
    """Write Prefect's log, and what the command says, to a file too, from a level such as INFO on.

    Raises BadInput where there is no such level, or the file cannot be written.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        message = f"--log-level {level}: there is no such level; give DEBUG, INFO, WARNING or ERROR."
        raise BadInput(message)
    try:
        handler = LogFile(path, errors="backslashreplace")
    except OSError as error:
        message = f"--log-file {path}: {error.strerror}."
        raise BadInput(message) from error
    handler.setLevel(number)
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(Printable())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(min(number, logger.level or number))


def escape_console() -> None:
    """Escape what Prefect logs to the terminal, from whichever of its loggers."""
    for name in ("", "prefect"):
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(one, Printable) for one in handler.filters):
                handler.addFilter(Printable())


def state_folder() -> Path:
    """Return where Steward keeps what is neither a plan nor a setting."""
    home = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(home) / "steward"


def write_traceback(error: BaseException) -> str:
    """Write an exception's traceback to the command's log file, else to one of its own; return the file's name."""
    text = f"{datetime.now(UTC).isoformat(timespec='seconds')}:ERROR:steward:Traceback\n{_traceback(error)}\n"
    for path in _log_files():
        with suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return str(path)
    return ""


def _traceback(error: BaseException) -> str:
    return indented(without_passwords("".join(format_exception(error)).rstrip()))


def _log_files() -> Iterator[Path]:
    """Return the files that a traceback may go to, the best first."""
    for handler in logging.getLogger("steward").handlers:
        if isinstance(handler, LogFile):
            yield Path(handler.baseFilename)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.log"
    folder = state_folder()
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield folder / name
    with suppress(OSError):
        yield Path(tempfile.mkdtemp(prefix="steward-")) / name

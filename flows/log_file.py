"""The log of a command in a file, where its options ask for one."""

from __future__ import annotations

import logging

from tasks.changes.errors import BadInput

LOGGERS = ("prefect", "steward")
FORMAT = "%(asctime)s:%(levelname)s:%(name)s:%(message)s"


def log_to(path: str, level: str) -> None:
    """Write Prefect's log, and what the command says, to a file too, from a level such as INFO on.

    Raises BadInput where there is no such level, or the file cannot be written.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        message = f"--log-level {level}: there is no such level; give DEBUG, INFO, WARNING or ERROR."
        raise BadInput(message)
    try:
        handler = logging.FileHandler(path)
    except OSError as error:
        message = f"--log-file {path}: {error.strerror}."
        raise BadInput(message) from error
    handler.setLevel(number)
    handler.setFormatter(logging.Formatter(FORMAT))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(min(number, logger.level or number))

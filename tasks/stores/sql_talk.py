"""Talking to a database: short transactions, reads repeated, failures said in our words."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from tasks.changes.errors import BadInput, StewardError, StoreDenied, StoreUnavailable

WAITS: Final = (0.2, 0.5, 1.0)
"""Seconds before a read is tried again."""

# How a transaction that changes something begins: it waits a second for a lock, not for ever, while it holds others;
# PostgreSQL ends one whose client sleeps, MySQL refuses what does not fit, and SQLite takes its only lock at once.
BEGIN: Final = {
    "postgresql": "SET LOCAL lock_timeout = '1s'; SET LOCAL idle_in_transaction_session_timeout = '10s'",
    "mysql": "SET innodb_lock_wait_timeout = 1, sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
    "sqlite": "BEGIN IMMEDIATE",
}

# Failures are known by SQLSTATE, MySQL's error number, or SQLite's error name.
MAY_PASS: Final = re.compile(
    r"08...|40...|53[23]..|57...|25P03|55P03"  # connection lost, deadlock, too many clients, shutdown, lock timeout
    r"|0|1040|1053|1158|1159|1160|1161|1205|1213|1927|2003|2006|2013|4031"
    r"|SQLITE_(BUSY|LOCKED|PROTOCOL|IOERR).*"
)
NO_DATABASE: Final = re.compile(r"SQLITE_(CANTOPEN.*|NOTADB)")
ADVICE: Final = {
    re.compile(r"28...|42501|1044|1045|1142|1143|1227|1698|3159|SQLITE_(AUTH|PERM)"): "Correct the user, password or "
    "rights in the URL, block or file.",
    re.compile(r"3D...|3F...|42P01|42703|1049|1054|1146"): "Is it the right database, and of a version this job knows?",
    re.compile(r"SQLITE_ERROR"): "Is it the right database, and of a version this job knows?",
    re.compile(r"25006|1290|1792|1836|SQLITE_READONLY.*"): "It can be read and planned for, not changed.",
    re.compile(r"53100|1021|1114|SQLITE_FULL"): "Make room, and run the command again.",
}
# libpq tells no SQLSTATE where connecting fails.
NO_ENTRY: Final = re.compile(r"authentication|password|pg_hba|role|does not exist|permission|SSL", re.IGNORECASE)


class Talk:
    """A database, and how it is asked; `location` names it in messages, without secrets."""

    def __init__(self, engine: Engine, location: str) -> None:
        self.engine, self.location = engine, location
        self.dialect = engine.dialect.name

    def read(self, statement: Executable) -> Sequence[Sequence[Any]]:
        """Run a SELECT in a transaction of its own; where the connection breaks, run it again."""
        for wait in WAITS:
            try:
                return self._read(statement)
            except StoreUnavailable:
                time.sleep(wait)
        return self._read(statement)

    def number(self, statement: Executable) -> int:
        """Give the one number that a SELECT asks for."""
        return int(self.read(statement)[0][0])

    def _read(self, statement: Executable) -> Sequence[Sequence[Any]]:
        with failures(self.location), self.engine.connect() as connection:
            return connection.execute(statement).all()

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end, rolled back by an exception, either where its answer is lost."""
        with failures(self.location), self.engine.begin() as connection:
            connection.exec_driver_sql(BEGIN[self.dialect])
            yield connection


@contextmanager
def failures(location: str) -> Iterator[None]:
    """Say what a database's error means for the operator.

    The driver's error is not chained: its text may hold a record's content, and logs show the whole chain.
    """
    try:
        yield
    except (SQLAlchemyError, OSError, UnicodeError) as error:
        raise meaning(location, error) from None


def meaning(location: str, error: Exception) -> StewardError:
    """Turn a database's error into ours."""
    cause = getattr(error, "orig", None) or error
    code, said = code_of(cause), said_by(cause)
    if NO_DATABASE.fullmatch(code):
        return BadInput(f"{location}: {said}. Is the path right, and may this user open it? Nothing was created.")
    if MAY_PASS.fullmatch(code) or (not code and _is_lost(error, cause, said)):
        return StoreUnavailable(f"{location} does not answer: {said}. What was done so far stands; run it again.")
    advice = next((text for codes, text in ADVICE.items() if codes.fullmatch(code)), "Nothing more was done.")
    return StoreDenied(f"{location} refuses: {said}. {advice}")


def _is_lost(error: Exception, cause: BaseException, said: str) -> bool:
    of_server = isinstance(error, OSError | OperationalError) and not isinstance(cause, sqlite3.Error)
    return of_server and not NO_ENTRY.search(said)


def code_of(cause: BaseException) -> str:
    """Give a driver's error's code, empty where it has none."""
    if cause.args and isinstance(cause.args[0], int):  # PyMySQL
        return str(cause.args[0])
    return getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""


def said_by(cause: BaseException) -> str:
    """Give a driver's own words, without what they quote of records."""
    words = cause.args[1] if len(cause.args) > 1 else str(cause)
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    return re.split(r"\n| with text ", str(primary or words))[0].rstrip(".")

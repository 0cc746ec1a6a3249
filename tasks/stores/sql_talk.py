"""Talking to a database: short transactions, reads repeated, failures said in our words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, Executable, event, text

from tasks.changes.errors import StoreDenied, StoreUnavailable
from tasks.stores.border import border
from tasks.stores.sql_errors import meaning

WAITS: Final = (0.2, 0.5, 1.0)
"""Seconds before a read is tried again."""

# How a transaction that changes something begins: it waits a second for a lock, not for ever, while it holds others;
# PostgreSQL ends one whose client sleeps, MySQL refuses what does not fit, and SQLite takes its only lock at once.
BEGIN: Final = {
    "postgresql": "SET LOCAL lock_timeout = '1s'; SET LOCAL idle_in_transaction_session_timeout = '10s'",
    "mysql": "SET innodb_lock_wait_timeout = 1, lock_wait_timeout = 1, "
    "sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
    "sqlite": "BEGIN IMMEDIATE",
}
# By what a server is known, and since when it runs, in seconds: no privilege is needed for either.
SERVER: Final = {
    "postgresql": "SELECT concat_ws(' ', inet_server_addr(), inet_server_port(), pg_postmaster_start_time()), 0",
    "mysql": "SELECT CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir), UNIX_TIMESTAMP()",
}
UPTIME: Final = "SHOW GLOBAL STATUS LIKE 'Uptime'"
UPTIME_SLACK: Final = 2
"""Seconds by which MySQL's start, which it tells in whole seconds of two clocks, may seem to move."""


class Server(NamedTuple):
    """The server, as one process, that a connection is to."""

    name: str
    started: float

    def is_same(self, other: Server | None) -> bool:
        """Whether both are the same process."""
        return other is not None and self.name == other.name and abs(self.started - other.started) <= UPTIME_SLACK


class Talk:
    """A database, and how it is asked; `location` names it in messages, without secrets.

    `connects` counts its connections: where it grew, what was read before may have been another server's.
    """

    def __init__(self, engine: Engine, location: str) -> None:
        self.engine, self.location = engine, location
        self.dialect = engine.dialect.name
        self.connects = 0
        self.committing = False
        """Whether the last change broke when it may have been committed already."""
        event.listen(engine, "connect", self._count)

    def _count(self, *_: object) -> None:
        self.connects += 1

    def read(self, statement: Executable) -> Sequence[Sequence[Any]]:
        """Run a SELECT in a transaction of its own; where the connection breaks, run it again."""
        for wait in WAITS:
            try:
                return self._read(statement)
            except StoreUnavailable:
                time.sleep(wait)
        return self._read(statement)

    def number(self, statement: Executable) -> int:
        """Return the one number that a SELECT asks for."""
        return int(self.read(statement)[0][0])

    def server(self) -> Server | None:
        """Return which server answers, None where it is a file or does not say: that is no precondition."""
        if self.dialect not in SERVER:
            return None
        try:
            name, now = self.read(text(SERVER[self.dialect]))[0]
            uptime = self.read(text(UPTIME))[0][1] if self.dialect == "mysql" else 0
        except StoreDenied:
            return None
        return Server(name, float(now) - float(uptime))

    def _read(self, statement: Executable) -> Sequence[Sequence[Any]]:
        with failures(self.location), self.engine.connect() as connection:
            return connection.execute(statement).all()

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end, rolled back by an exception, either where its answer is lost."""
        self.committing = False
        with failures(self.location, "SELECT, UPDATE"), self.engine.begin() as connection:
            connection.exec_driver_sql(BEGIN[self.dialect])
            yield connection
            self.committing = True
        self.committing = False


def failures(location: str, right: str = "SELECT") -> AbstractContextManager[None]:
    """Turn whatever a driver raises into our errors, which name the database by `location`.

    The driver's error is not chained: its text may hold a record's content, and logs show the whole chain.
    """
    return border(location, lambda error: meaning(location, error, right), chained=False)

"""Rows of a database as a store: read in pages by key, rewritten only where they hold what they held."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnClause, Connection, Engine, Select, func, select, text

from tasks.changes.errors import ScanBroken, StoreError
from tasks.changes.protocols import Action, Identity, Image, Key, Outcome, Problem, foreseen
from tasks.stores.sql_errors import Locked, RowRefused
from tasks.stores.sql_identity import identity_of
from tasks.stores.sql_table import Columns, columns_of
from tasks.stores.sql_talk import Server, Talk
from tasks.stores.sql_triggers import is_plain

PAGE_BYTES: Final = 4 << 20
FIRST_PAGE, MOST_ROWS = 100, 2000
BATCH: Final = 900
"""So few that their locks are held for milliseconds; lists of 1000 keys and more are slow on MariaDB."""

NOW: Final = {"postgresql": "SELECT now()", "mysql": "SELECT UTC_TIMESTAMP(6)"}


UNTAKEN: Final = Problem(
    "the database did not take the change as planned, and gave no reason: a trigger or rule may keep or rewrite it"
)
LOCKED: Final = Problem("it is locked by another transaction")
PATIENCE: Final = 10.0
"""Seconds that a run waits, in all, for rows that others keep locked; then they are left alone."""
WAIT: Final = 0.5

Outcomes = dict[Key, Outcome | Problem]


class Meddled(StoreError):
    """Not every row of a batch was there to be rewritten, or was; all of it was taken back."""


class Untaken(StoreError):
    """Rows of a batch do not hold what they were given; all of it was taken back."""

    def __init__(self, keys: set[Key]) -> None:
        super().__init__(UNTAKEN.reason)
        self.keys = keys


def outcome_of(action: Action, current: Image | None) -> Outcome:
    """Return what becomes of an action on a row that holds `current` (None: there is no row)."""
    if current == columns_of(action.before):
        return Outcome.DONE
    return Outcome.ALREADY if current == columns_of(action.after) else Outcome.CONFLICT


class SqlRows:
    """The rows that a SELECT gives, joined with others or not; some columns of one table may change.

    A record's value is its row; its image has the columns that may change, each text, a whole number, or None.
    """

    batch_size = BATCH
    undoable = True

    def __init__(
        self,
        engine: Engine,
        server: str,
        rows: Select[Any],
        key: ColumnClause[Any],
        *changed: ColumnClause[Any],
        rowid: ColumnClause[Any] | None = None,
    ) -> None:
        """Open the rows of a database; `server` names it without secrets.

        The SELECT gives `key` and `changed`, columns of one table. The key is text or a whole number, never NULL, and
        unique in the table and in the rows. SQLite also has `rowid`, where the table was not made without: the rows,
        which then end with it, are read and rewritten in its order, that on the disk, and so several times as fast.
        """
        self.talk = Talk(engine, f"{server}#{key.table}")
        self._rowid = rowid if self.talk.dialect == "sqlite" else None
        self._order = key if self._rowid is None else self._rowid
        self._rows = rows if self._rowid is None else rows.add_columns(self._rowid)
        self._columns = Columns(key, changed)
        self._patience = PATIENCE
        self._plain: bool | None = None
        self._worker = None if self.talk.dialect == "sqlite" else ThreadPoolExecutor(1)
        places = {one: place for place, one in enumerate(self._rows.selected_columns)}
        self._key_place, self._order_place = places[key], places[self._order]
        self._places = [(one.name, places[one]) for one in changed]

    @property
    def location(self) -> str:
        """Name the database and the table."""
        return self.talk.location

    def now(self) -> datetime:
        """Give the server's time; for SQLite, this host's."""
        if self.talk.dialect not in NOW:
            return datetime.now(UTC)
        time: datetime = self.talk.read(text(NOW[self.talk.dialect]))[0][0]
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)

    def count(self) -> int:
        """Give about the number of rows: where their conditions are of the key's table, what is joined is left out."""
        where = [] if self._rows.whereclause is None else [self._rows.whereclause]
        alone = select(func.count()).select_from(self._columns.table).where(*where)
        whole = select(func.count()).select_from(self._rows.subquery())
        return self.talk.number(whole if len(alone.get_final_froms()) > 1 else alone)

    def scan(self) -> Iterator[Sequence[tuple[Key, Sequence[Any]]]]:
        """Read all rows in pages of about 4 MiB, each a SELECT of its own, so that nothing is held meanwhile.

        The database orders the keys and finds the next page by the same rule, the collation of the key's column.
        Raises ScanBroken where another server answers than before: its rows may be older, or ordered by other rules;
        and where VACUUM numbered SQLite's rows anew meanwhile.
        """
        server, connects = self.talk.server(), self.talk.connects
        version = self._version()
        for page in self._pages():
            if self.talk.connects != connects:
                connects = self.talk.connects
                self._check_same(server)
            yield page
        if server:  # a pooler between may have changed servers without a break
            self._check_same(server)
        if self._version() != version:
            message = f"{self.talk.location} was vacuumed or altered while it was read."
            raise ScanBroken(message)

    def _check_same(self, server: Server | None) -> None:
        if self.talk.dialect != "sqlite" and (server is None or not server.is_same(self.talk.server())):
            message = f"{self.talk.location} was restarted or replaced, or its connection lost, while it was read."
            raise ScanBroken(message)

    def _version(self) -> int:
        """Return a number that VACUUM changes."""
        return 0 if self._rowid is None else self.talk.number(text("PRAGMA schema_version"))

    def _pages(self) -> Iterator[Sequence[tuple[Key, Sequence[Any]]]]:
        size, rest = FIRST_PAGE, self._rows
        while page := self.talk.read(rest.order_by(self._order).limit(size)):
            yield [(str(row[self._key_place]), row) for row in page]
            if len(page) < size:
                return
            rest = self._rows.where(self._order > page[-1][self._order_place])
            average = sum(self.weigh(self.image(row)) for row in page[::50]) // len(page[::50]) + 1
            size = max(1, min(4 * size, MOST_ROWS, PAGE_BYTES // average))

    def image(self, value: Sequence[Any]) -> dict[str, Any]:
        """Give the columns that may change."""
        return {name: value[place] for name, place in self._places}

    def weigh(self, image: Image) -> int:
        """Give the bytes of an image's texts."""
        return sum([len(one.encode()) for one in columns_of(image).values() if isinstance(one, str)])

    def apply(self, actions: Sequence[Action]) -> list[Outcome | Problem]:
        """Rewrite the rows that hold their before-images, in one transaction where nothing is in the way.

        Most often these are all of them, and a single statement does it. Raises StoreDenied for anything but a rewrite.
        """
        outcomes: Outcomes = {}
        try:
            if self._plain is None:
                self._plain = is_plain(self.talk.engine.dialect, self._columns.table, self.talk.read)
            self._settle(actions, outcomes)
        except StoreError as error:
            error.outcomes = outcomes
            if not self.talk.committing:
                error.untouched = {action.key for action in actions if action.key not in outcomes}
            raise
        return [outcomes[action.key] for action in actions]

    def begin(self, actions: Sequence[Action]) -> Callable[[], list[Outcome | Problem]]:
        """Begin to apply; a server works on it while this process gets the next batch ready."""
        if self._worker:
            return self._worker.submit(self.apply, actions).result
        outcomes = self.apply(actions)
        return lambda: outcomes

    def identity(self) -> Identity:
        """Return what the server calls itself, and the schema; nothing for SQLite, whose files tell nothing lasting."""
        table = self.talk.engine.dialect.identifier_preparer.format_table(self._columns.table)
        return identity_of(self.talk.dialect, self.talk.read, table)

    def preview(self, actions: Sequence[Action]) -> list[Outcome | None]:
        """Return what rewriting would come to, from the rows as they are now."""
        names = [name for name, _ in self._places]
        rows = self.talk.read(self._columns.selecting(one.key for one in actions))
        stands = {str(key): dict(zip(names, values, strict=True)) for key, *values in rows}
        return [foreseen(stands.get(str(one.key)), one.before, one.after) for one in actions]

    def _settle(self, actions: Sequence[Action], outcomes: Outcomes) -> None:
        """Find the outcome of each action; what is in the way of one costs the others a few transactions at most."""
        try:
            self._change(actions, outcomes)
        except Locked:
            self._settle_unlocked(actions, outcomes)
        except RowRefused as refused:
            self._settle_halves(actions, outcomes, refused, self._settle)
        except Untaken as untaken:
            self._settle_others(actions, outcomes, untaken, self._settle)

    def _change(self, actions: Sequence[Action], outcomes: Outcomes) -> None:
        try:
            with self.talk.changing() as connection:
                self._swap(connection, actions)
                if not self._plain:
                    self._check_taken(connection, actions)
        except Meddled:
            self._look_and_change(actions, outcomes)
        else:
            outcomes.update((action.key, Outcome.DONE) for action in actions)

    def _swap(self, connection: Connection, actions: Sequence[Action]) -> None:
        """Rewrite rows, all of them; raise Meddled where that cannot be."""
        if self._columns.swap(connection, actions) != len(actions):
            raise Meddled

    def _settle_halves(
        self,
        actions: Sequence[Action],
        outcomes: Outcomes,
        refused: RowRefused,
        settle: Callable[[Sequence[Action], Outcomes], None],
    ) -> None:
        """Find which rows of a batch the database refuses."""
        if len(actions) == 1:
            outcomes[actions[0].key] = Problem(refused.reason)
            return
        middle = len(actions) // 2
        settle(actions[:middle], outcomes)
        settle(actions[middle:], outcomes)

    def _settle_others(
        self,
        actions: Sequence[Action],
        outcomes: Outcomes,
        untaken: Untaken,
        settle: Callable[[Sequence[Action], Outcomes], None],
    ) -> None:
        """Leave out the rows that do not take their change; the others go in halves, so that this comes to an end."""
        outcomes.update(dict.fromkeys(untaken.keys, UNTAKEN))
        others = [one for one in actions if one.key not in untaken.keys]
        middle = len(others) // 2
        for half in (others[:middle], others[middle:]):
            if half:
                settle(half, outcomes)

    def _settle_unlocked(self, actions: Sequence[Action], outcomes: Outcomes) -> None:
        """Rewrite what nobody else has locked, and wait for the rest while patience lasts."""
        self._skip_locked(actions, outcomes)
        while (locked := [one for one in actions if outcomes[one.key] is LOCKED]) and self._patience > 0:
            time.sleep(WAIT)
            self._patience -= WAIT
            self._skip_locked(locked, outcomes)

    def _skip_locked(self, actions: Sequence[Action], outcomes: Outcomes) -> None:
        try:
            self._look_and_change(actions, outcomes, skip_locked=True)
        except RowRefused as refused:
            self._settle_halves(actions, outcomes, refused, self._skip_locked)
        except Untaken as untaken:
            self._settle_others(actions, outcomes, untaken, self._skip_locked)

    def _look_and_change(self, actions: Sequence[Action], outcomes: Outcomes, *, skip_locked: bool = False) -> None:
        """Lock the rows before they are compared, so that what is seen is what is overwritten.

        A transaction of ours whose commit was not answered has these locks, or is over: what it did is seen.
        """
        found: Outcomes = {}
        with self.talk.changing() as connection:
            keys = [one.key for one in actions]
            current = self._columns.lock(connection, keys, skip_locked=skip_locked)
            found.update((one.key, outcome_of(one, current.get(one.key))) for one in actions)
            if skip_locked and len(current) < len(keys):
                there = self._columns.look(connection, [key for key in keys if key not in current])
                found.update(dict.fromkeys(there, LOCKED))
            wanted = [one for one in actions if found[one.key] is Outcome.DONE]
            swap = self._columns.swap_locked if skip_locked else self._columns.swap
            if swap(connection, wanted) != len(wanted) or not self._plain:
                self._check_taken(connection, wanted)
        outcomes.update(found)

    def _check_taken(self, connection: Connection, actions: Sequence[Action]) -> None:
        """Raise Untaken where rows, though rewritten, do not hold their after-images."""
        if connection.dialect.name == "postgresql":  # a trigger may be put off until the commit
            connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        current = self._columns.look(connection, [one.key for one in actions])
        if keys := {one.key for one in actions if current.get(one.key) != columns_of(one.after)}:
            raise Untaken(keys)

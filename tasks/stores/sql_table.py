"""The columns of a table that a store may change: many rows locked, or rewritten, by one statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Select,
    String,
    TableClause,
    Update,
    bindparam,
    select,
    update,
)

from tasks.changes.errors import StoreDenied
from tasks.changes.protocols import Action, Image, Key
from tasks.stores.sql_given import EXACTLY, prepared, values_given

KEY, OLD, NEW = "key_", "old_", "new_"


def columns_of(image: Image | None) -> dict[str, Any]:
    """Return an image as a store of rows makes it; raises StoreDenied where there is none."""
    if not isinstance(image, dict):
        message = "Rows are only rewritten here, neither inserted nor removed."
        raise StoreDenied(message)
    return image


class Columns:
    """A table's key, text or a whole number, and those of its columns that change."""

    def __init__(self, key: ColumnClause[Any], changed: Iterable[ColumnClause[Any]]) -> None:
        self.table, self._key, self._changed = cast("TableClause", key.table), key, list(changed)
        self._key_type: type[str | int] = key.type.python_type
        self._names = [(OLD + one.name, NEW + one.name, one.name) for one in self._changed]
        self._update: Callable[[Connection, Sequence[dict[str, Any]]], int] | None = None

    def lock(
        self, connection: Connection, keys: Iterable[Key], *, skip_locked: bool = False
    ) -> dict[Key, dict[str, Any]]:
        """Lock the rows of these keys until the transaction ends, and return what stands in them.

        Those that others have locked are waited for, or left out (`skip_locked`).
        """
        rows = connection.execute(self.selecting(keys).with_for_update(key_share=True, skip_locked=skip_locked))
        return self._images(rows)

    def look(self, connection: Connection, keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        """Return what stands in the rows of these keys, locked or not."""
        return self._images(connection.execute(self.selecting(keys)))

    def selecting(self, keys: Iterable[Key]) -> Select[Any]:
        """Return the SELECT of the rows of these keys: the key, and the columns that may change."""
        wanted = self._key.in_([self._key_type(key) for key in keys])
        return select(self._key, *self._changed).where(wanted)

    def _images(self, rows: Iterable[Any]) -> dict[Key, dict[str, Any]]:
        names = [one.name for one in self._changed]
        return {str(key): dict(zip(names, values, strict=True)) for key, *values in rows}

    def swap(self, connection: Connection, actions: Iterable[Action]) -> int:
        """Rewrite the rows that hold exactly their before-images; return how many these were."""
        rows = [self._row(one) for one in actions]
        if self._update is None:
            given = values_given(connection, self._key, self._given())
            self._update = prepared(connection, self._swapping(connection, given), self.table.name)
        return self._update(connection, rows) if rows else 0

    def swap_locked(self, connection: Connection, actions: Iterable[Action]) -> int:
        """Do what `swap` does for rows that this transaction has locked, while others hold some beside them.

        MySQL may look for many rows by reading a whole table, and would wait for the others' locks then.
        """
        if connection.dialect.name != "mysql":
            return self.swap(connection, actions)
        change = self._swapping(connection, bindparam)
        return sum(connection.execute(change, self._row(one)).rowcount for one in actions)

    def _row(self, action: Action) -> dict[str, Any]:
        before, after = columns_of(action.before), columns_of(action.after)
        row: dict[str, Any] = {KEY: self._key_type(action.key)}
        for old, new, name in self._names:
            row[old], row[new] = before[name], after[name]
        return row

    def _given(self) -> dict[str, ColumnClause[Any]]:
        return {KEY: self._key} | {prefix + one.name: one for prefix in (OLD, NEW) for one in self._changed}

    def _swapping(self, connection: Connection, given: Callable[[str], ColumnElement[Any]]) -> Update:
        texts = [one for one in self._changed if isinstance(one.type, String)]
        exactly = EXACTLY[connection.dialect.name]
        same = [exactly(one).is_not_distinct_from(exactly(given(OLD + one.name))) for one in texts]
        same += [one.is_not_distinct_from(given(OLD + one.name)) for one in self._changed if one not in texts]
        change = update(self.table).where(self._key == given(KEY), *same)
        return change.values({one.name: given(NEW + one.name) for one in self._changed})

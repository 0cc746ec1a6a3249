"""The columns of a table that a store may change: many rows locked, or rewritten, by one statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from sqlalchemy import ColumnClause, Connection, Select, String, TableClause, Update, select, update

from tasks.changes.errors import StoreDenied
from tasks.changes.protocols import Action, Image, Key
from tasks.stores.sql_given import EXACTLY, prepared, values_given

KEY, OLD, NEW = "key_", "old_", "new_"


def columns_of(image: Image | None) -> dict[str, Any]:
    """Give an image as a store of rows makes it; raises StoreDenied where there is none."""
    if not isinstance(image, dict):
        message = "Rows are only rewritten here, neither inserted nor removed. Nothing of this batch was done."
        raise StoreDenied(message)
    return image


class Columns:
    """A table's key, text or a whole number, and those of its columns that change."""

    def __init__(self, key: ColumnClause[Any], changed: Iterable[ColumnClause[Any]]) -> None:
        self.table, self._key, self._changed = cast("TableClause", key.table), key, list(changed)
        self._key_type: type[str | int] = key.type.python_type
        self._names = [(OLD + one.name, NEW + one.name, one.name) for one in self._changed]
        self._update: Callable[[Connection, Sequence[dict[str, Any]]], int] | None = None

    def lock(self, connection: Connection, keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        """Lock the rows of these keys until the transaction ends, and give what stands in them."""
        wanted = self._key.in_([self._key_type(key) for key in keys])
        rows = connection.execute(select(self._key, *self._changed).where(wanted).with_for_update(key_share=True))
        names = [one.name for one in self._changed]
        return {str(key): dict(zip(names, values, strict=True)) for key, *values in rows}

    def reading(self, keys: Iterable[Key]) -> Select[Any]:
        """Return the SELECT of the rows of these keys: the key, and the columns that change."""
        wanted = self._key.in_([self._key_type(key) for key in keys])
        return select(self._key, *self._changed).where(wanted)

    def swap(self, connection: Connection, actions: Iterable[Action]) -> int:
        """Rewrite the rows that hold exactly their before-images; give how many these were."""
        rows = [self._row(one) for one in actions]
        if self._update is None:
            self._update = prepared(connection, self._swapping(connection))
        return self._update(connection, rows) if rows else 0

    def _row(self, action: Action) -> dict[str, Any]:
        before, after = columns_of(action.before), columns_of(action.after)
        row: dict[str, Any] = {KEY: self._key_type(action.key)}
        for old, new, name in self._names:
            row[old], row[new] = before[name], after[name]
        return row

    def _swapping(self, connection: Connection) -> Update:
        names = {prefix + one.name: one for prefix in (OLD, NEW) for one in self._changed}
        given = values_given(connection, self._key, {KEY: self._key, **names})
        texts = [one for one in self._changed if isinstance(one.type, String)]
        exactly = EXACTLY[connection.dialect.name]
        same = [exactly(one).is_not_distinct_from(exactly(given(OLD + one.name))) for one in texts]
        same += [one.is_not_distinct_from(given(OLD + one.name)) for one in self._changed if one not in texts]
        change = update(self.table).where(self._key == given(KEY), *same)
        return change.values({one.name: given(NEW + one.name) for one in self._changed})

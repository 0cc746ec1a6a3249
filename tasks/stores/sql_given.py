"""Values given to a statement for many rows at once, and how texts compare byte by byte, for each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import orjson
from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    LargeBinary,
    Update,
    bindparam,
    cast,
    collate,
    column,
    text,
)
from sqlalchemy.dialects.mysql import CHAR

Element = ColumnElement[Any]

# How a parameter, a JSON array of objects, becomes rows: one round trip, however many they are. SQLite has no round
# trips, and its JSON functions cut a text off at a NUL; it is given one row after the other.
ROWS: Final = {
    "postgresql": "SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS given ({})",
    "mysql": "SELECT * FROM JSON_TABLE(:rows, '$[*]' COLUMNS ({})) AS given",
}
MYSQL_TYPES: Final = {str: "LONGTEXT", int: "BIGINT"}
# MySQL looks a key up in its index only where both sides compare alike.
MYSQL_KEY: Final = text(
    "SELECT CONCAT('VARCHAR(768) CHARACTER SET ', character_set_name, ' COLLATE ', collation_name) "
    "FROM information_schema.columns "
    "WHERE table_schema = DATABASE() AND table_name = :table AND column_name = :column"
)
# MySQL's own comparisons ignore spaces at the end, and often case.
EXACTLY: Final[Mapping[str, Callable[[Element], Element]]] = {
    "postgresql": lambda one: collate(one, "C"),
    "mysql": lambda one: cast(cast(one, CHAR(charset="utf8mb4")), LargeBinary),
    "sqlite": lambda one: collate(one, "BINARY"),
}


def values_given(
    connection: Connection, key: ColumnClause[Any], columns: Mapping[str, ColumnClause[Any]]
) -> Callable[[str], Element]:
    """Give what stands in a statement for each name; `columns` are like those that the values are for."""
    dialect = connection.dialect.name
    if dialect not in ROWS:
        return bindparam
    if dialect == "postgresql":
        declared = [f"{name} {one.type.compile(connection.dialect)}" for name, one in columns.items()]
    else:
        types = {name: MYSQL_TYPES[one.type.python_type] for name, one in columns.items()}
        types |= {name: _mysql_key(connection, one) for name, one in columns.items() if one is key}
        declared = [f"{name} {type_} PATH '$.{name}' ERROR ON ERROR" for name, type_ in types.items()]
    rows = text(ROWS[dialect].format(", ".join(declared))).columns(*map(column, columns))
    return rows.subquery("given").c.__getitem__


def _mysql_key(connection: Connection, key: ColumnClause[Any]) -> str:
    named = {"table": getattr(key.table, "name", ""), "column": key.name}
    found: str | None = connection.execute(MYSQL_KEY, named).scalar()
    return found or MYSQL_TYPES[int]


def prepared(connection: Connection, statement: Update) -> Callable[[Connection, Sequence[dict[str, Any]]], int]:
    """Give what executes a statement that was written with `values_given`, and says how many rows it changed."""
    if connection.dialect.name in ROWS:
        return lambda at, rows: at.execute(statement, {"rows": orjson.dumps(rows).decode()}).rowcount
    # Straight to the driver, as SQLAlchemy would take as long over the rows as SQLite.
    compiled = statement.compile(dialect=connection.dialect)
    in_order = itemgetter(*compiled.positiontup or ())
    return lambda at, rows: at.exec_driver_sql(compiled.string, list(map(in_order, rows))).rowcount

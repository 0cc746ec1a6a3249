"""Values given to a statement for many rows at once, and how texts compare byte by byte, for each kind of database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import orjson
from pymysql.converters import escape_string
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

from tasks.stores.sql_errors import RowRefused

Element = ColumnElement[Any]

# How a parameter, a JSON array of objects, becomes rows: one round trip, however many they are. SQLite has no round
# trips, and its JSON functions cut a text off at a NUL; it is given one row after the other.
ROWS: Final = {
    "postgresql": "SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS given ({})",
    "mysql": "SELECT * FROM JSON_TABLE(:rows, '$[*]' COLUMNS ({})) AS given",
}
STATEMENT_BYTES: Final = 8192
"""What a statement takes besides its rows, and more."""
BYTES_PER_CHARACTER: Final = 4
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


def prepared(
    connection: Connection, statement: Update, location: str
) -> Callable[[Connection, Sequence[dict[str, Any]]], int]:
    """Return what executes a statement that was written with `values_given`, and returns how many rows it changed."""
    if connection.dialect.name in ROWS:
        check = _packet_check(connection, location)
        return lambda at, rows: at.execute(statement, {"rows": check(orjson.dumps(rows).decode())}).rowcount
    # Straight to the driver, as SQLAlchemy would take as long over the rows as SQLite.
    compiled = statement.compile(dialect=connection.dialect)
    in_order = itemgetter(*compiled.positiontup or ())
    return lambda at, rows: at.exec_driver_sql(compiled.string, list(map(in_order, rows))).rowcount


def _packet_check(connection: Connection, location: str) -> Callable[[str], str]:
    """Return what passes on a parameter that MySQL takes, and raises RowRefused for one that would be too large.

    MySQL hangs up on a larger statement, which looks as if it had gone away.
    """
    if connection.dialect.name != "mysql":
        return lambda rows: rows
    most: int = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one() - STATEMENT_BYTES

    def check(rows: str) -> str:
        # Escaped, a text takes at most twice as many bytes; what it really takes is looked at only where that matters.
        if len(rows) * BYTES_PER_CHARACTER * 2 > most and len(escape_string(rows).encode()) > most:
            said = f"it is larger than the server's max_allowed_packet of {most + STATEMENT_BYTES:,} bytes takes"
            raise RowRefused(f"{location} refuses: {said}.", said)
        return rows

    return check

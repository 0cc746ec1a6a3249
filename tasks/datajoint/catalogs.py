"""Which columns hold references: found in a server's catalog by the names of tables and by columns' comments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, literal, select, table, text
from sqlalchemy.exc import DBAPIError

from tasks.changes.errors import SourceUnreadable
from tasks.datajoint.namespaces import Generation
from tasks.datajoint.sources import Source

CODECS: Final = frozenset({"hash", "blob", "attach", "object", "npy", "filepath"})
CODEC: Final = re.compile(r":<\s*(?P<name>[^@<>]*?)\s*(?P<at>@\s*(?P<store>[^<>]*?)\s*)?>:")
MAY_BE_JSON: Final = frozenset({"json", "jsonb", "longtext"})
TRACKING: Final = "~external"

# MySQL shows only what a user has rights to: `check_sight` makes sure that this is everything.
MYSQL_COLUMNS: Final = (
    "SELECT table_name, column_name, column_comment, data_type FROM information_schema.columns"
    " WHERE table_schema = :schema AND (column_comment LIKE ':<%' OR table_name LIKE '~external%')"
    " ORDER BY table_name, ordinal_position"
)
POSTGRESQL_COLUMNS: Final = (
    "SELECT c.relname, a.attname, col_description(c.oid, a.attnum), format_type(a.atttypid, NULL)"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid"
    " WHERE n.nspname = :schema AND a.attnum > 0 AND NOT a.attisdropped"
    " AND col_description(c.oid, a.attnum) LIKE ':<%' ORDER BY c.relname, a.attnum"
)
COLUMNS: Final = {"mysql": MYSQL_COLUMNS, "mariadb": MYSQL_COLUMNS, "postgresql": POSTGRESQL_COLUMNS}
MYSQL_SCHEMAS: Final = "SELECT 1 FROM information_schema.schemata WHERE schema_name = :schema"
SCHEMAS: Final = {
    "mysql": MYSQL_SCHEMAS,
    "mariadb": MYSQL_SCHEMAS,
    "postgresql": "SELECT 1 FROM pg_namespace WHERE nspname = :schema",
}
NO_SUCH_TABLE: Final = 1146

Holds = Literal["hash", "hash of 0.11", "json"]
GENERATION: Final[dict[Holds, Generation | None]] = {"hash": "legacy", "hash of 0.11": None, "json": "2"}


class Place(NamedTuple):
    """A column that holds references, and whether the run declares the store it names."""

    schema: str
    table: str
    column: str
    holds: Holds
    declared: bool

    @property
    def generation(self) -> Generation | None:
        """Give the generation whose objects it references; DataJoint 0.11's are not judged."""
        return GENERATION[self.holds]

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}.{self.column}"


def places(connection: Connection, source: Source) -> list[Place]:
    """Find every column of a source that may hold references, whatever store it names.

    Raises SourceUnreadable where a schema is missing or not to be seen in full, uses none of the declared stores, or
    has a codec that nobody knows.
    """
    return [place for schema in source.schemas for place in _places_in(connection, source, schema)]


def _places_in(connection: Connection, source: Source, schema: str) -> list[Place]:
    check_sight(connection, source, schema)
    columns = connection.execute(text(COLUMNS[source.engine.dialect.name]), {"schema": schema})
    found = [place for row in columns if (place := _place(source, schema, row))]
    if not any(place.declared for place in found):
        stores = ", ".join(sorted(source.stores))
        message = (
            f"The schema {schema} on {source.name} has neither a tracking table nor a column of the store {stores}. "
            "Are both names right, and is it the right server?"
        )
        raise SourceUnreadable(message)
    return found


def _place(source: Source, schema: str, row: Sequence[Any]) -> Place | None:
    table_name, column, comment, data_type = row
    if not table_name.startswith(TRACKING):
        return _json_place(source, schema, table_name, column, comment, data_type)
    if column != "hash":
        return None
    store = table_name.removeprefix(TRACKING).removeprefix("_")
    return Place(schema, table_name, column, "hash" if store else "hash of 0.11", store in source.stores)


def _json_place(source: Source, schema: str, table_name: str, column: str, comment: str, kind: str) -> Place | None:
    codec = CODEC.match(comment)
    if codec and not codec["at"] and (codec["name"] in CODECS or kind not in MAY_BE_JSON):
        return None  # it keeps its values in the table
    if not codec or codec["name"] not in CODECS | source.codecs:
        message = (
            f"The column {schema}.{table_name}.{column} on {source.name} has a codec that Steward does not know: "
            f"{comment}. If its JSON has the object's path, as that of DataJoint's own has, name it in `codecs`."
        )
        raise SourceUnreadable(message)
    store = codec["store"] or ""  # the default store, which may be at this location
    return Place(schema, table_name, column, "json", not store or store in source.stores)


def check_sight(connection: Connection, source: Source, schema: str) -> None:
    """Make sure that a schema is there and that none of its tables is hidden from the user.

    In MySQL and MariaDB a table is asked for that nobody has: who may read the whole schema is told that there is none,
    who may not is told that he may not. Raises SourceUnreadable.
    """
    dialect = source.engine.dialect.name
    if not connection.execute(text(SCHEMAS[dialect]), {"schema": schema}).scalar():
        raise source.hides(schema)
    if dialect == "postgresql":
        return  # its catalog hides nothing
    try:
        connection.execute(select(literal(1)).select_from(table(f"steward_{uuid4().hex}", schema=schema)))
    except DBAPIError as error:
        if error.orig is None or error.orig.args[0] != NO_SUCH_TABLE:
            raise source.hides(schema) from error

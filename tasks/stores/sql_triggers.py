"""Whether a table takes an UPDATE as it is given, or has triggers or rules that may make something else of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Dialect, Executable, TableClause, text

from tasks.changes.errors import StoreError, StoreUnavailable

Read = Callable[[Executable], Sequence[Sequence[Any]]]

# Each counts the table where it surely has none: a view, or a table whose rows are in others, may have them elsewhere.
# MySQL shows triggers only to who has the right TRIGGER; SQLite does not tell on which event one acts.
PLAIN: Final = {
    "postgresql": "SELECT count(*) FROM pg_class "
    "WHERE oid = to_regclass(:table) AND relkind = 'r' AND NOT relhassubclass "
    "AND NOT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = pg_class.oid AND ev_type = '2') "
    "AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid "
    "AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 16 <> 0)",
    "mysql": "SELECT count(*) FROM information_schema.tables AS t "
    "WHERE t.table_schema = DATABASE() AND t.table_name = :table AND t.table_type = 'BASE TABLE' "
    "AND NOT EXISTS (SELECT * FROM information_schema.triggers WHERE event_manipulation = 'UPDATE' "
    "AND event_object_schema = DATABASE() AND event_object_table = :table) "
    "AND EXISTS (SELECT * FROM ("
    "SELECT grantee, privilege_type FROM information_schema.user_privileges UNION ALL "
    "SELECT grantee, privilege_type FROM information_schema.schema_privileges WHERE DATABASE() LIKE table_schema "
    "UNION ALL SELECT grantee, privilege_type FROM information_schema.table_privileges "
    "WHERE table_schema = DATABASE() AND table_name = :table) AS p "
    "WHERE privilege_type = 'TRIGGER' AND grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', "
    "SUBSTRING_INDEX(CURRENT_USER(), '@', -1), ''''))",
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(:table) AND NOT EXISTS "
    "(SELECT * FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(:table))",
}


def is_plain(dialect: Dialect, table: TableClause, read: Read) -> bool:
    """Whether no trigger or rule can come between an UPDATE and this table; False where that is not known."""
    # to_regclass reads a name as a statement does, quoted and with its schema
    name = dialect.identifier_preparer.format_table(table) if dialect.name == "postgresql" else table.name
    try:
        return bool(read(text(PLAIN[dialect.name]).bindparams(table=name))[0][0])
    except StoreUnavailable:
        raise
    except StoreError:  # without an answer every batch is read back, which costs one query each
        return False

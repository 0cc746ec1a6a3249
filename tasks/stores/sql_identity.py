"""What a database server calls itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Executable, text

from tasks.changes.errors import StoreError, StoreUnavailable
from tasks.changes.protocols import Identity

Read = Callable[[Executable], Sequence[Sequence[Any]]]

# Made by initdb, and the same on physical replicas; every role may ask. A database has many schemas, and the search
# path decides whose table is meant: all are one id, as one in common proves the store to be the same.
POSTGRESQL: Final = text(
    "SELECT concat_ws('/', system_identifier, pg_database.oid, CAST(CAST(relnamespace AS regnamespace) AS text)) "
    "FROM pg_control_system(), pg_database, pg_class "
    "WHERE datname = current_database() AND pg_class.oid = to_regclass(CAST(:table AS text))"
)
# SHOW knows no unknown names: MariaDB has the second only, and that only in a Galera cluster. After a failover of MySQL
# the ids of the servers before it are in its GTIDs.
MYSQL: Final = (
    text("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'gtid_executed')"),
    text("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_state_uuid'"),
)
UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def identity_of(dialect: str, read: Read, table: str) -> Identity:
    """Return what a server calls itself, as far as this login may ask; nothing for SQLite, and for most of MariaDB.

    On PostgreSQL with the schema that `table`, quoted where it must be, is found in; nothing where there is none.
    """
    try:
        if dialect == "postgresql":
            found = read(POSTGRESQL.bindparams(table=table))
            return Identity({"system_identifier": str(found[0][0])}) if found else Identity()
        return _of_mysql(read) if dialect == "mysql" else Identity()
    except StoreUnavailable:
        raise
    except StoreError:  # it is asked only to be told from another; what only speaks PostgreSQL's protocol lacks it
        return Identity()


def _of_mysql(read: Read) -> Identity:
    told = {str(name): str(value).lower() for statement in MYSQL for name, value in read(statement)}
    ids = {name: value for name, value in told.items() if UUID.fullmatch(value) and value.strip("0-")}
    for number, before in enumerate(sorted(set(UUID.findall(told.get("gtid_executed", "")))), 1):
        ids[f"gtid_source_{number}"] = before
    return Identity(ids)

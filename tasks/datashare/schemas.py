"""Where in a PostgreSQL database Datashare's tables are: in a schema on the search path, or in another."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from sqlalchemy import text

from tasks.changes.errors import StoreDenied
from tasks.stores.sql_talk import Talk

IS_FOUND: Final = text("SELECT count(to_regclass('task'))")
ELSEWHERE: Final = text(
    "SELECT nspname, quote_ident(nspname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE relname = 'task' AND relkind IN ('r', 'p', 'v') ORDER BY nspname"
)


def check_schema(talk: Talk) -> None:
    """Raise StoreDenied where there is no table of tasks on the search path, but one in another schema."""
    if talk.dialect != "postgresql" or talk.number(IS_FOUND):
        return
    if schemas := talk.read(ELSEWHERE):
        names, option = ", ".join(name for name, _ in schemas), _search_path(schemas[0][1])
        message = (
            f"{talk.location}: there is no table task on the search path, but there is one in the schema {names}: "
            f"add ?options={option} to the URL."
        )
        raise StoreDenied(message)


def _search_path(identifier: str) -> str:
    """Return the option of a connection that makes a schema its search path; the server splits options at spaces."""
    escaped = re.sub(r"([\\\s])", r"\\\1", identifier)
    return f"-csearch_path={quote(escaped, safe='')}"

"""Where references may live: the servers and schemas that a run declares, and opening them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

from blocks.datajoint_credentials import DataJointCredentials
from tasks.changes.errors import SourceUnreadable, StewardError
from tasks.stores.sql_talk import failures

# So that no row is held back unnoticed, by a limit or by a policy.
ALL_ROWS: Final = {
    "mysql": "SET SESSION sql_select_limit = 18446744073709551615",
    "mariadb": "SET SESSION sql_select_limit = 18446744073709551615",
    "postgresql": "SET LOCAL row_security = off",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A database server, and the schemas on it whose rows may reference objects at the location.

    `name` is for messages, without secrets. `stores` are the names under which the location is known; each schema must
    use one of them. References under any other name count too: a name that nobody thought of is how live objects get
    lost. `codecs` are those that DataJoint does not bring along, whose JSON is known to have a path.
    """

    name: str
    engine: Engine
    schemas: tuple[str, ...]
    stores: frozenset[str]
    codecs: frozenset[str] = frozenset()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction whose failure, at any moment, is a SourceUnreadable."""
        try:
            with failures(self.name), self.engine.connect() as connection:
                connection.execute(text(ALL_ROWS[self.engine.dialect.name]))
                yield connection
        except SourceUnreadable:
            raise
        except StewardError as error:
            message = f"{error} It could not be read in full, so nothing may be deleted."
            raise SourceUnreadable(message) from None  # as in sql_talk, the driver's words may hold a row's

    def hides(self, schema: str) -> SourceUnreadable:
        """Say that a schema is not there, or not to be seen in full."""
        message = (
            f"There is no schema {schema} on {self.name}, or its user has no SELECT on the whole of it, so that tables "
            f"with references may be hidden. Is it the right server? Otherwise: {self._grant(schema)}"
        )
        return SourceUnreadable(message)

    def _grant(self, schema: str) -> str:
        if self.engine.dialect.name == "postgresql":
            return f'GRANT USAGE ON SCHEMA "{schema}" TO …; GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO …'
        return f"GRANT SELECT ON `{schema}`.* TO …"


def source_of(credentials: DataJointCredentials) -> Source:
    """Give the source that credentials lead to; nothing is opened yet."""
    return Source(
        name=credentials.location,
        engine=credentials.get_client(),
        schemas=tuple(credentials.schemas),
        stores=frozenset(credentials.stores),
        codecs=frozenset(credentials.codecs),
    )

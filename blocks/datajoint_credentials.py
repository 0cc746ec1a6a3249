"""How to reach a database server, and which of its rows may reference the objects of a DataJoint store."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, SecretStr
from sqlalchemy import URL, Engine

from blocks.checked_credentials import CheckedCredentials
from blocks.database_engine import engine_for
from blocks.database_options import OPTIONS
from blocks.database_url import DRIVERS, PORTS
from blocks.libpq_environment import check_environment

KINDS: Final = {"mysql": "mysql", "mariadb": "mysql", "postgresql": "postgresql"}
TLS: Final = {
    ("mysql", True): "required",
    ("mysql", False): "disabled",
    ("postgresql", True): "require",
    ("postgresql", False): "disable",
}


# Prefect 3.8 takes a reference to a block in a deployment only where the class has another title than its name.
class DataJointCredentials(CheckedCredentials, title="DataJoint Credentials"):
    """How to reach a database server, and which of its rows may reference the objects of a DataJoint store.

    Attributes:
        host: The server's name or address.
        user: The user; SELECT on the schemas is enough.
        password: The user's password.
        schemas: The schemas whose rows may reference the objects.
        stores: The names by which the store is known there.
        codecs: Codecs of one's own.
        backend: The kind of server.
        port: The server's port.
        database: The database that the schemas are in.
        tls: Whether to speak TLS.

    Example:
        Load a stored DataJoint credentials block:
        ```python
        from blocks.datajoint_credentials import DataJointCredentials

        engine = DataJointCredentials.load("BLOCK_NAME").get_client()
        ```
    """

    _block_type_name = "DataJoint Credentials"
    _block_type_slug = "datajoint-credentials"
    _description = "How to reach a database server, and which of its rows may reference a DataJoint store's objects."
    _documentation_url = "https://docs.datajoint.com/"  # type: ignore[assignment]  # as Prefect's own blocks do

    model_config = ConfigDict(hide_input_in_errors=True)

    needs: ClassVar[tuple[str, ...]] = ("host", "user", "password", "schemas", "stores")

    host: str = Field(default="", min_length=1, description="The server's name or address.")
    user: str = Field(default="", min_length=1, description="The user; SELECT on the whole of the schemas is enough.")
    password: SecretStr | None = Field(default=None, description="The user's password.")
    schemas: list[str] = Field(
        default_factory=list,
        min_length=1,
        description="The schemas whose rows may reference the objects; each must be there.",
    )
    stores: list[str] = Field(
        default_factory=list,
        min_length=1,
        description="The names by which the store is known in DataJoint there; each schema must use one.",
    )
    codecs: list[str] = Field(
        default=[], description="Codecs of one's own whose JSON has the object's path; any other stops the run."
    )
    backend: Literal["mysql", "mariadb", "postgresql"] = Field(default="mysql", description="The kind of server.")
    port: int | None = Field(default=None, ge=1, le=65535, description="The server's port, where it is not the usual.")
    database: str | None = Field(default=None, description="The database of PostgreSQL that the schemas are in.")
    tls: bool | None = Field(
        default=None, title="TLS", description="Whether to speak TLS; where nothing is said, if the server does."
    )

    @property
    def location(self) -> str:
        """Name the server, without secrets."""
        kind = KINDS[self.backend]
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{kind}://{shown}:{self.port or PORTS[kind]}" + (f"/{self.database}" if self.database else "")

    def get_client(self, **options: Any) -> Engine:
        """Make an SQLAlchemy engine, with further options for the driver; it connects when it is first used.

        A transaction sees all tables at one moment: a row that moves from one to another is seen in one of them.
        Raises UnusableCredentials where a field is missing, or a variable of PostgreSQL's would lead elsewhere.
        """
        self.check_complete()
        assert self.password is not None  # noqa: S101  # for mypy
        kind = KINDS[self.backend]
        password = self.password.get_secret_value()
        url = URL.create(f"{kind}+{DRIVERS[kind]}", self.user, None, self.host, self.port or PORTS[kind], self.database)
        given = OPTIONS[kind]({} if self.tls is None else {"sslmode": TLS[kind, self.tls]})
        # As bytes: PyMySQL would send Latin-1.
        secret = {"password": password.encode() if kind == "mysql" else password}
        given = {**given, **secret, **options}
        if kind == "postgresql":
            check_environment({*given, *(["dbname"] if self.database else [])})
        return engine_for(url, given, pool_pre_ping=True, isolation_level="REPEATABLE READ")

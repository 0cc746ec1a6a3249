"""How to reach a SQL database."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator
from sqlalchemy import Engine

from blocks.checked_credentials import CheckedCredentials
from blocks.database_engine import engine_for
from blocks.database_url import FORM, Database, database_at
from blocks.errors import UnusableCredentials, said
from blocks.libpq_environment import check_environment


# Prefect 3.8 takes a reference to a block in a deployment only where the class has another title than its name.
class DatabaseCredentials(CheckedCredentials, title="Database Credentials"):
    """How to reach a database of PostgreSQL, MySQL, MariaDB or SQLite.

    Attributes:
        url: The whole URL, as SQLAlchemy or as Java writes it.

    Example:
        Load a stored database credentials block:
        ```python
        from blocks.database_credentials import DatabaseCredentials

        engine = DatabaseCredentials.load("BLOCK_NAME").get_client()
        ```
    """

    _block_type_name = "Database Credentials"
    _block_type_slug = "database-credentials"
    _description = "How to reach a database of PostgreSQL, MySQL, MariaDB or SQLite."
    _documentation_url = "https://docs.sqlalchemy.org/en/20/core/engines.html#database-urls"  # type: ignore[assignment]  # as Prefect's own blocks do

    model_config = ConfigDict(hide_input_in_errors=True)

    needs: ClassVar[tuple[str, ...]] = ("url",)
    takes: ClassVar[str] = (
        "postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE, mysql:// or mariadb:// likewise, sqlite:FILE, "
        "or jdbc: before any of them"
    )

    url: SecretStr | None = Field(
        default=None,
        title="URL",
        description="The whole URL, such as postgresql://user:password@host:5432/database, mysql://…, "
        "sqlite:/path/to/file.db, or what Java takes: jdbc:postgresql://host/database?user=user&password=password.",
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            database_at(url.get_secret_value())
        return url

    @classmethod
    def from_argument(cls, url: str) -> Self:
        """Make the block from what a command was given, a URL.

        Raises ValueError where it is no database's URL, UnusableCredentials where it is one that cannot be used.
        """
        if not FORM.match(url):
            message = f"not of the form {cls.takes}"
            raise ValueError(message)
        try:
            return cls(url=SecretStr(url))
        except ValidationError as error:
            reason = said(error.errors(include_input=False)[0])
            raise UnusableCredentials(f"The database cannot be used: {reason}.") from None

    @property
    def location(self) -> str:
        """Name the server and database, or the file, without secrets."""
        return self._database().location if self.url else "a database without a URL"

    def _database(self) -> Database:
        self.check_complete()
        assert self.url  # noqa: S101  # for mypy
        return database_at(self.url.get_secret_value())

    def get_client(self, **options: Any) -> Engine:
        """Make an SQLAlchemy engine, with further options for the driver; it connects when it is first used.

        A SQLite file is never created. No text of the engine's errors holds what a statement was given. Raises
        UnusableCredentials where the URL is missing, or a variable of PostgreSQL's would lead elsewhere.
        """
        database = self._database()
        given = {**database.options, **options}
        if database.url.get_backend_name() == "postgresql":
            check_environment({*given, "dbname"})
        return engine_for(database.url, given)

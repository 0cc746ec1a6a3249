"""How to reach a Redis server."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from blocks.checked_credentials import CheckedCredentials

READ_BYTES = 1 << 20  # replies of a scan are that large
SCHEMES = ("redis", "rediss", "unix")


def is_redis_url(url: str) -> bool:
    """Say whether a URL is one of Redis; a password with a bare / ? or # in it makes another URL of it."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is none
        Redis.from_url(url).connection_pool.make_connection()  # raises at an unknown option; connects later
    except (TypeError, ValueError):
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    whole = parts.scheme in SCHEMES and parts.hostname and not parts.fragment and "@" not in parts.query
    return bool(whole) and re.fullmatch(r"/?\d*", parts.path) is not None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# Prefect 3.8 takes a reference to a block in a deployment only where the class has another title than its name.
class RedisCredentials(CheckedCredentials, title="Redis Credentials"):
    """How to reach a Redis server: a URL, or its parts.

    Attributes:
        url: The whole URL; where it is given, the other fields are not used.
        host: The server's name or address.
        port: The server's port.
        db: The number of the database.
        username: The ACL user.
        password: The password.
        tls: Whether to speak TLS.

    Example:
        Load a stored Redis credentials block:
        ```python
        from blocks.redis_credentials import RedisCredentials

        client = RedisCredentials.load("BLOCK_NAME").get_client()
        ```
    """

    _block_type_name = "Redis Credentials"
    _block_type_slug = "redis-credentials"
    _description = "How to reach a Redis server: a URL, or its parts."
    _documentation_url = "https://redis.io/docs/latest/develop/clients/redis-py/connect/"  # type: ignore[assignment]  # as Prefect's own blocks do

    model_config = ConfigDict(hide_input_in_errors=True)

    takes: ClassVar[str] = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or unix://PATH[?db=DB]"

    url: SecretStr | None = Field(
        default=None,
        title="URL",
        description="The whole URL, such as redis://user:password@host:6379/0, rediss:// for TLS, or unix:///path. "
        "Where it is given, the other fields are not used.",
    )
    host: str = Field(default="localhost", description="The server's name or address.")
    port: int = Field(default=6379, ge=1, le=65535, description="The server's port.")
    db: int = Field(default=0, ge=0, title="Database", description="The number of the database.")
    username: str | None = Field(default=None, description="The ACL user; leave empty for the default user.")
    password: SecretStr | None = Field(default=None, description="The password.")
    tls: bool = Field(default=False, title="TLS", description="Whether to speak TLS.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not is_redis_url(url.get_secret_value()):
            message = f"not a Redis URL; it has the form {cls.takes} (with / ? # @ % in a password percent-encoded)"
            raise ValueError(message)
        return url

    @classmethod
    def from_argument(cls, url: str) -> Self:
        """Make the block from what a command was given, a URL.

        Raises ValueError where it is no Redis URL.
        """
        return cls(url=SecretStr(url))

    @property
    def location(self) -> str:
        """Name the server and database, without secrets."""
        parts = urlsplit(self._whole_url())
        query = parse_qs(parts.query)
        if parts.scheme == "unix":
            return f"unix://{unquote(parts.path)}?db={query.get('db', ['0'])[0]}"
        db = query.get("db", [parts.path.strip("/") or "0"])[0]
        return f"{parts.scheme}://{_bracketed(parts.hostname or '')}:{parts.port or 6379}/{db}"

    def _whole_url(self) -> str:
        if self.url is not None:
            return self.url.get_secret_value()
        password = quote(self.password.get_secret_value(), safe="") if self.password else ""
        login = f"{quote(self.username or '', safe='')}:{password}@" if self.username or password else ""
        return f"{'rediss' if self.tls else 'redis'}://{login}{_bracketed(self.host)}:{self.port}/{self.db}"

    def get_client(self, **options: Any) -> Redis:
        """Make a client; it never sends a command twice by itself, so that a lost answer is noticed.

        Raises nothing until the first command.
        """
        settings = {
            "socket_timeout": 30,
            "socket_connect_timeout": 10,
            "socket_read_size": READ_BYTES,
            "retry": Retry(NoBackoff(), 0),
        }
        return Redis.from_url(self._whole_url(), **(settings | options))

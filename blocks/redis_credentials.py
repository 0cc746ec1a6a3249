"""How to reach a Redis server."""

from __future__ import annotations

import re
import socket
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator
from redis import Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from blocks.checked_credentials import CheckedCredentials
from blocks.errors import UnusableCredentials, said
from blocks.redis_options import redis_options

HANDSHAKE_SECONDS = 10
READ_BYTES = 1 << 20  # replies of a scan are that large
SCHEMES = ("redis", "rediss", "unix")
FORM = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or unix://PATH[?db=DB]"
NO_URL = "not a Redis URL"
INVALID = re.compile(r"Invalid value for '(\w+)'")
OTHER_SERVERS = re.compile(r"(rediss?[+-](?:socket[+-])?(sentinel|cluster))://")
MASTERS = {"sentinel": "master itself", "cluster": "node where the hash lies"}


def check_redis_url(url: str) -> None:
    """Raise ValueError where a URL is none of Redis; a password with a bare / ? or # in it makes another URL of it."""
    if other := OTHER_SERVERS.match(url):
        message = f"{other[1]}:// is the URL of a {other[2].capitalize()}: give the address of the {MASTERS[other[2]]}"
        raise ValueError(message)
    form = f"{NO_URL}; it has the form {FORM} (with / ? # @ % in a password percent-encoded)"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError as error:
        raise ValueError(form) from error
    whole = parts.path if parts.scheme == "unix" else parts.hostname and re.fullmatch(r"/?\d*", parts.path)
    if parts.scheme not in SCHEMES or not whole or parts.fragment or "@" in parts.query:
        raise ValueError(form)
    plain = plain_url(url)
    try:
        Redis.from_url(plain).connection_pool.make_connection()  # connects later
    except ValueError as error:
        found = INVALID.search(str(error))
        raise ValueError(f"the URL's option {found[1]} has a value that it cannot have" if found else form) from None
    except (RedisError, TypeError) as error:
        raise ValueError(form) from error


def plain_url(url: str) -> str:
    """Return a URL with no options but those that redis-py is to have; raise ValueError where one is not known."""
    whole, _, query = url.partition("?")
    options = redis_options(dict(parse_qsl(query, keep_blank_values=True)), tls=url.startswith("rediss:"))
    return f"{whole}?{urlencode(options)}" if options else whole


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class TLSConnection(SSLConnection):
    """A connection that does not wait long for the first word in TLS: a server that speaks none says nothing at all."""

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> socket.socket:
        sock.settimeout(HANDSHAKE_SECONDS)
        try:
            wrapped: socket.socket = super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]  # redis-py's
        except TimeoutError as error:
            raise NoHandshake(f"SSL handshake: no answer within {HANDSHAKE_SECONDS} s") from error
        wrapped.settimeout(self.socket_timeout)
        return wrapped


class NoHandshake(OSError):
    """The server took the connection and did not answer in TLS."""


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

    takes: ClassVar[str] = FORM

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
        if url is not None:
            check_redis_url(url.get_secret_value())
        return url

    @classmethod
    def from_argument(cls, url: str) -> Self:
        """Make the block from what a command was given, a URL.

        Raises ValueError where it is no Redis URL, UnusableCredentials where it is one that cannot be used.
        """
        try:
            return cls(url=SecretStr(url))
        except ValidationError as error:
            reason = said(error.errors(include_input=False)[0])
            if reason.startswith(NO_URL):
                raise
            raise UnusableCredentials(f"The Redis server cannot be used: {reason}.") from None

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
        settings: dict[str, Any] = {
            "protocol": 2,  # which all servers know; before Redis 6 they know no other
            "socket_timeout": 30,
            "socket_connect_timeout": 10,
            "socket_read_size": READ_BYTES,
            "retry": Retry(NoBackoff(), 0),
        }
        url = plain_url(self._whole_url())
        if url.startswith("rediss:"):
            settings["connection_class"] = TLSConnection
        return Redis.from_url(url, **(settings | options))

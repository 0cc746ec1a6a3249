"""URLs of databases, as SQLAlchemy and as Java write them, turned into what SQLAlchemy and the drivers take."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from sqlalchemy import URL

from blocks.database_options import OPTIONS
from blocks.url_options import check_options

FORM: Final = re.compile(r"(jdbc:)?(sqlite|postgres(?:ql)?|mysql|mariadb)(?:\+(\w+))?:(.*)", re.DOTALL)
SAME: Final = {"postgres": "postgresql", "mariadb": "mysql"}
DRIVERS: Final = {"sqlite": "pysqlite", "postgresql": "psycopg", "mysql": "pymysql"}
PORTS: Final = {"postgresql": 5432, "mysql": 3306}
SERVER: Final = "//[USER[:PASSWORD]@]HOST[:PORT]/DATABASE with / ? # @ % in a user or password percent-encoded"


@dataclass(frozen=True)
class Database:
    """What opens a database: a URL for SQLAlchemy, options for the driver; and its name, without secrets."""

    url: URL = field(repr=False)
    options: dict[str, Any] = field(repr=False)
    location: str


def database_at(text: str) -> Database:
    """Read the URL of a database.

    Raises ValueError, whose message holds nothing of the URL.
    """
    found = FORM.fullmatch(text)
    if not found:
        message = "the URL begins with sqlite:, postgresql:, mysql: or mariadb:, or with jdbc: and one of these"
        raise ValueError(message)
    java, name, driver, rest = found.groups()
    name = SAME.get(name, name)
    if driver not in (None, DRIVERS[name]):
        message = f"the driver of {name} is {DRIVERS[name]}: begin the URL with {name}: or {name}+{DRIVERS[name]}:"
        raise ValueError(message)
    return _file(rest, java=bool(java)) if name == "sqlite" else _server(name, rest)


def _file(rest: str, *, java: bool) -> Database:
    path, _, query = rest.partition("?")
    if path.startswith("//") and not java:  # SQLAlchemy's: no host, and the path behind a third slash
        path = path.removeprefix("///") if path.startswith("///") else ""
    if path.startswith("file:"):
        path = unquote(path.removeprefix("file:"))
    options = {name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True)}
    check_options(options, ("mode", "cache", "uri"))
    if path in ("", ":memory:") or options.get("mode") == "memory":
        message = "the URL must name a file: a database in memory is that of another process"
        raise ValueError(message)
    whole = Path(re.sub("^/+", "/", path)).resolve()
    mode = "ro" if options.get("mode") == "ro" else "rw"  # never one that creates the file
    url = URL.create("sqlite+pysqlite", database=f"file:{quote(str(whole))}", query={"uri": "true", "mode": mode})
    return Database(url, {"timeout": 10}, f"sqlite:///{whole}")


def _server(name: str, rest: str) -> Database:
    parts = _split(rest if rest.startswith("//") else f"//localhost/{rest.lstrip('/')}")  # Java allows just a name
    query = parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True)
    options = {name.lower().replace("-", "_"): value for name, value in query}
    user = options.get("user") or unquote(parts.username or "") or None
    password = options.get("password") or unquote(parts.password or "")
    host, port, database = parts.hostname or "localhost", parts.port or PORTS[name], unquote(parts.path[1:])
    url = URL.create(f"{name}+{DRIVERS[name]}", user, None, host, port, database)
    # As bytes: PyMySQL would send Latin-1.
    secret: dict[str, Any] = {"password": password.encode() if name == "mysql" else password} if password else {}
    shown = f"[{host}]" if ":" in host else host
    return Database(url, {**OPTIONS[name](options), **secret}, f"{name}://{shown}:{port}/{database}")


def _split(rest: str) -> SplitResult:
    """Split a URL; a bare / ? # or @ in its password makes another one of it."""
    if re.match(r"//([^/?#]*@)?[^/?#@]*,", rest):
        message = "the URL must name one host, the one that takes writes"
        raise ValueError(message)
    try:
        parts = urlsplit(rest)
        _ = parts.port  # raises where it is none
    except ValueError as error:
        message = f"the URL goes on with {SERVER}"
        raise ValueError(message) from error
    if not re.fullmatch(r"/[^/@]+", parts.path) or parts.fragment:
        message = f"the URL must name one database: it goes on with {SERVER}"
        raise ValueError(message)
    return parts

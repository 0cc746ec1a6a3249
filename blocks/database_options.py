"""Options in the URL of a database, by SQLAlchemy's and by Java's names, turned into those of Python's drivers.

Names are compared in lower case. What only steers a Java driver is accepted and not used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from blocks.url_options import check_options

Options = Mapping[str, str]

LIBPQ: Final = (
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslcrldir", "sslsni", "sslnegotiation"),
    *("sslcertmode", "sslcompression", "ssl_min_protocol_version", "ssl_max_protocol_version", "requiressl"),
    *("channel_binding", "require_auth", "requirepeer", "gssencmode", "gsslib", "gssdelegation", "krbsrvname"),
    *("connect_timeout", "application_name", "fallback_application_name", "client_encoding", "options", "passfile"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
    *("target_session_attrs", "load_balance_hosts"),
)
POSTGRESQL: Final = {
    **{name: name for name in LIBPQ},
    "connecttimeout": "connect_timeout",
    "logintimeout": "connect_timeout",
    "applicationname": "application_name",
}
POSTGRESQL_JAVA: Final = (
    *("sockettimeout", "tcpkeepalive", "rewritebatchedinserts", "preparethreshold", "stringtype"),
    *("defaultrowfetchsize", "autosave", "readonly"),
)
MYSQL: Final = {
    **{name: name for name in ("ssl_ca", "ssl_cert", "ssl_key")},
    "serversslcert": "ssl_ca",
}
ALIASES: Final = {
    "ssl_mode": "sslmode",
    "sslca": "ssl_ca",
    "sslcert": "ssl_cert",
    "sslkey": "ssl_key",
    "ssl_check_hostname": "ssl_verify_identity",
    "ssl_verify_server_cert": "ssl_verify_identity",
}
MYSQL_TLS: Final = (
    *("sslmode", "usessl", "requiressl", "verifyservercertificate"),
    *("ssl_disabled", "ssl_verify_cert", "ssl_verify_identity"),
)
ENCRYPTED: Final = {"ssl": {"check_hostname": False}}
CHECKED: Final = {"ssl_verify_cert": True, "ssl_verify_identity": True}
TLS: Final[dict[str, dict[str, Any]]] = {
    "": {},
    "preferred": {},
    "disabled": {"ssl_disabled": True},
    "disable": {"ssl_disabled": True},
    "required": ENCRYPTED,
    "trust": ENCRYPTED,
    "verify-ca": {"ssl_verify_cert": True},
    "verify-identity": CHECKED,
    "verify-full": CHECKED,
}
PYMYSQL_TLS: Final = {
    "ssl_disabled": "disabled",
    "ssl_verify_identity": "verify-identity",
    "ssl_verify_cert": "verify-ca",
}
MYSQL_JAVA: Final = (
    *("charset", "useunicode", "characterencoding", "connectioncollation", "servertimezone", "connectiontimezone"),
    *("allowpublickeyretrieval", "autoreconnect", "rewritebatchedstatements", "zerodatetimebehavior", "sockettimeout"),
    *("connecttimeout", "uselegacydatetimecode", "cacheprepstmts", "useserverprepstmts"),
    "tinyint1isbit",
)


def is_on(value: str | None) -> bool:
    """Read a switch as Java does; an option without a value is on."""
    return value is not None and value.lower() in ("", "true", "1", "yes")


def postgresql(options: Options) -> dict[str, Any]:
    """Give libpq's options; `ssl=true` is Java's for a certificate that is checked in full."""
    check_options(options, {*POSTGRESQL, *POSTGRESQL_JAVA, "user", "password", "ssl", "currentschema"})
    given = {POSTGRESQL[name]: value for name, value in options.items() if name in POSTGRESQL}
    if is_on(options.get("ssl")):
        given.setdefault("sslmode", "verify-full")
    if schema := options.get("currentschema"):
        given["options"] = f"-csearch_path={schema}"
    watched = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000}
    return {"connect_timeout": 10, "application_name": "steward", **watched, **given}


def mysql(options: Options) -> dict[str, Any]:
    """Give PyMySQL's options; where nothing is said of TLS, it is used if the server has it.

    Raises ValueError where the server's name is to be checked, but no file says which certificates to trust, and where
    `connect_timeout`, in seconds, is none.
    """
    options = {ALIASES.get(name, name): value for name, value in options.items()}
    check_options(options, {*MYSQL, *MYSQL_TLS, *MYSQL_JAVA, "connect_timeout", "user", "password"})
    given = {MYSQL[name]: value for name, value in options.items() if name in MYSQL}
    tls = _mysql_tls(options)
    if "ssl_verify_identity" in tls and "ssl_ca" not in given:  # PyMySQL would not look at the name
        message = "the URL must have ssl_ca, the file of the certificates to trust, for a server's name to be checked"
        raise ValueError(message)
    waits = {"connect_timeout": _seconds(options.get("connect_timeout")), "read_timeout": 300, "write_timeout": 300}
    return {"charset": "utf8mb4", **waits, **given, **tls}


def _seconds(given: str | None) -> int:
    """Return PyMySQL's time for connecting, of which it takes a year at most."""
    if given is None:
        return 10
    if not re.fullmatch(r"0*[1-9]\d{0,6}", given):
        message = "the URL's connect_timeout must be whole seconds, such as 10"
        raise ValueError(message)
    return int(given)


def _mysql_tls(options: Options) -> dict[str, Any]:
    mode = options.get("sslmode", "").lower().replace("_", "-")
    if not mode:
        mode = next((mode for name, mode in PYMYSQL_TLS.items() if is_on(options.get(name))), "")
    if not mode and (is_on(options.get("usessl")) or is_on(options.get("requiressl"))):
        mode = "verify-ca" if is_on(options.get("verifyservercertificate")) else "required"
    elif not mode and "usessl" in options:
        mode = "disabled"
    if mode not in TLS:
        message = f"the URL's sslMode must be one of {', '.join(filter(None, TLS))}"
        raise ValueError(message)
    return TLS[mode]


OPTIONS: Final[Mapping[str, Callable[[Options], dict[str, Any]]]] = {"postgresql": postgresql, "mysql": mysql}

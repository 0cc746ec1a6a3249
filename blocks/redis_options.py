"""Options in the URL of a Redis server, as redis-py, Celery and others write them, turned into those of redis-py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from blocks.url_options import check_options

PLAIN: Final = ("db", "username", "password", "protocol", "client_name", "socket_timeout", "socket_connect_timeout")
TLS: Final = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
NOT_USED: Final = (
    *("decode_responses", "encoding", "encoding_errors", "health_check_interval", "legacy_responses"),
    *("max_connections", "retry_on_error", "retry_on_timeout", "socket_keepalive", "socket_read_size", "timeout"),
)
"""They steer how other programs use the server, such as whether they are given text or bytes."""
CHECKED: Final = {"none": "none", "optional": "optional", "required": "required"}
CELERY: Final = {f"cert_{name}": name for name in CHECKED}


def redis_options(given: Mapping[str, str], *, tls: bool) -> dict[str, Any]:
    """Return redis-py's options for those of a URL.

    Raises ValueError, which names the option that cannot be used.
    """
    check_options(given, {*PLAIN, *TLS, *NOT_USED})
    options = {name: value for name, value in given.items() if name not in NOT_USED}
    if not tls and (of_tls := [name for name in options if name in TLS]):
        message = f"the URL's option {of_tls[0]} goes with rediss://, which speaks TLS"
        raise ValueError(message)
    if reqs := options.get("ssl_cert_reqs"):
        options["ssl_cert_reqs"] = _checked(reqs)
    return options


def _checked(reqs: str) -> str:
    found = (CHECKED | CELERY).get(reqs.lower())
    if found is None:
        message = f"the URL's ssl_cert_reqs must be one of {', '.join(CHECKED)}"
        raise ValueError(message)
    return found

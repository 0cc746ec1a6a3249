"""What a Redis server's errors mean for the operator."""

from __future__ import annotations

import re
from typing import Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  # redis-py's own name
    InvalidResponse,
    MasterDownError,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004  # redis-py's own name
    TryAgainError,
)

from tasks.changes.errors import BadInput, StewardError, StoreDenied, StoreUnavailable

TRANSIENT: Final = (BusyLoadingError, ConnectionError, MasterDownError, TimeoutError, TryAgainError)
TRANSIENT_CODES: Final = re.compile(r"(BUSY|NOREPLICAS) ")
UNKNOWN_COMMAND: Final = re.compile(r"unknown command [`']?(\w+)", re.IGNORECASE)
NO_COMMAND: Final = re.compile(r"permissions? to run the '([\w|]+)' command")
# What Redis appends to its words: the first arguments of a command, which may hold a record; where a script stood.
APPENDED: Final = re.compile(r",? with args beginning with:|\s+script: \w+, on @")

NO_TLS: Final = re.compile(r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|SSL handshake: no answer")

NEEDED: Final = "TIME, TYPE, HLEN, HSCAN, EVAL, HMGET, HSET and HDEL"
UNTRUSTED: Final = (
    "Where its certificate is of a CA of your own, set SSL_CERT_FILE to the file of that CA's certificate, or add "
    "?ssl_ca_certs=FILE to the URL."
)


def meaning(location: str, error: Exception) -> StewardError | None:
    """Return our error for one of redis-py, None for any other."""
    if isinstance(error, AuthenticationError):
        return _of_login(location, error)
    if isinstance(error, ConnectionError) and "SSL" in str(error):
        return _of_tls(location, error)
    if isinstance(error, ClusterDownError):
        words = f"is a node of a Redis Cluster that is not whole: {said(error)}. Run the command again."
        return StoreUnavailable(f"{location} {words}")
    if isinstance(error, InvalidResponse):
        return StoreDenied(f"{location}: what answers there is no Redis. Correct the address.")
    if isinstance(error, TRANSIENT) or TRANSIENT_CODES.match(str(error)):
        return StoreUnavailable(f"{location} does not answer: {said(error)}. Run the command again.")
    if isinstance(error, MovedError | AskError):
        where = f"{error.host}:{error.port}"
        return StoreDenied(f"{location} is a node of a Redis Cluster, and the hash lies at {where}: give that address.")
    if isinstance(error, RedisError):
        return StoreDenied(f"{location} refuses the command: {said(error)}. {_advice(location, error)}".rstrip())
    return None


def _of_login(location: str, error: AuthenticationError) -> StewardError:
    if getattr(error, "status_code", None) == "NOAUTH" or "Authentication required" in str(error):
        return BadInput(f"{location} asks for a password: give one in the URL or the block.")
    return StoreDenied(f"{location} refuses the user or password: {said(error)}. Correct the URL or the block.")


def _of_tls(location: str, error: ConnectionError) -> StewardError:
    text = said(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return StoreDenied(f"{location} is not trusted: {text}. {UNTRUSTED}")
    if NO_TLS.search(text):
        return StoreDenied(f"{location} does not speak TLS: {text}. Without TLS the URL begins with redis://.")
    return StoreUnavailable(f"{location} does not answer: {text}. Run the command again.")


def _advice(location: str, error: RedisError) -> str:
    text = str(error)
    if isinstance(error, ReadOnlyError) or text.startswith("READONLY"):
        return "It is a replica: give the address of its master."
    if unknown := UNKNOWN_COMMAND.search(text):
        return _without(unknown[1].upper())
    if isinstance(error, NoPermissionError) or "ACL failure" in text:
        return f"The user lacks a right: ACL SETUSER … {_right(location, text)}. The job needs {NEEDED}."
    return ""


def _without(command: str) -> str:
    if command == "EVAL":
        return f"{command} was renamed or disabled there; the job needs {NEEDED}."
    return f"Either it is a Redis Sentinel, and the URL must name the master instead, or {command} was disabled there."


def _right(location: str, text: str) -> str:
    command = NO_COMMAND.search(text)
    return f"+{command[1]}" if command else f"~{location.partition('#')[2]}"


def said(error: Exception) -> str:
    """Return the server's own words, without what they quote."""
    return APPENDED.split(str(error))[0].rstrip(". ")

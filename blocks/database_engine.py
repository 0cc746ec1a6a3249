"""Engines for databases, whose first connection ends soon where what listens is no database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import URL, Engine, ExceptionContext, create_engine, event

WAITS: Final = ("read_timeout", "write_timeout")
LOST: Final = 2013


class NoGreeting(OSError):
    """What listens said nothing to the first connection, as what waits for its client to speak."""


def engine_for(url: URL, options: Mapping[str, Any], **settings: Any) -> Engine:
    """Make an engine with options for its driver; it connects when it is first used.

    PyMySQL waits for a server's greeting, and for TLS, as long as for the rows of a query. So the time for connecting
    is that of its reads and writes until a connection is there; a first one that ends by it is a NoGreeting.
    """
    if url.get_backend_name() != "mysql":
        return create_engine(url, hide_parameters=True, connect_args=dict(options), **settings)
    connecting = {**options, **dict.fromkeys(WAITS, options["connect_timeout"])}
    engine = create_engine(url, hide_parameters=True, connect_args=connecting, **settings)
    _Greeting({f"_{name}": options[name] for name in WAITS}, options["connect_timeout"]).listen(engine)
    return engine


class _Greeting:
    """Whether an engine's server has greeted yet, and the times that a connection has from then on."""

    def __init__(self, lasting: Mapping[str, float], seconds: float) -> None:
        self._lasting, self._seconds, self._greeted = lasting, seconds, False

    def listen(self, engine: Engine) -> None:
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "handle_error", self._failed)

    def _connected(self, connection: Any, _record: object) -> None:
        self._greeted = True
        for name, seconds in self._lasting.items():  # PyMySQL sets the socket by them before it next reads or writes
            setattr(connection, name, seconds)

    def _failed(self, context: ExceptionContext) -> NoGreeting | None:
        number, words, *_ = (*context.original_exception.args, "", "")
        if self._greeted or number != LOST or "timed out" not in str(words):
            return None
        return NoGreeting(f"no greeting within {self._seconds} s")

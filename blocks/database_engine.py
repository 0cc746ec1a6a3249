"""Engines for databases, whose connections end in time where what listens is no database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event

WAITS: Final = ("read_timeout", "write_timeout")


def engine_for(url: URL, options: Mapping[str, Any], **settings: Any) -> Engine:
    """Make an engine with options for its driver; it connects when it is first used.

    PyMySQL waits for a server's greeting, and for TLS, as long as for the rows of a query: what listens and says
    nothing is given up after the time for connecting, and a connection has the time of a query once it is there.
    """
    if url.get_backend_name() != "mysql":
        return create_engine(url, hide_parameters=True, connect_args=dict(options), **settings)
    connecting = {**options, **dict.fromkeys(WAITS, options["connect_timeout"])}
    engine = create_engine(url, hide_parameters=True, connect_args=connecting, **settings)
    lasting = {f"_{name}": options[name] for name in WAITS}

    def connected(connection: Any, _record: object) -> None:
        for name, seconds in lasting.items():  # PyMySQL sets the socket by them before it next reads or writes
            setattr(connection, name, seconds)

    event.listen(engine, "connect", connected)
    return engine

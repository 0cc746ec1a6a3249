"""What a Redis server calls itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tasks.changes.errors import StoreError, StoreUnavailable
from tasks.changes.protocols import Identity

NAMES: Final = ("run_id", "master_replid", "master_replid2")
"""The ids in INFO: of the process, of the history of its data, and of the history that it took over at a failover."""


def identity_of(read: Callable[..., Any]) -> Identity:
    """Return what a server calls itself, as far as this login may ask; `read` sends a command.

    All of it is new after a restart, unless the data were saved; then, and where the folder of the data is the same,
    it is the same server.
    """
    try:
        told = b"".join(read("INFO", section) for section in ("server", "replication")).decode(errors="replace")
    except StoreUnavailable:
        raise
    except StoreError:  # it is asked only to be told from another, and may be forbidden
        return Identity()
    found = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    ids = {name: found[name] for name in NAMES if found.get(name, "").strip("0")}
    return Identity(ids, changes_at_restart=True, place=_folder(read))


def _folder(read: Callable[..., Any]) -> str:
    try:
        answer = read("CONFIG", "GET", "dir")
    except StoreUnavailable:
        raise
    except StoreError:  # managed servers know no CONFIG
        return ""
    values = list(answer.values()) if isinstance(answer, dict) else answer[1::2]
    return values[0].decode(errors="replace") if values else ""

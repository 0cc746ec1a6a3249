"""Under which keys Datashare keeps its tasks in Redis."""

from __future__ import annotations

from typing import Final

from tasks.changes.errors import BadInput
from tasks.stores.redis_hash import RedisHash

TASKS: Final = "ds:task:manager"
"""Since 19.2.1, and with AMQP since 16.0.3."""

KNOWN: Final = (TASKS, "ds:task:manager:tasks")


def check_hash_key(tasks: RedisHash) -> None:
    """Raise BadInput where the hash is not there but another key known to hold tasks is."""
    if tasks.exists():
        return
    others = [key for key in KNOWN if key != tasks.hash_key and tasks.exists(key)]
    if others:
        message = f"There is no hash {tasks.location}, but there is {others[0]}: give --hash-key {others[0]}."
        raise BadInput(message)

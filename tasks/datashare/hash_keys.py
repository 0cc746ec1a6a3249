"""Under which keys Datashare keeps its tasks in Redis."""

from __future__ import annotations

from copy import copy
from typing import Annotated, Final

from pydantic import Field

from tasks.changes.errors import BadInput, StoreDenied
from tasks.changes.options import Described
from tasks.stores.redis_hash import RedisHash

HashKey = Annotated[
    str, Field(min_length=1), Described("The hash of the tasks; before Datashare 19.2 ds:task:manager:tasks.")
]

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


def other_hashes(tasks: RedisHash) -> dict[str, int]:
    """Return the other keys known to hold tasks, with how many records each has; they are not touched."""
    return {key: there for key in KNOWN if key != tasks.hash_key and (there := _count(tasks, key))}


def other_tasks(tasks: RedisHash) -> list[str]:
    """Return where else there are tasks, one sentence for each place."""
    return [
        f"{n:,} records lie under {key}; they are not touched. To work on them, give --hash-key {key}."
        for key, n in other_hashes(tasks).items()
    ]


def _count(tasks: RedisHash, key: str) -> int:
    other = copy(tasks)
    other.hash_key = key
    try:
        return other.count()
    except StoreDenied:  # it is no hash, or not to be read: no business of this run
        return 0

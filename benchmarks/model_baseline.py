"""What people do today, with our own transformation, and the floor: run by task_model_migrate.py, in own processes."""

from __future__ import annotations

import json
import sys
import time
from typing import cast

from hmap_baseline import KEY, floor
from redis import Redis

from tasks.changes.protocols import Replace
from tasks.datashare.model_migration import ToGeneration


def by_hand(client: Redis, _: str) -> int:
    """Do as the scripts do: the whole hash at once, then one HSET per record, whatever stands there by then."""
    changed, migrate = 0, ToGeneration("plain")
    for field, value in cast("dict[bytes, bytes]", client.hgetall(KEY)).items():
        verdict = migrate(field, value)
        if isinstance(verdict, Replace):
            client.hset(KEY, field, cast("bytes", verdict.after))
            changed += 1
    return changed


if __name__ == "__main__":
    work = {"by-hand": by_hand, "floor": floor}[sys.argv[1]]
    client = Redis.from_url(sys.argv[2], socket_timeout=None)
    began = time.perf_counter()
    n = work(client, "")
    print(json.dumps({"seconds": time.perf_counter() - began, "n": n}))

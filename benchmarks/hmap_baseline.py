"""What people do today, and the floor under any tool: run by hmap_clean.py, each in a process of its own."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import cast
from urllib.parse import unquote, urlparse

import orjson
from redis import Redis

KEY = "ds:task:manager"


def by_hand(client: Redis, folder: str) -> int:
    """Do as the scripts do: the whole hash at once, then one look and one removal per record."""
    removed = 0
    for field, value in client.hgetall(KEY).items():
        download = json.loads(value)["task"]["args"].get("batchDownload")
        name = os.path.basename(urlparse(unquote(download["filename"])).path) if download else ""
        if download and not os.path.exists(f"{folder}/{name}"):
            removed += client.hdel(KEY, field)
    return removed


def floor(client: Redis, _folder: str) -> int:
    """Read and parse each record, and do nothing."""
    cursor, seen = 0, 0
    while True:
        cursor, found = client.hscan(KEY, cursor, count=1000)
        for value in cast("dict[bytes, bytes]", found).values():
            orjson.loads(value)
        seen += len(found)
        if not cursor:
            return seen


if __name__ == "__main__":
    work = {"by-hand": by_hand, "floor": floor}[sys.argv[1]]
    client = Redis.from_url(sys.argv[2], socket_timeout=None)
    began = time.perf_counter()
    n = work(client, sys.argv[3])
    print(json.dumps({"seconds": time.perf_counter() - began, "n": n}))

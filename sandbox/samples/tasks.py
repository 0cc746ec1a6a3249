"""Datashare's task records of every generation, loaded into a Redis hash, with the archives that some of them name.

`python -m sandbox.samples.tasks REDIS_URL ARCHIVE_DIR` loads them where Datashare has them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import orjson
from redis import Redis

RECORDS = Path(__file__).parent / "datashare"
ARCHIVE = b"archive_fbar_"


def load(client: Redis, hash_key: str, archive_dir: Path, copies: int = 100) -> int:
    """Fill the hash with `copies` of every sample, and the folder with the archives of two copies in three.

    Returns the number of records.
    """
    for file in sorted(RECORDS.glob("*.jsonl")):
        for line in file.read_bytes().splitlines():
            for copy in range(copies):
                _add(client, hash_key, f"{file.stem}-{copy:04d}", line)
                if copy % 3:
                    _archive(archive_dir, f"{file.stem}-{copy:04d}", line)
    return int(client.hlen(hash_key))


def _add(client: Redis, hash_key: str, user: str, line: bytes) -> None:
    record = orjson.loads(line)
    old: str = record.get("task", record)["id"]
    new = str(uuid5(NAMESPACE_URL, user + old))
    client.hset(hash_key, new, line.replace(old.encode(), new.encode()).replace(ARCHIVE, f"archive_{user}_".encode()))


def _archive(archive_dir: Path, user: str, line: bytes) -> None:
    if ARCHIVE in line:
        name = line.partition(ARCHIVE)[2].partition(b'"')[0].decode().replace("%5B", "[").replace("%5D", "]")
        (archive_dir / f"archive_{user}_{name}").touch()


if __name__ == "__main__":
    load(Redis.from_url(sys.argv[1]), "ds:task:manager", Path(sys.argv[2]))

"""task-model-migrate beside HGETALL and HSET one by one: python benchmarks/task_model_migrate.py [RECORDS]."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from hmap_baseline import KEY
from measuring import HERE, child, inside, kills, line
from redis import Redis

from sandbox import Sandbox
from sandbox.prefect_server import prefect_server

MASTER, BATCH = "master", 5000
SAMPLES = HERE.parent / "sandbox" / "samples" / "datashare"
GENERATIONS = {"G1": ("g1-18.3.0", 0), "G2": ("g2-20.2.0", 1), "G3": ("g3-20.3.0", 1)}
"""A batch download of 1.0 kB, and the same batch search in 0.9 and 1.3 kB."""


def sample(generation: str) -> bytes:
    """Give the record of a generation that is multiplied."""
    file, number = GENERATIONS[generation]
    return (SAMPLES / f"{file}.jsonl").read_bytes().splitlines()[number]


def records(generation: str, n: int) -> Iterator[tuple[str, bytes]]:
    """Make records of about 1 kB, all of which change: field and JSON."""
    line = sample(generation)
    old = line.partition(b'"id":"')[2].partition(b'"')[0]
    for i in range(n):
        field = str(UUID(int=i * 0x9E3779B97F4A7C15 % 2**128))
        yield field, line.replace(old, field.encode())


class Bench:
    """The servers and the loaded hash."""

    def __init__(self, redis: str, api: str, work: Path) -> None:
        self.redis, self.api = redis, api
        self.client = Redis.from_url(redis, socket_timeout=None)
        self.env = {"STEWARD_PLANS": str(work / "plans"), "PREFECT_API_URL": api}
        self.job = inside("task-model-migrate", {"redis": redis})

    def load(self, generation: str, n: int) -> None:
        """Fill the master hash."""
        self.client.delete(MASTER)
        made = records(generation, n)
        while some := dict[Any, Any](islice(made, BATCH)):
            self.client.hset(MASTER, mapping=some)

    def reset(self) -> None:
        """Put the loaded hash back."""
        self.client.copy(MASTER, KEY, replace=True)

    def other(self, name: str) -> dict[str, Any]:
        """Run the baseline or the floor."""
        return child(sys.executable, str(HERE / "model_baseline.py"), name, self.redis)

    def digest(self) -> str:
        """Give what stands in the hash, as one number."""
        whole = 0
        for field, value in self.client.hscan_iter(KEY, count=1000):
            whole ^= int.from_bytes(hashlib.sha256(field + b"\0" + value).digest())
        return f"{whole:x}"


def times(bench: Bench) -> float:
    """Measure the job where all records change and where none does, and the baseline; return the peak in MB."""
    bench.reset()
    hand = bench.other("by-hand")
    wanted = bench.digest()
    bench.reset()
    ours = child(*bench.job, **bench.env)
    assert bench.digest() == wanted, "the two ended differently"
    floor, idle = bench.other("floor"), child(*bench.job, **bench.env)
    assert (ours["n"], idle["n"]) == (hand["n"], 0)
    work = ours["plan"] + ours["apply"]
    line("baseline: HGETALL, migrate, HSET one by one", f"{hand['seconds']:.1f} s, {hand['peak']:.0f} MB")
    line("plan + apply", f"{ours['plan']:.1f} + {ours['apply']:.1f} s, {ours['peak']:.0f} MB", "peak < 200 MB")
    line("  baseline / (plan + apply)", f"{hand['seconds'] / work:.2f}", ">= 2")
    line("none to change", f"{idle['plan']:.1f} s")
    line("  against a scan that only parses", f"{idle['plan'] / floor['seconds']:.2f}", "<= 1.5")
    return float(ours["peak"])


def main() -> None:
    """Print every figure."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as work, prefect_server(Path(work) / "server") as prefect:
        bench = Bench(sandbox.url("redis"), prefect.api_url, Path(work))
        peaks = []
        for generation, size in [*((one, n // 10) for one in GENERATIONS), ("G3", n)]:
            bench.load(generation, size)
            print(f"\n{size:,} records of {generation}, {len(sample(generation)):,} bytes each, all change")
            peaks.append(times(bench))
        line("peak memory: more than with a tenth of the records", f"{peaks[-1] - peaks[-2]:.0f} MB")
        bench.load("G3", 50_000)
        kills(bench.job, bench.env, bench.reset, bench.digest)


if __name__ == "__main__":
    main()

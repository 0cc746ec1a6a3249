"""hmap-clean beside what people do today: python benchmarks/hmap_clean.py [RECORDS]; takes about 8 minutes for 1M."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any
from uuid import UUID

from measuring import HERE, child, inside, kills, line, pinging
from redis import Redis

from sandbox import Sandbox
from sandbox.prefect_server import prefect_server

KEY, MASTER = "ds:task:manager", "master"
NEW = b'{"task":{"@type":"Task","id":"new","state":"RUNNING","args":{}}}'
SAMPLE = HERE.parent / "sandbox" / "samples" / "datashare" / "g4-head.jsonl"


def records(n: int) -> Iterator[tuple[str, str, str]]:
    """Make batch downloads of about 1.3 kB: field, JSON, and the archive's name on disk."""
    model = json.loads(SAMPLE.read_text().splitlines()[0])
    task, download = model["task"], model["task"]["args"]["batchDownload"]
    download["query"]["query"] = json.dumps({"bool": {"must": ["y" * 160]}})
    for i in range(n):
        name = f"archive_fbar_2024-11-07T14_53_47.{i:07d}Z[GMT].zip"
        task["id"] = download["uuid"] = str(UUID(int=i * 0x9E3779B97F4A7C15 % 2**128))
        download["filename"] = "file:///home/dev/tmp/" + name.replace("[", "%5B").replace("]", "%5D")
        task["result"]["value"]["uri"] = download["filename"]
        yield task["id"], json.dumps(model, separators=(",", ":")), name


def load(client: Redis, folder: Path, n: int) -> None:
    """Fill the master hash; every other record's archive lies in the folder.

    Each archive is looked for here, so that who comes first does not pay the file system's first look for the others.
    """
    client.delete(MASTER)
    pipe = client.pipeline(transaction=False)
    for i, (field, value, name) in enumerate(records(n)):
        pipe.hset(MASTER, field, value)
        if i % 2:
            (folder / name).touch()
        else:
            assert not (folder / name).exists()
        if i % 5000 == 4999:
            pipe.execute()
    pipe.execute()


class Bench:
    """The servers and the loaded hash, and one method per figure."""

    def __init__(self, redis: str, api: str, folder: Path, work: Path) -> None:
        self.redis, self.api, self.folder = redis, api, str(folder)
        self.client = Redis.from_url(redis, socket_timeout=None)
        self.env = {"STEWARD_PLANS": str(work / "plans")}
        given = {"redis": redis, "archive_dir": self.folder, "max_fraction": 1.0}
        self.job = inside("hmap-clean", given)
        self.private = {**self.env, "PREFECT_HOME": str(work / "prefect"), "XDG_STATE_HOME": str(work / "state")}

    def reset(self) -> None:
        """Put the loaded hash back."""
        self.client.copy(MASTER, KEY, replace=True)

    def fields(self) -> frozenset[Any]:
        """Give the fields that are there."""
        return frozenset(self.client.hkeys(KEY))

    def other(self, name: str) -> dict[str, Any]:
        """Run the baseline or the floor."""
        return child(sys.executable, str(HERE / "hmap_baseline.py"), name, self.redis, self.folder)

    def inside(self) -> dict[str, Any]:
        """Run the flow on a running Prefect server."""
        return child(*self.job, **self.env, PREFECT_API_URL=self.api)

    def command(self, **env: str) -> dict[str, Any]:
        """Run the whole command, from the shell's prompt to the report."""
        return child("steward", "hmap-clean", self.redis, self.folder, "--apply", "--json", **{**self.private, **env})


def times(bench: Bench) -> dict[str, Any]:
    """Measure the floor, the job, the job with nothing to do, the whole command, and the baseline."""
    bench.reset()
    floor = bench.other("floor")
    ours = bench.inside()
    work = ours["plan"] + ours["apply"]
    left = bench.other("floor")
    idle = bench.inside()
    bench.reset()
    whole = bench.command()
    bench.reset()
    hand = bench.other("by-hand")
    line("floor: scan and parse", f"{floor['seconds']:.1f} s")
    line("baseline: HGETALL, json.loads, exists, HDEL", f"{hand['seconds']:.1f} s, {hand['peak']:.0f} MB")
    line("plan + apply", f"{ours['plan']:.1f} + {ours['apply']:.1f} s, {ours['peak']:.0f} MB", "peak < 200 MB")
    line("  baseline / (plan + apply)", f"{hand['seconds'] / work:.1f}", ">= 8")
    line("  (plan + apply) / floor", f"{work / floor['seconds']:.2f}", "<= 2.5")
    line("  Prefect's share of the run", f"{1 - work / ours['seconds']:.1%}", "< 5 %")
    line("nothing to do / floor of what is left", f"{idle['plan'] / left['seconds']:.2f}", "<= 1.3")
    line("whole command, with its private server", f"{whole['wall']:.1f} s, {whole['peak']:.0f} MB")
    line("  baseline / whole command", f"{hand['wall'] / whole['wall']:.1f}", ">= 4")
    assert ours["n"] == whole["applied"] == hand["n"], "the three removed different numbers of records"
    return ours


def start(bench: Bench) -> None:
    """Measure the start of a command: an empty job beside an empty flow, both on a running server.

    Prefect ends some runs at once and others only after a second, hence also the fastest.
    """
    bench.client.delete(KEY)
    empty = "from prefect import flow\n@flow\ndef empty(): pass\nempty()"
    ours, theirs = [], []
    for _ in range(9):
        ours.append(bench.command(PREFECT_API_URL=bench.api)["told"])
        theirs.append(child(sys.executable, "-c", empty, **bench.private, PREFECT_API_URL=bench.api)["wall"])
    own, other, private = median(ours), median(theirs), bench.command()["told"]
    line("empty job to its report / empty Prefect flow, median of 9", f"{own:.1f} / {other:.1f} s")
    line("  ratio", f"{own / other:.2f}", "<= 1.5")
    line("  ratio to the fastest empty flow", f"{own / min(theirs):.2f}")
    line("empty job with a private server", f"{private:.1f} s")


def rewrite(client: Redis, rewritten: list[Any], deleted: list[Any]) -> None:
    """Rewrite and delete one record each every few milliseconds."""
    for one, other in zip(rewritten, deleted, strict=True):
        client.hset(KEY, one, NEW)
        client.hdel(KEY, other)
        time.sleep(0.02)


def writers(bench: Bench) -> None:
    """Rewrite and delete 200 records each while the job runs; count what was lost or brought back."""
    bench.reset()
    fields = list(bench.client.hkeys(KEY))[::7]
    rewritten, deleted = fields[:200], fields[200:400]
    writer = Thread(target=rewrite, args=(bench.client, rewritten, deleted))
    writer.start()
    with pinging(bench.client) as slowest:
        bench.inside()
    writer.join()
    line("slowest PING of another client meanwhile", f"{slowest[0] * 1000:.0f} ms")
    lost = sum(bench.client.hget(KEY, field) != NEW for field in rewritten)
    back = sum(bench.client.hexists(KEY, field) for field in deleted)
    line("concurrent writer: updates lost, records brought back", f"{lost}, {back}", "0, 0")


def main() -> None:
    """Print every figure."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as work, prefect_server(Path(work) / "server") as prefect:
        peaks = []
        for size in (n // 10, n):
            folder = Path(work) / f"archives-{size}"
            folder.mkdir()
            redis = sandbox.url("redis")
            bench = Bench(redis, prefect.api_url, folder, Path(work))
            load(bench.client, folder, size)
            print(f"\n{size:,} records, {bench.client.hstrlen(MASTER, next(records(1))[0])} bytes each, half orphans")
            peaks.append(times(bench)["peak"])
        line("peak memory: more than with a tenth of the records", f"{peaks[1] - peaks[0]:.0f} MB", "<= 25 MB")
        load(bench.client, folder, 100_000)
        kills(bench.job, {**bench.env, "PREFECT_API_URL": bench.api}, bench.reset, bench.fields)
        writers(bench)
        start(bench)


if __name__ == "__main__":
    main()

"""Cleaning a bucket beside raw requests: python benchmarks/objects.py [OBJECTS] [ROUNDS]; about 2 minutes a round.

Half of the objects go, by a judge that looks at the name. Raw is one listing and one multi-delete per 1000 of the same
objects, by the SDK and by our reader of pages; ours is a plan and its application, with every object looked at again
just before it goes, and all that 16 requests at a time where raw has one.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from measuring import child, line
from minio import Minio
from minio.deleteobjects import DeleteObject

from blocks.object_store_credentials import ObjectStoreCredentials
from sandbox import Sandbox
from tasks.changes.apply import Application
from tasks.changes.plan import Plan, write_plan
from tasks.changes.plan_store import PlanStore
from tasks.changes.progress import Phase
from tasks.changes.protocols import Keep, Key, Remove, Verdict
from tasks.stores.key_ranges import HEX, Prefix, Range, Shard
from tasks.stores.listing import Object, Page
from tasks.stores.objects import Objects
from tasks.stores.s3_talk import Bucket

NAME, PREFIX, BODY = "benchmark", "loc/lab/", bytes(64)
KEEP, REMOVE = Keep("referenced"), Remove("orphan")
GENERATED = 1_000_000
REST = 5
"""Seconds in which a server that was just filled comes to rest, before anybody is timed on it."""


def keys(n: int, first: int = 0) -> Iterator[str]:
    """Name objects as DataJoint 0.14 does."""
    for i in range(first, first + n):
        name = hashlib.md5(b"%d" % i).hexdigest()
        yield f"{PREFIX}{name[:2]}/{name[2:4]}/{name}"


def judge(key: Key, _value: Object) -> Verdict:
    """Take every other object for an orphan."""
    return REMOVE if int(str(key)[-1], 16) % 2 else KEEP


def open_bucket(url: str) -> tuple[Minio, Bucket]:
    """Open the bucket, made where it is missing."""
    credentials = ObjectStoreCredentials.from_argument(url)
    client = credentials.get_client()
    if not client.bucket_exists(NAME):
        client.make_bucket(NAME)
    return client, Bucket(client, NAME, credentials.location)


def load(url: str, n: int) -> None:
    """Upload the objects that are missing."""
    client, bucket = open_bucket(url)
    there = {key for page in bucket.pages(PREFIX) for key, _ in page}
    assert upload(client, set(keys(n)) - there) + len(there) == n


def upload(client: Minio, names: Iterable[str]) -> int:
    """Upload objects; give how many these were."""
    with ThreadPoolExecutor(8) as threads:
        return sum(
            1 for _ in threads.map(lambda name: client.put_object(NAME, name, io.BytesIO(BODY), len(BODY)), names)
        )


def raw(client: Minio, listing: Iterable[str]) -> dict[str, Any]:
    """List, and delete in requests of 1000, and nothing else."""
    began = time.perf_counter()
    orphans = [DeleteObject(key) for key in listing if int(key[-1], 16) % 2]
    listed = time.perf_counter()
    errors = list(client.remove_objects(NAME, orphans))
    assert not errors, errors[0]
    return {"list": listed - began, "delete": time.perf_counter() - listed, "n": len(orphans)}


def by_sdk(url: str) -> dict[str, Any]:
    """Do it with what the SDK lists."""
    client, _ = open_bucket(url)
    return raw(client, (str(one.object_name) for one in client.list_objects(NAME, PREFIX, recursive=True)))


def by_pages(url: str) -> dict[str, Any]:
    """Do it with what our reader of pages lists."""
    client, bucket = open_bucket(url)
    return raw(client, (key for page in bucket.pages(PREFIX) for key, _ in page))


def plan_of(store: Objects, folder: str) -> Plan:
    """Plan without a Prefect server."""
    return write_plan(store, judge, PlanStore(Path(folder)), "benchmark", {})


def ours(url: str, shard: str = "1/1") -> dict[str, Any]:
    """Plan and apply, or one worker's part of it."""
    store = Objects(open_bucket(url)[1], [Prefix(PREFIX, HEX)], shard=Shard.parse(shard))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(store, folder)
        planned = time.perf_counter()
        application = Application(plan, store)
        application.advance(plan.counts.planned, Phase("apply", None))
    applied = time.perf_counter()
    return {"list": planned - began, "delete": applied - planned, "n": application.tally.applied}


class Generated(Objects):
    """A store whose listing is made up."""

    versioned = False

    def listed(self, _keys: Range) -> Iterator[Page]:
        """Make up a million objects, in pages of a thousand."""
        then, names = datetime(2026, 1, 1, tzinfo=UTC), keys(GENERATED)
        while page := [(name, Object(64, name[-32:], then)) for name in islice(names, 1000)]:
            yield page


def generated(url: str) -> dict[str, Any]:
    """Plan by a listing that is made up; nothing is applied."""
    with tempfile.TemporaryDirectory() as folder:
        return {"n": plan_of(Generated(open_bucket(url)[1], [Prefix(PREFIX)]), folder).counts.planned}


def nothing(url: str) -> dict[str, Any]:
    """Import everything and open the bucket."""
    open_bucket(url)
    return {}


def left(url: str) -> str:
    """Give a hash of the keys that are there now."""
    keys = sorted(key for page in open_bucket(url)[1].pages(PREFIX) for key, _ in page)
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


WORK: dict[str, Callable[..., dict[str, Any]]] = {
    one.__name__: one for one in (by_sdk, by_pages, ours, generated, nothing)
}


def run(*work: str) -> dict[str, Any]:
    """Do a piece of work in a process of its own."""
    return child(sys.executable, __file__, *work)


def two_workers(url: str, n: int, part: Callable[[str], dict[str, Any]]) -> None:
    """Share the work between two processes, and compare what they leave with what one left just before."""
    by_one = left(url)
    load(url, n)
    began = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        parts = list(threads.map(part, ("1/2", "2/2")))
    wall = time.perf_counter() - began
    assert left(url) == by_one, "two workers leave something else than one"
    line(f"2 workers: {parts[0]['n']:,} + {parts[1]['n']:,} removed, the same left", f"{wall:.1f} s")


def one_round(url: str, n: int) -> tuple[float, float]:
    """Measure all three on the same objects; give ours in relation to the others."""
    found = {}
    for work in ("by_pages", "by_sdk", "ours"):
        load(url, n)
        time.sleep(REST)
        found[work] = run(work, url)
        seconds = "{list:.1f} + {delete:.1f} s, {peak:.0f} MB".format(**found[work])
        line(f"{work}: list + delete {found[work]['n']:,} of {n:,}", seconds)
    assert len({one["n"] for one in found.values()}) == 1, "they removed different numbers of objects"
    by_pages, by_sdk, own = (one["list"] + one["delete"] for one in found.values())
    return own / by_pages, own / by_sdk


def main() -> None:
    """Print every figure."""
    n, rounds = (int(given) for given in (*sys.argv[1:], "50000", "3")[:2])
    with Sandbox() as sandbox:
        url = f"{sandbox.url('s3')}/{NAME}"
        ratios = [one_round(url, n) for _ in range(rounds)]
        line("ours / raw by our pages, median", f"{median(one for one, _ in ratios):.2f}", "<= 1.3")
        line("ours / raw by the SDK, median", f"{median(other for _, other in ratios):.2f}", "<= 1.3")
        two_workers(url, n, lambda part: run("ours", url, part))
        base, whole = run("nothing", url), run("generated", url)
        line(f"{GENERATED:,} listed (made up), {whole['n']:,} planned", f"{whole['peak']:.0f} MB", "< 200 MB")
        line("  more than without any, per object", f"{(whole['peak'] - base['peak']) * 2**20 / GENERATED:.0f} bytes")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WORK:
        print(json.dumps(WORK[sys.argv[1]](*sys.argv[2:])))
    else:
        main()

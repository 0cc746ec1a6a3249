"""datajoint-clean beside what people use today: python benchmarks/datajoint_clean.py [OBJECTS [ROUNDS]]; 25 minutes.

Half of the objects are orphans; times are from the shell's prompt to the report. dj-cleaner 0.1 gets an environment of
its own, with the versions that it works with; DataJoint 2's own collector cleans a store of its own layout. Objects and
rows are put there as DataJoint names them, 64 bytes each, without DataJoint, which would take hours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import md5
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import objects
from measuring import HERE, child, inside, kills, line
from sqlalchemy import Engine

from blocks.datajoint_credentials import DataJointCredentials
from sandbox import Sandbox
from sandbox.prefect_server import prefect_server
from sandbox.samples.datajoint.running import engine_of
from tasks.changes.plan import write_plan
from tasks.changes.plan_store import PlanStore
from tasks.datajoint.judging import judge_of_store
from tasks.datajoint.layout import Layout
from tasks.stores.key_ranges import Prefix
from tasks.stores.listing import Object, Page

SCHEMA: Final = "lab"
BASELINE: Final = str(HERE / "datajoint_baseline.py")
OLD_TOOL: Final = ("datajoint-cleaner==0.1", "minio==7.2.20", "PyMySQL==1.2.4", "toml==0.10.2")
CURRENT: Final = f"dj/store/_hash/{SCHEMA}/"
BASE32: Final = str.maketrans("0189", "wxyz")
TRACKING: Final = f"""CREATE TABLE {SCHEMA}.`~external_main` (
  hash binary(16) NOT NULL PRIMARY KEY, size bigint unsigned NOT NULL, attachment_name varchar(255) NULL,
  filepath varchar(1000) NULL, contents_hash binary(16) NULL,
  timestamp timestamp NOT NULL DEFAULT current_timestamp())"""
ROW: Final = (
    """jsonb_build_object('hash', h, 'path', '_hash/lab/' || h, 'store', 'main', 'schema', 'lab', 'size', 64)"""
)
MILLION: Final = 1_000_000
EVEN: Final = "CONV(RIGHT(MD5(seq), 1), 16, 10) % 2 = 0"


class Servers:
    """The servers, and what every command is given."""

    def __init__(self, sandbox: Sandbox, work: Path) -> None:
        self.s3, self.mariadb, self.postgres = (sandbox.url(name) for name in ("s3", "mariadb", "postgres"))
        self.bucket = f"{self.s3}/{objects.NAME}"
        self.work = work
        self.env = {"STEWARD_PLANS": str(work / "plans")}
        self.private = {**self.env, "PREFECT_HOME": str(work / "prefect"), "XDG_STATE_HOME": str(work / "state")}

    def config(self, name: str, url: str, location: str, **fields: str) -> str:
        """Write the file that says what to clean, as the old tool reads it; the `grace` it passes over."""
        at, s3 = urlsplit(url), urlsplit(self.s3)
        server = {"host": at.hostname, "port": at.port, "user": at.username, "password": at.password or "", **fields}
        storage = {"endpoint": f"{s3.hostname}:{s3.port}", "access_key": s3.username, "secret_key": s3.password}
        run = {"database_server": "db", "schema": SCHEMA, "storage_server": "minio.s3", "bucket": objects.NAME}
        tables: dict[str, dict[str, Any]] = {
            "[database_servers.db]": server,
            "[storage_servers.minio.s3]": {**storage, "secure": False},
            "[[cleaning_runs]]": {**run, "location": location, "store": "main", "grace": "0s"},
        }
        path = self.work / f"{name}.toml"
        path.write_text("\n".join(f"{table}\n{toml(keys)}" for table, keys in tables.items()))
        return str(path)

    def ours(self, config: str, *options: str, **env: str) -> dict[str, Any]:
        """Run the command under its old name, from the shell's prompt to the report."""
        found = child("dj-cleaner", "-c", config, "--max-fraction", "1", "--json", *options, **{**self.private, **env})
        ran = datetime.fromisoformat(found["finished"]) - datetime.fromisoformat(found["started"])
        return {**found, "n": found["applied"], "seconds": ran.total_seconds()}


def toml(keys: dict[str, Any]) -> str:
    """Write the keys of a table."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def old_tool(folder: Path) -> str:
    """Make the environment of the old tool; give its Python."""
    python = str(folder / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *OLD_TOOL], check=True)
    return python


@contextmanager
def schema(engine: Engine, *statements: str) -> Iterator[None]:
    """Make the schema, and drop it at the end; it must not be there before."""
    quoted = engine.dialect.identifier_preparer.quote_identifier(SCHEMA)
    run(engine, f"CREATE SCHEMA {quoted}", *statements)
    yield
    run(engine, f"DROP SCHEMA {quoted}" + (" CASCADE" if engine.dialect.name == "postgresql" else ""))


def run(engine: Engine, *statements: str) -> None:
    """Execute statements."""
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def tracked(n: int, which: str = "TRUE") -> str:
    """Track the hashes of the numbers below `n`."""
    rows = f"SELECT UNHEX(MD5(seq)), 64 FROM seq_0_to_{n - 1} WHERE {which}"
    return f"INSERT INTO {SCHEMA}.`~external_main` (hash, size) {rows}"


def beside_the_old_tool(servers: Servers, api: str, n: int, rounds: int) -> None:
    """Clean the same 0.14 store with both; also by two workers."""
    python = old_tool(servers.work / "old")
    config = servers.config("legacy", servers.mariadb, "loc")
    with schema(engine_of(servers.mariadb), TRACKING, tracked(n, EVEN)):
        ratios = [_round(servers, api, python, config, n, turned=turn % 2 == 1) for turn in range(rounds)]
        objects.two_workers(servers.bucket, n, lambda part: servers.ours(config, "--shard", part, PREFECT_API_URL=api))
    for name, wanted, place in (("ours on a running server", "> 1", 0), ("ours with a private server", "> 1", 1)):
        line(f"dj-cleaner 0.1 / {name}, to the report, median", f"{median(one[place] for one in ratios):.2f}", wanted)
    line(
        "the run / raw listing and multi-delete by the SDK, median", f"{median(one[2] for one in ratios):.2f}", "<= 1.3"
    )


def _round(servers: Servers, api: str, python: str, config: str, n: int, *, turned: bool) -> tuple[float, float, float]:
    ends, found = set(), {}
    works: dict[str, Callable[[], dict[str, Any]]] = {
        "old": lambda: child(python, BASELINE, "old", config),
        "own": lambda: servers.ours(config, PREFECT_API_URL=api),
        "whole": lambda: servers.ours(config),
        "raw": lambda: objects.run("by_sdk", servers.bucket),
    }
    for name in sorted(works, reverse=turned):  # so that a server's age is to nobody's advantage
        objects.load(servers.bucket, n)
        time.sleep(objects.REST)
        found[name] = works[name]()
        ends.add(objects.left(servers.bucket))
    assert len(ends) == 1, "they left different objects"
    old, own, whole, raw = (found[name] for name in works)
    line(f"dj-cleaner 0.1: {n:,} objects", f"{old['told']:.1f} s, {old['peak']:.0f} MB")
    ran = f"{own['told']:.1f} ({own['seconds']:.1f}) s, {own['peak']:.0f} MB"
    line(f"ours on a running server (its run): {own['n']:,} removed", ran)
    line("ours with a private server (its run)", f"{whole['told']:.1f} ({whole['seconds']:.1f}) s")
    line("raw by the SDK", f"{raw['list']:.1f} + {raw['delete']:.1f} s")
    return old["told"] / own["told"], old["told"] / whole["told"], own["seconds"] / (raw["list"] + raw["delete"])


def killed(servers: Servers, api: str, n: int) -> None:
    """Kill runs that clean a small store of 0.14."""
    config, bucket = servers.config("legacy", servers.mariadb, "loc"), servers.bucket
    job = inside("datajoint-clean", {"config_file": config, "max_fraction": 1.0})
    env = {**servers.env, "PREFECT_API_URL": api}
    kills(job, env, lambda: objects.load(bucket, n), lambda: objects.left(bucket))


def current(n: int) -> list[str]:
    """Name objects as DataJoint 2 does."""
    return [f"{CURRENT}{md5(b'%d' % i).hexdigest()[:26].translate(BASE32)}" for i in range(n)]


def beside_the_collector(servers: Servers, api: str, n: int) -> None:
    """Clean the same DataJoint 2 store, every other object an orphan, with both."""
    server = (servers.postgres, servers.s3, objects.NAME, str(servers.work), SCHEMA)
    engine, (client, _) = engine_of(servers.postgres), objects.open_bucket(servers.bucket)
    child(sys.executable, BASELINE, "declare", *server, PYTHONPATH=str(HERE.parent))
    hashed = f"SELECT n, translate(left(md5(n::text), 26), '0189', 'wxyz') AS h FROM generate_series(0, {n - 1}, 2) n"
    run(engine, f"INSERT INTO {SCHEMA}.item (item, value) SELECT n, {ROW} FROM ({hashed}) AS hashed")
    objects.upload(client, current(n))
    theirs = child(sys.executable, BASELINE, "collect", *server, PYTHONPATH=str(HERE.parent))
    kept = keys(servers)
    objects.upload(client, current(n)[1::2])
    at = urlsplit(servers.postgres)
    config = servers.config("current", servers.postgres, "dj/store", backend="postgresql", database=at.path.strip("/"))
    ours = servers.ours(config, PREFECT_API_URL=api)
    assert (keys(servers), theirs["n"], theirs["errors"]) == (kept, ours["n"], 0), "they left different objects"
    run(engine, f"DROP SCHEMA {SCHEMA} CASCADE")
    line(f"dj.gc 2.3: {theirs['n']:,} of {n:,} removed", f"{theirs['wall']:.1f} s, {theirs['peak']:.0f} MB")
    line("ours on a running server (its run)", f"{ours['told']:.1f} ({ours['seconds']:.1f}) s, {ours['peak']:.0f} MB")
    line("dj.gc / ours, to the report", f"{theirs['told'] / ours['told']:.1f}", ">= 10")


def keys(servers: Servers) -> set[str]:
    """Give what is left of the DataJoint 2 store."""
    return {key for page in objects.open_bucket(servers.bucket)[1].pages(CURRENT) for key, _ in page}


class Generated(objects.Generated):
    """A store whose listing is made up: of a million objects, half are tracked."""

    def listed(self, _keys: Any) -> Iterator[Page]:
        """Make up the listing, in pages of a thousand."""
        then, names = datetime(2026, 1, 1, tzinfo=UTC), objects.keys(MILLION, MILLION // 2)
        while page := [(name, Object(64, name[-32:], then)) for name in islice(names, 1000)]:
            yield page


def million(database: str, bucket: str) -> dict[str, Any]:
    """Plan by a listing that is made up and by a million references that are real."""
    at = urlsplit(database)
    server = {"host": at.hostname, "port": at.port, "user": at.username, "password": at.password or ""}
    credentials = DataJointCredentials.model_validate({**server, "schemas": [SCHEMA], "stores": ["main"]})
    store = Generated(objects.open_bucket(bucket)[1], [Prefix(objects.PREFIX)])
    namespace = Layout().namespace("loc", [SCHEMA], "both")
    judge = judge_of_store(store, namespace, [credentials], timedelta(0), allow_empty=False)
    with tempfile.TemporaryDirectory() as folder:
        counts = write_plan(store, judge, PlanStore(Path(folder)), "benchmark", {}).counts
    return {"n": counts.planned, "scanned": counts.scanned}


def memory(servers: Servers) -> None:
    """Measure the memory of a plan."""
    with schema(engine_of(servers.mariadb), TRACKING, tracked(MILLION)):
        found = child(sys.executable, __file__, "million", servers.mariadb, servers.bucket)
    base = child(sys.executable, __file__, "nothing", servers.bucket)
    assert (found["scanned"], found["n"]) == (MILLION, MILLION // 2)
    line("1,000,000 listed (made up), 1,000,000 references", f"{found['peak']:.0f} MB", "< 200 MB")
    line("  more than without any, per object", f"{(found['peak'] - base['peak']) * 2**20 / MILLION:.0f} bytes")


def main(n: int = 50_000, rounds: int = 3) -> None:
    """Print every figure."""
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as work, prefect_server(Path(work) / "server") as prefect:
        servers = Servers(sandbox, Path(work))
        with schema(engine_of(servers.mariadb), TRACKING, tracked(n // 10, EVEN)):
            killed(servers, prefect.api_url, n // 10)
        beside_the_old_tool(servers, prefect.api_url, n, rounds)
        memory(servers)
        beside_the_collector(servers, prefect.api_url, n)


PARTS: dict[str, Callable[..., dict[str, Any]]] = {"million": million, "nothing": objects.nothing}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in PARTS:
        print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))
    else:
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        main(*map(int, sys.argv[1:]))

"""The demo: the jobs on real servers, hmap-clean from a dry run to its undo."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Event

import httpx
from redis import Redis

from sandbox.prefect_server import PrefectServer, prefect_server
from sandbox.samples import searches
from sandbox.samples.tasks import load
from sandbox.servers import Sandbox

HASH = "ds:task:manager"
BIN = Path(sys.executable).parent
OWN_STORE = """
$ make install                                     # the commands, for you alone; as root, for everybody
$ steward hmap-clean redis://HOST:6379 FOLDER      # FOLDER: where Datashare's archives lie
$ steward plan show PLAN                           # it ends with this command, and with the one that carries it out"""


def shown(command: str, environment: dict[str, str]) -> None:
    """Show a command as it would be typed, and run it; raises CalledProcessError where it fails."""
    print(f"\n$ {command}", flush=True)
    program, *arguments = shlex.split(command)
    subprocess.run([BIN / program, *arguments], env={**os.environ, **environment}, check=True)  # noqa: S603  # ours


def tell(text: str) -> None:
    """Say what comes next."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def demo(work: Path, once: bool) -> None:
    """Run the demo in a folder; unless `once`, leave the servers up until Ctrl-C."""
    tell("Starting Redis and a Prefect server on loopback; the first start takes about half a minute …")
    archives = work / "archives"
    archives.mkdir()
    with Sandbox() as sandbox, prefect_server(work / "prefect", ui=True) as prefect:
        redis = sandbox.url("redis")
        n = load(Redis.from_url(redis), HASH, archives)
        tell(f"{redis} ({sandbox.source('redis')}) has {n:,} Datashare tasks of every generation since 17.1,")
        print(f"{archives} has {len(list(archives.iterdir())):,} archives. Some downloads have lost theirs.")
        environment = {**prefect.environment, "STEWARD_PLANS": str(work / "plans")}
        walk_through(redis, archives, environment)
        migrate(redis, work / "datashare.db", environment)
        tell("What to do next, with a Redis of your own. This plans, and changes nothing:")
        print(OWN_STORE, flush=True)
        if once:
            tell("The servers end here, and the runs' pages with them: `make demo` without ONCE=1 leaves them up.")
            return
        tell("Everything is still running, to be looked at. Ctrl-C ends it and leaves nothing behind.")
        print(f"The runs, with their reports and plans:  {prefect.url}/runs", flush=True)
        print(f"The run that was for real:               {page_of_live_run(prefect)}", flush=True)
        Event().wait()


def walk_through(redis: str, archives: Path, environment: dict[str, str]) -> None:
    """Plan, read the plan, apply, and undo."""
    plans = Path(environment["STEWARD_PLANS"])
    tell("1. A dry run plans, and changes nothing:")
    shown(f"steward hmap-clean {redis} {archives}", environment)
    tell("2. The plan can be read before anything is done:")
    dry = newest(plans)
    shown(f"steward plan show {dry.name} --limit 2", environment)
    tell("3. For real:")
    shown(f"steward hmap-clean {redis} {archives} --apply", environment)
    tell("4. And back, byte for byte, from the plan that run made:")
    shown(f"steward undo {newest(plans, but=dry).name} {redis}", environment)


def migrate(redis: str, database: Path, environment: dict[str, str]) -> None:
    """Run both migrations."""
    tell("5. The same tasks, in the form that today's Datashare reads; the oldest have no date of their own:")
    shown(f"steward task-model-migrate {redis} --undated 2022-01-01T00:00:00Z --apply", environment)
    n = searches.create(database)
    tell(f"6. A SQL database, here SQLite with {n:,} batch searches, half of them with the results of old versions:")
    shown(f"steward batch-search-migrate sqlite:///{database} --apply", environment)


def page_of_live_run(prefect: PrefectServer) -> str:
    """Return the address of the page of the run that removed what had lost its archive."""
    of_job = {"flows": {"name": {"any_": ["hmap-clean"]}}, "sort": "START_TIME_DESC", "limit": 1}
    (run,) = httpx.post(f"{prefect.api_url}/flow_runs/filter", json=of_job).raise_for_status().json()
    return f"{prefect.url}/runs/flow-run/{run['id']}"


def newest(plans: Path, but: Path | None = None) -> Path:
    """Give the plan made last, other than one."""
    return max((plan for plan in plans.glob("*.zst") if plan != but), key=lambda plan: plan.stat().st_mtime)


def main() -> None:
    """Run the demo; Ctrl-C ends it with status 0."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end by itself instead of waiting for Ctrl-C")
    once = parser.parse_args().once
    with tempfile.TemporaryDirectory(prefix="steward-demo-") as work, suppress(KeyboardInterrupt):
        demo(Path(work), once)


if __name__ == "__main__":
    main()

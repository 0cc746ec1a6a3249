"""What every benchmark needs: processes of their own, timed and weighed, killed at random; lines of figures."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from redis import Redis

HERE = Path(__file__).parent
KILLS = 20


def peak_of(pid: int) -> float:
    """Give a running process's own peak memory in MB; 0 for one that has ended.

    What the system tells of one that has ended counts the process that it was forked from.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024 if "VmHWM:" in status else 0.0


def child(*command: str, **env: str) -> dict[str, Any]:
    """Run a process to its end.

    Returns what it printed last, when, and its wall seconds and its peak memory in MB when it printed that.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **env})
    assert process.stdout
    last, told, peak = b"{}", 0.0, 0.0
    for line in process.stdout:
        last, told, peak = line, time.perf_counter() - began, peak_of(process.pid) or peak
    status = process.wait()
    wall = time.perf_counter() - began
    assert status == 0, f"{command} ended with {status}"
    return {"wall": wall, "told": told, "peak": peak, **json.loads(last)}


def inside(job: str, given: dict[str, Any]) -> tuple[str, ...]:
    """Give the command that runs a job's flow on a running Prefect server and times it from inside."""
    return (sys.executable, str(HERE / "inside.py"), job, json.dumps(given))


def kill_at_random(*command: str, within: float, **env: str) -> None:
    """Run a command and kill it with -9 at a random moment, in seconds after it has printed its first line."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **env})
    assert process.stdout
    process.stdout.readline()
    time.sleep(random.uniform(0, within))
    process.send_signal(signal.SIGKILL)
    process.wait()


def kills(job: Sequence[str], env: Mapping[str, str], fresh: Callable[[], object], state: Callable[[], object]) -> None:
    """Kill runs with -9 at random moments of their work; each is followed by one that is left alone.

    `fresh` puts back what the job works on, `state` tells what stands there.
    """
    fresh()
    before, whole = state(), child(*job, **env)["seconds"]
    wanted, same, partial = state(), 0, 0
    for _ in range(KILLS):
        fresh()
        kill_at_random(*job, within=whole, **env)
        partial += state() not in (before, wanted)
        child(*job, **env)
        same += state() == wanted
    line("kill -9 and rerun: same end state", f"{same} of {KILLS}", f"{partial} were killed half-way")


def line(what: str, value: str, wanted: str = "") -> None:
    """Print one figure."""
    print(f"{what:<58} {value:>22}   {wanted}", flush=True)


@contextmanager
def pinging(client: Redis) -> Iterator[list[float]]:
    """Ping the server every 5 ms meanwhile; the list's first item becomes the slowest answer in seconds."""
    slowest, over = [0.0], Event()

    def ping() -> None:
        while not over.wait(0.005):
            began = time.perf_counter()
            client.ping()
            slowest[0] = max(slowest[0], time.perf_counter() - began)

    thread = Thread(target=ping)
    thread.start()
    yield slowest
    over.set()
    thread.join()

"""What every benchmark needs: processes of their own, timed and weighed, killed at random; lines of figures."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from redis import Redis

HERE = Path(__file__).parent


def child(*command: str, **env: str) -> dict[str, Any]:
    """Run a process to its end; return what it printed last, when, and its wall seconds and peak memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **env})
    assert process.stdout
    last, told = b"{}", 0.0
    for line in process.stdout:
        last, told = line, time.perf_counter() - began
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    assert status == 0, f"{command} ended with {status}"
    return {"wall": wall, "told": told, "peak": usage.ru_maxrss / 1024, **json.loads(last)}


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

"""What an engine of ours leaves on the host, found by its folder: also where it was killed and could not clean up."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sandbox.errors import DockerFailed
from sandbox.running import POLL_SECONDS, Running, stop

KILL_SECONDS = 10
# Debian's client before others: it has BuildKit built in.
PLACES = os.pathsep.join(["/usr/bin", "/usr/sbin", "/sbin", os.environ.get("PATH", os.defpath)])
NETWORKS = "data/network/files/local-kv.db"


def remove(folder: Path) -> None:
    """End the engine in a folder with all its containers, and remove what is left of it."""
    _remove_containers(folder)
    stop(*(Running.read(record) for record in folder.glob("*.json")))
    _kill(folder)
    for group in _groups(folder):
        group.rmdir()
    for link in links(folder):
        _run("ip", "link", "delete", link)
    for mount in mounts(folder):
        _run("umount", mount)
    shutil.rmtree(folder)


def processes(folder: Path) -> Iterator[int]:
    """Find the engine's processes, and those of its containers."""
    containers = _containers(folder)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            engine = (process / "comm").read_text().startswith(("dockerd", "containerd"))
            mine = engine and f"{folder}/" in (process / "cmdline").read_text(errors="replace")
            groups = (process / "cgroup").read_text()
            if mine or any(container in groups for container in containers):
                yield int(process.name)


def mounts(folder: Path) -> list[str]:
    """List what is mounted below the folder, the innermost first."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True)


def links(folder: Path) -> list[str]:
    """List the bridges of the engine's networks that are still there."""
    record = folder / NETWORKS
    known = record.read_bytes() if record.exists() else b""
    bridges = (path.name for path in Path("/sys/class/net").glob("br-*"))
    return [name for name in bridges if re.fullmatch("br-[0-9a-f]{12}", name) and name[3:].encode() in known]


def _containers(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("data/containers/*")]


def _groups(folder: Path) -> list[Path]:
    found = {group for name in _containers(folder) for group in Path("/sys/fs/cgroup").rglob(f"*{name}*")}
    return sorted((group for group in found if group.is_dir()), reverse=True)


def _remove_containers(folder: Path) -> None:
    # A daemon that is told to end waits 10 s for each container. One that does not answer is killed with them.
    daemon = ("docker", f"--host=unix://{folder}/docker.sock")
    with suppress(subprocess.CalledProcessError):
        if names := _run(*daemon, "ps", "--all", "--quiet").split():
            _run(*daemon, "rm", "--force", "--volumes", *names)


def _run(*command: str) -> str:
    program = str(shutil.which(command[0], path=PLACES))
    done = subprocess.run([program, *command[1:]], env={"PATH": PLACES}, capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout


def _kill(folder: Path) -> None:
    deadline = time.monotonic() + KILL_SECONDS
    while left := list(processes(folder)):
        if time.monotonic() > deadline:
            raise DockerFailed(f"processes {left} of the Docker engine in {folder} do not end")
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(POLL_SECONDS)

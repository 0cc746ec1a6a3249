"""A server process, from an empty folder to its first answer."""

import os
import pwd
import random
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from sandbox.errors import NoAnswer, StartFailed
from sandbox.finding import Installed, Kind, Launch
from sandbox.running import POLL_SECONDS, Running, stop

START_SECONDS = 60
ATTEMPTS = 3
PORTS = range(20_000, 32_000)  # below those the system gives to outgoing connections

_children: list[subprocess.Popen[bytes]] = []


class PortTaken(StartFailed):
    """Somebody took a port between our look at it and the server's."""


def start(kind: Kind, installed: Installed, record: Path) -> Running:
    """Start a server in a new folder beside `record`, record it there, return it once it answers; or StartFailed."""
    launch = Launch(installed.path, _new_folder(kind, record.parent))
    if kind.prepare:
        _prepare(kind, kind.prepare(launch), launch.folder)
    for _ in range(ATTEMPTS - 1):
        with suppress(PortTaken):
            return _start_once(kind, replace(launch, ports=_free_ports(kind.ports)), record)
    return _start_once(kind, replace(launch, ports=_free_ports(kind.ports)), record)


def reap() -> None:
    """Take note of the children that ended, so that none stays a zombie."""
    _children[:] = [child for child in _children if child.poll() is None]


def _start_once(kind: Kind, launch: Launch, record: Path) -> Running:
    process = _run(kind, kind.command(launch), launch.folder)
    running = Running(
        pid=process.pid,
        url=kind.url.format(port=launch.ports[0]),
        folder=str(launch.folder),
        stop_signal=kind.stop_signal,
        leftovers=[pattern.format(port=port) for pattern in kind.leftovers for port in launch.ports],
    )
    running.write(record)
    try:
        _wait_until_it_answers(kind, running.url, process, launch)
    except BaseException:
        stop(running)
        record.unlink()
        raise
    return running


def _wait_until_it_answers(kind: Kind, url: str, process: subprocess.Popen[bytes], launch: Launch) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (answered := _answers(kind, url)) and process.poll() is None:
        if time.monotonic() > deadline:
            raise _failed(kind, launch.folder, f"no answer in {START_SECONDS} s")
        time.sleep(POLL_SECONDS)
    if process.poll() is None:
        return
    if answered or any(map(_taken, launch.ports)):
        raise PortTaken(f"{kind.name}: one of the ports {launch.ports} was taken; try again")
    raise _failed(kind, launch.folder, f"exited with status {process.returncode}")


def _answers(kind: Kind, url: str) -> bool:
    try:
        kind.ask(url)
    except NoAnswer:
        return False
    return True


def _prepare(kind: Kind, command: list[str], folder: Path) -> None:
    process = _run(kind, command, folder)
    try:
        status = process.wait(START_SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise _failed(kind, folder, f"{command[0]} took more than {START_SECONDS} s") from error
    if status:
        raise _failed(kind, folder, f"{command[0]} exited with status {status}")


def _run(kind: Kind, command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    nobody = _nobody(kind)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603, the command is ours
            command,
            cwd=folder,
            env=_environment(kind, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for us: we stop it
            user=nobody and nobody.pw_uid,
            group=nobody and nobody.pw_gid,
            extra_groups=[] if nobody else None,
        )
    _children.append(process)
    return process


def _environment(kind: Kind, folder: Path) -> dict[str, str]:
    """Return little, so that no setting of ours misleads a server."""
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C", **kind.environment}


def _failed(kind: Kind, folder: Path, what: str) -> StartFailed:
    tail = (folder / "log").read_text(errors="replace").splitlines()[-20:]
    return StartFailed("\n".join([f"{kind.name}: {what}; {folder}/log ends with:", *tail]))


def _new_folder(kind: Kind, parent: Path) -> Path:
    folder = Path(mkdtemp(prefix=f"{kind.name}-", dir=parent))
    (folder / "data").mkdir()
    if nobody := _nobody(kind):
        for path in (folder, folder / "data"):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return folder


def _nobody(kind: Kind) -> pwd.struct_passwd | None:
    return pwd.getpwnam("nobody") if kind.refuses_root and os.geteuid() == 0 else None


def _free_ports(count: int) -> tuple[int, ...]:
    """Return ports nobody listens on, fresh ones each time: weed trips over what an earlier one left on a port."""
    free = (port for port in random.sample(PORTS, len(PORTS)) if not _taken(port))
    return tuple(port for _, port in zip(range(count), free, strict=False))


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

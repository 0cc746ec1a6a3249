"""Servers that run, recorded in files so that any process can use them and any later one can stop them, by pid."""

import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

STOP_SECONDS = 10
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Running:
    """A server of ours. `folder` is on its command line; `leftovers` are globs of what it leaves outside of it."""

    pid: int
    url: str
    folder: str
    stop_signal: int
    leftovers: list[str]

    @classmethod
    def read(cls, record: Path) -> "Running":
        """Return the server recorded in a file, which may have died since."""
        return cls(**json.loads(record.read_text()))

    def write(self, record: Path) -> None:
        """Record the server, whole or not at all."""
        draft = record.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(record)

    def alive(self) -> bool:
        """Tell whether the pid still is this server, not a zombie nor a stranger that was given the number later."""
        return self.folder in _command_line(self.pid)


def stop(*servers: Running) -> None:
    """Ask all to stop, wait, kill those still there after STOP_SECONDS, and remove what they leave elsewhere."""
    for server in servers:
        _send(server, server.stop_signal)
    deadline = time.monotonic() + STOP_SECONDS
    while any(server.alive() for server in servers):
        if time.monotonic() > deadline:
            for server in servers:
                _send(server, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    for pattern in (pattern for server in servers for pattern in server.leftovers):
        for leftover in Path("/").glob(pattern.lstrip("/")):
            leftover.unlink(missing_ok=True)


def _send(server: Running, number: int) -> None:
    if server.alive():
        os.kill(server.pid, number)


def _command_line(pid: int) -> str:
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    ps = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout  # noqa: S603, only a number in it

"""A Prefect server of our own on loopback, with its own home and SQLite database, for the demo and the tests."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from sandbox.errors import StartFailed

START_SECONDS = 120.0  # a new database takes 10 to 20 s, on a loaded machine much more
STOP_SECONDS = 15.0
POLL_SECONDS = 0.2
PRIVATE = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class PrefectServer:
    """A server that answers."""

    url: str  # of the UI, where it is on
    home: Path
    log: Path

    @property
    def api_url(self) -> str:
        """Where clients go."""
        return f"{self.url}/api"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be a client of this server and of no other."""
        return {"PREFECT_API_URL": self.api_url, "PREFECT_HOME": str(self.home / "client"), **PRIVATE}


@contextmanager
def prefect_server(
    home: Path, *, ui: bool = False, settings: Mapping[str, str] | None = None, python: str = sys.executable
) -> Iterator[PrefectServer]:
    """Start a server that keeps everything in `home`, and stop it at the end.

    Args:
        home: an empty folder for its database and its log.
        ui: serve the web pages too.
        settings: more of Prefect's settings, as environment variables.
        python: the interpreter of the environment that has Prefect.

    Raises:
        StartFailed: it exited or did not answer in time; the message ends with the tail of its log.
    """
    port = _free_port()
    server = PrefectServer(f"http://127.0.0.1:{port}", home, home / "server.log")
    command = [python, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    own = {"PREFECT_HOME": str(home / "server"), "PREFECT_SERVER_UI_ENABLED": str(ui).lower(), **(settings or {})}
    with background(command, server.log, {**server.environment, **own}) as process:
        _wait_until_it_answers(server, process)
        yield server


@contextmanager
def background(
    command: list[str], log: Path, environment: Mapping[str, str], cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command beside us, with this environment instead of our own PREFECT_… one, and stop it at the end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  # the command is ours
            command,
            cwd=cwd,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for us: we stop it
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_it_answers(server: PrefectServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _healthy(server):
        if process.poll() is not None or time.monotonic() > deadline:
            why = f"no answer in {START_SECONDS:.0f} s" if process.poll() is None else f"status {process.returncode}"
            tail = server.log.read_text(errors="replace").splitlines()[-20:]
            raise StartFailed("\n".join([f"prefect server: {why}; {server.log} ends with:", *tail]))
        time.sleep(POLL_SECONDS)


def _healthy(server: PrefectServer) -> bool:
    try:
        return httpx.get(f"{server.api_url}/health", timeout=2).is_success
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

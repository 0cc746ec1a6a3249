"""A Prefect server for one run, where no PREFECT_API_URL is set.

Prefect can start one by itself, but only after it has imported the whole server into the client, which doubles the
time to the first task; and that one outlives a client that was killed. Ours starts while the client still imports
Prefect, and what takes time to import is imported here only where it is used.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from flows.importing import imports_kept
from tasks.changes.errors import StewardError

START_SECONDS = 120
STOP_SECONDS = 10
SETTINGS = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "0"}


class ServerFailed(StewardError):
    """The Prefect server to run on does not answer."""


def needed() -> bool:
    """Say whether Prefect's settings name no server."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is None


@contextmanager
def server_that_is_set() -> Iterator[None]:
    """Have flows run on the server of PREFECT_API_URL; raises ServerFailed where that does not answer."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("Failed to reach API"):
            raise
        message = f"{error}, which PREFECT_API_URL names. Start it, or unset the variable to run on a private server."
        raise ServerFailed(message) from error


class PrivateServer:
    """A server on loopback, starting while the caller goes on; it ends with its owner, however that ends.

    Until it is made use of it only loads its code: it touches no database, and can be dropped.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.private_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **SETTINGS},
            start_new_session=True,  # so that Ctrl-C ends the run before its server
        )

    def drop(self) -> None:
        """End the server, of which no use was made."""
        self._process.kill()
        self._process.wait()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have flows run on this server; it is stopped afterwards.

        Raises ServerFailed where it does not come up.
        """
        from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        assert self._process.stdin  # noqa: S101  # for mypy
        try:
            url = self._serving()
            # No one watches the heartbeats of a server that ends with the run, and they cost a second.
            with temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
                try:
                    yield
                finally:
                    _send_the_rest()
        finally:
            self._process.stdin.close()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _serving(self) -> str:
        """Let it serve, and give its API's address once it does; it listens before, so that one request is enough."""
        from urllib.request import urlopen

        assert self._process.stdin  # noqa: S101  # for mypy
        assert self._process.stdout  # noqa: S101
        try:
            self._process.stdin.write(b"serve\n")
            url = f"http://127.0.0.1:{int(self._process.stdout.readline())}/api"
            urlopen(f"{url}/health", timeout=START_SECONDS).close()  # noqa: S310  # our own, on loopback
        except (OSError, ValueError) as error:
            message = f"The private Prefect server did not start: {error}. Start one and set PREFECT_API_URL."
            raise ServerFailed(message) from error
        return url


def _send_the_rest() -> None:
    """Send what Prefect still holds for its server; at the exit of the process it would be too late."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    EventsWorker.drain_all(timeout=STOP_SECONDS)


def serve() -> None:
    """Serve on a free port, printed first, from the first line on stdin until that ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    with imports_kept():
        from prefect.server.api.server import create_app
        from uvicorn import Config, Server

        server = Server(Config(create_app(ephemeral=True), log_level="error", lifespan="on"))

    def stop_with_owner() -> None:
        sys.stdin.read()
        server.should_exit = True

    if sys.stdin.readline():
        Thread(target=stop_with_owner, daemon=True).start()
        server.run(sockets=[listening])


if __name__ == "__main__":
    serve()

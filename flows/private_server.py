"""A Prefect server for one run, where no PREFECT_API_URL is set.

Prefect can start one by itself, but only after it has imported the whole server into the client, which doubles the
time to the first task; and that one outlives a client that was killed. Ours starts while the client still imports
Prefect, and what takes time to import is imported here only where it is used.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Thread
from typing import Any

from flows.importing import imports_kept
from flows.log_file import state_folder
from flows.prefect_api import ServerFailed

START_SECONDS = 120
STOP_SECONDS = 10
LOG = "server.log"
SETTINGS = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
}
LOOPBACK = "127.0.0.1"
NO_HOME = (
    "The private Prefect server can keep its database in none of these: {}. "
    "Set PREFECT_HOME to a folder that can be written, or PREFECT_API_URL to a server."
)


def needed() -> bool:
    """Return whether Prefect's settings name no server."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is None


def homes() -> Iterator[Path]:
    """Return the folders in which a private server may keep its database, the best first."""
    yield state_folder() / "prefect"
    if chosen := os.environ.get("PREFECT_HOME"):
        yield Path(chosen).expanduser() / "steward"


def own_home() -> Path | None:
    """Return the folder of the private servers, which no other server of Prefect uses; None where none can be made."""
    for home in homes():
        with suppress(OSError):
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with TemporaryFile(dir=home):
                return home
    return None


def own_environment(home: Path) -> dict[str, str]:
    """Return this environment without what is said in it of another server, or of the way to one."""
    proxies = re.compile(r"(\w+_)?proxy", re.IGNORECASE)
    ways = ("PREFECT_", "SSL_CERT_", "SSLKEYLOGFILE")
    foreign = [name for name in os.environ if name.startswith(ways) or proxies.fullmatch(name)]
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    own = {"PREFECT_HOME": str(home), "PREFECT_PROFILES_PATH": str(home / "no-profiles.toml")}
    return {**kept, **SETTINGS, **own}


class PrivateServer:
    """A server on loopback, starting while the caller goes on; it ends with its owner, however that ends.

    Until it is made use of it only loads its code: it touches no database, and can be dropped.
    """

    def __init__(self) -> None:
        self._home = own_home()
        home = self._home or Path(os.devnull)
        with (home / LOG if self._home else home).open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.private_server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=own_environment(home),
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
        assert self._process.stdin  # noqa: S101  # for mypy
        try:
            if self._home is None:
                raise ServerFailed(NO_HOME.format(", ".join(map(str, homes()))))
            with loopback_asked_directly(), own_settings(self._serving(), self._home):
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
        from urllib.request import ProxyHandler, build_opener

        assert self._process.stdin  # noqa: S101  # for mypy
        assert self._process.stdout  # noqa: S101
        try:
            self._process.stdin.write(b"serve\n")
            url = f"http://{LOOPBACK}:{int(self._process.stdout.readline())}/api"
            build_opener(ProxyHandler({})).open(f"{url}/health", timeout=START_SECONDS).close()
        except (OSError, ValueError) as error:
            message = (
                f"The private Prefect server did not start: {error}. "
                f"Read {self._home}/{LOG}, or start a server and set PREFECT_API_URL."
            )
            raise ServerFailed(message) from error
        return url


@contextmanager
def own_settings(url: str, home: Path) -> Iterator[None]:
    """Use this server and nothing that the environment, a profile or a `.env` say of another one."""
    from prefect.settings import temporary_settings

    updates: dict[str, Any] = {
        "api.url": url,
        "api.ssl_cert_file": None,
        "client.custom_headers": {},
        "client.retry_extra_codes": set(),
        # No one watches the heartbeats of a server that ends with the run, and they cost a second.
        "flows.heartbeat_frequency": None,
        "home": home,
        "results.local_storage_path": home / "storage",
    }
    with temporary_settings(updates, restore_defaults=_settings() - updates.keys()):
        yield


def _settings() -> set[str]:
    """Return the names of all of Prefect's settings that have a default, but for those of its log."""
    from prefect.settings.models.root import Settings

    return {name for name in _leaves(Settings) if not name.startswith("logging.")}


def _leaves(model: Any, prefix: str = "") -> Iterator[str]:
    from pydantic import BaseModel
    from pydantic_core import PydanticUndefined

    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, f"{prefix}{name}.")
        elif field.default is not PydanticUndefined:
            yield prefix + name


@contextmanager
def loopback_asked_directly() -> Iterator[None]:
    """Ask no proxy for what is on this machine; stores may still be behind one."""
    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    exceptions = ",".join(filter(None, [before["no_proxy"] or before["NO_PROXY"], LOOPBACK]))
    os.environ.update(dict.fromkeys(before, exceptions))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _send_the_rest() -> None:
    """Send what Prefect still holds for its server; at the exit of the process it would be too late."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    EventsWorker.drain_all(timeout=STOP_SECONDS)


def serve() -> None:
    """Serve on a free port, printed first, from the first line on stdin until that ends."""
    os.chdir("/")  # or Prefect would read the `.env` and the prefect.toml that are here
    listening = socket.create_server((LOOPBACK, 0))
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

"""A Prefect server with everything deployed, a worker, and the places that alerts arrive at."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings

from sandbox.prefect_server import PrefectServer, background, prefect_server
from tests.deployments.real_stores import PASSWORD, lab, searches_in_postgres, tasks_in_redis
from tests.flows.conftest import Datashare

ROOT = Path(__file__).parents[2]
FAST = {
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "1",
}
QUICK_WORKER = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_HEARTBEAT_SECONDS": "5"}


@dataclass
class Inbox:
    """Where alerts arrive, as text."""

    url: str
    messages: list[str] = field(default_factory=list)

    def about(self, text: str) -> list[str]:
        return [message for message in self.messages if text in message]


@dataclass(frozen=True)
class Deployed:
    """A server that has been deployed to, and how to run commands against it."""

    server: PrefectServer
    environment: dict[str, str]
    datashare: Datashare

    @property
    def archives(self) -> Path:
        return self.datashare.folder

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True)


@dataclass(frozen=True)
class Variables:
    """What a deploy is told of the stores that it is for."""

    datashare: Datashare
    values: dict[str, str]


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path_factory.mktemp("prefect"), settings=FAST) as server:
        yield server


@pytest.fixture(scope="module")  # and no longer: this process may go on to tests that use another server
def client(prefect: PrefectServer) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: prefect.api_url}), SyncPrefectClient(prefect.api_url) as client:
        yield client


@pytest.fixture(scope="session")
def webhook() -> Iterator[Inbox]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inbox.messages.append("\n".join(json.loads(body).values()))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        inbox = Inbox(f"http://127.0.0.1:{server.server_port}/{PASSWORD}")
        yield from _serving(server, inbox)


@pytest.fixture(scope="session")
def mail() -> Iterator[Inbox]:
    class Receiver(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                if line.upper().startswith(b"DATA"):
                    self.wfile.write(b"354 go on\r\n")
                    inbox.messages.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                self.wfile.write(b"250 fine\r\n")

    with ThreadingTCPServer(("127.0.0.1", 0), Receiver) as server:
        server.daemon_threads = True
        inbox = Inbox(f"mailto://127.0.0.1:{server.server_address[1]}?from=steward@example.org&to=ops@example.org")
        yield from _serving(server, inbox)


def _serving(server: ThreadingTCPServer | ThreadingHTTPServer, inbox: Inbox) -> Iterator[Inbox]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield inbox
    server.shutdown()


@pytest.fixture(scope="session")
def variables(
    redis_url: str, postgres_url: str, mariadb_url: str, s3_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Variables]:
    """The stores that the deployments work on, with passwords that must never be seen, and the variables for them."""
    archives = tmp_path_factory.mktemp("archives")
    with (
        tasks_in_redis(redis_url, archives) as (datashare, redis),
        searches_in_postgres(postgres_url) as database,
        lab(mariadb_url, s3_url) as (_, store),
    ):
        plans = {
            "STEWARD_PLANS": str(tmp_path_factory.mktemp("plans")),
            "STEWARD_HMAP_CLEAN_ARCHIVE_DIR": str(archives),
        }
        yield Variables(datashare, {**redis, **database, **store, **plans})


@pytest.fixture(scope="session")
def deployed(prefect: PrefectServer, webhook: Inbox, mail: Inbox, variables: Variables) -> Deployed:
    """`python -m deployments` done once."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "STEWARD_"))}
    alerts = {"STEWARD_ALERT_WEBHOOK_URL": webhook.url, "STEWARD_ALERT_EMAIL_URL": mail.url}
    here = Deployed(prefect, {**inherited, **prefect.environment, **variables.values, **alerts}, variables.datashare)
    first = here.run("deployments")
    assert first.returncode == 0, first.stdout + first.stderr
    assert PASSWORD not in first.stdout + first.stderr
    return here


@pytest.fixture(scope="session")
def worker(deployed: Deployed) -> Iterator[None]:
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "steward", "--type", "process"]
    environment = {**deployed.environment, **QUICK_WORKER, "STEWARD_HOME": str(ROOT)}
    # Not started in ROOT: only STEWARD_HOME may say where the code is.
    with background(command, deployed.server.home / "worker.log", environment, cwd=deployed.archives):
        yield


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object]], None]:
    def wait(condition: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"still not after {seconds} s"
            time.sleep(0.1)

    return wait

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
import redis
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings

from sandbox.prefect_server import PrefectServer, background, prefect_server

ROOT = Path(__file__).parents[2]
PASSWORD = "kX7-never-to-be-seen"
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
    archives: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True)


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
def deployed(
    prefect: PrefectServer, webhook: Inbox, mail: Inbox, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """`python -m deployments` done once, with a Redis user whose password must never be seen."""
    archives = tmp_path_factory.mktemp("archives")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "STEWARD_"))}
    with redis.Redis.from_url(redis_url) as admin:
        admin.acl_setuser("steward-test", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], categories=["+@all"])
        environment = {
            **inherited,
            **prefect.environment,
            "STEWARD_BLOCK__REDIS_CREDENTIALS__DATASHARE__URL": redis_url.replace(
                "://", f"://steward-test:{PASSWORD}@"
            ),
            "STEWARD_BLOCK__DATABASE_CREDENTIALS__DATASHARE__URL": f"postgresql://steward:{PASSWORD}@127.0.0.1/datashare",
            "STEWARD_BLOCK__OBJECT_STORE_CREDENTIALS__LAB__BUCKET": "lab",
            "STEWARD_BLOCK__OBJECT_STORE_CREDENTIALS__LAB__ACCESS_KEY": "steward",
            "STEWARD_BLOCK__OBJECT_STORE_CREDENTIALS__LAB__SECRET_KEY": PASSWORD,
            "STEWARD_BLOCK__DATAJOINT_CREDENTIALS__LAB__HOST": "127.0.0.1",
            "STEWARD_BLOCK__DATAJOINT_CREDENTIALS__LAB__USER": "steward",
            "STEWARD_BLOCK__DATAJOINT_CREDENTIALS__LAB__PASSWORD": PASSWORD,
            "STEWARD_BLOCK__DATAJOINT_CREDENTIALS__LAB__SCHEMAS": '["lab"]',
            "STEWARD_BLOCK__DATAJOINT_CREDENTIALS__LAB__STORES": '["main"]',
            "STEWARD_HMAP_CLEAN_ARCHIVE_DIR": str(archives),
            "STEWARD_ALERT_WEBHOOK_URL": webhook.url,
            "STEWARD_ALERT_EMAIL_URL": mail.url,
        }
        here = Deployed(prefect, environment, archives)
        first = here.run("deployments")
        assert first.returncode == 0, first.stdout + first.stderr
        assert PASSWORD not in first.stdout + first.stderr
        yield here
        admin.acl_deluser("steward-test")


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

"""A Prefect server for all workers, and a Datashare: its tasks in a real Redis, the folder of its archives."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx
import orjson
import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, PREFECT_HOME, temporary_settings
from redis import Redis

from blocks.redis_credentials import RedisCredentials
from flows import cli
from flows.hmap_clean import hmap_clean
from sandbox.chaos import ChaosProxy
from sandbox.errors import NoAnswer
from sandbox.finding import Installed, Kind, Launch
from sandbox.prefect_server import PRIVATE, PrefectServer
from sandbox.running import Running
from sandbox.starting import start
from tasks.changes.report import Report
from tasks.stores.redis_hash import RedisHash
from tests.conftest import SANDBOX
from tests.flows.external_store import either, lab, modern, stores  # noqa: F401  # fixtures

SAMPLES = Path(__file__).parents[2] / "sandbox" / "samples" / "datashare"
COMMANDS = Path(sys.executable).parent
GENERATIONS = {
    "G0": "g0-taskview-17.1.6-class",
    "G1": "g1-18.3.0",
    "G2": "g2-20.2.0",
    "G3": "g3-20.3.0",
    "G4": "g4-head",
}


# ---------------------------------------------------------------------------------------------------- Prefect


def _command(launch: Launch) -> list[str]:
    # What `prefect server start` runs, but with the folder on its command line, by which the sandbox knows its own.
    app = ["--app-dir", str(launch.folder), "--factory", "prefect.server.api.server:create_app"]
    return [str(launch.binary), "-m", "uvicorn", *app, "--host", "127.0.0.1", "--port", str(launch.ports[0])]


def _ask(url: str) -> None:
    try:
        httpx.get(f"{url}/api/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise NoAnswer(str(error)) from error


PREFECT = Kind(
    name="prefect",
    variable="",
    binary="python",
    url="http://127.0.0.1:{port}",
    command=_command,
    ask=_ask,
    install="pip install prefect",
    environment={
        **PRIVATE,
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    },
)


@pytest.fixture(scope="session")
def prefect(pytestconfig: pytest.Config) -> PrefectServer:
    """A server shared by all workers; it stands in the sandbox, which stops it."""
    folder = pytestconfig.stash[SANDBOX].folder
    record = folder / "prefect.json"
    with (folder / "prefect.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        started = record.exists() and Running.read(record).alive()
        server = Running.read(record) if started else start(PREFECT, Installed("ours", Path(sys.executable)), record)
    return PrefectServer(server.url, Path(server.folder), Path(server.folder) / "log")


@pytest.fixture(autouse=True, scope="session")
def tracked(prefect: PrefectServer) -> Iterator[None]:
    """Flows called in a test run on that server; without heartbeats, which cost a second each."""
    home = prefect.home / "client"
    with temporary_settings(
        {PREFECT_API_URL: prefect.api_url, PREFECT_HOME: home, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    ):
        yield
        # What Prefect still holds has to leave before the server does: Prefect would try for a minute.
        APILogHandler().flush()
        EventsWorker.drain_all(timeout=10)


@pytest.fixture(autouse=True)
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plan store of this test."""
    monkeypatch.setenv("STEWARD_PLANS", str(tmp_path / "plans"))
    return tmp_path / "plans"


@pytest.fixture
def environment(prefect: PrefectServer, plans: Path) -> dict[str, str]:
    """What a command runs with."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**inherited, **prefect.environment, "STEWARD_PLANS": str(plans), "COLUMNS": "200"}


Here = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Command:
    """Runs our commands as an operator does."""

    environment: dict[str, str]

    def __call__(self, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._line(name, arguments), env=self.environment, capture_output=True, text=True)

    def start(self, name: str, *arguments: object) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self._line(name, arguments), env=self.environment, stdout=pipe, stderr=pipe, text=True, process_group=0
        )

    def _line(self, name: str, arguments: tuple[object, ...]) -> list[str]:
        return [str(COMMANDS / name), *map(str, arguments)]


@pytest.fixture
def command(environment: dict[str, str]) -> Command:
    return Command(environment)


@pytest.fixture
def here(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Run a command in this process, which takes a tenth of the time; its stderr may hold Prefect's log too."""
    for name in ("COLUMNS", "PREFECT_API_URL"):
        monkeypatch.setenv(name, environment[name])
    # As the command sets it; undone afterwards.
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            {"steward": cli.main, "hmap-cleaner": cli.hmap_cleaner, "dj-cleaner": cli.dj_cleaner}[name]()
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, int(ended.value.code or 0), shown.out, shown.err)

    return run


# -------------------------------------------------------------------------------------------------- Datashare


@cache
def _samples(generation: str) -> dict[str, Any]:
    lines = (SAMPLES / f"{GENERATIONS[generation]}.jsonl").read_bytes().splitlines()
    return next(record for record in map(orjson.loads, lines) if b"batchDownload" in orjson.dumps(record))


def download(task: str, archive: str, *, state: str = "DONE", generation: str = "G4") -> bytes:
    """A batch download as that generation of Datashare wrote it, but for its id, its state and its archive."""
    record = orjson.loads(orjson.dumps(_samples(generation)))
    inner = record.get("task", record)
    asked = inner.get("args", inner.get("properties"))["batchDownload"]
    location = f"file:///home/dev/tmp/{quote(archive, safe=':')}"
    inner |= {"id": task, "state": state}
    asked["filename"] = [asked["filename"][0], location] if isinstance(asked["filename"], list) else location
    return orjson.dumps(record)


def search(task: str) -> bytes:
    """A batch search, which has no archive."""
    lines = (SAMPLES / "g4-head.jsonl").read_bytes().splitlines()
    record = next(record for record in map(orjson.loads, lines) if record["task"]["name"].endswith("BatchSearchRunner"))
    record["task"]["id"] = task
    return orjson.dumps(record)


@dataclass
class Datashare:
    """The hash of its tasks and the folder of its archives."""

    redis: Redis
    url: str
    key: str
    folder: Path
    expected: dict[bytes, bytes] = field(default_factory=dict)

    def add(self, task: str, value: bytes | None = None) -> str:
        """Store a task: a download of `task`.zip, unless its record is given."""
        self.redis.hset(self.key, task, download(task, f"{task}.zip") if value is None else value)
        return task

    def present(self, n: int, prefix: str = "present") -> list[str]:
        """Add downloads whose archive is there."""
        tasks = self._many(n, prefix)
        for task in tasks:
            (self.folder / f"{task}.zip").touch()
        return tasks

    def gone(self, n: int, prefix: str = "gone") -> list[str]:
        """Add downloads whose archive is not there."""
        return self._many(n, prefix)

    def _many(self, n: int, prefix: str) -> list[str]:
        tasks = [f"{prefix}-{i}" for i in range(n)]
        if tasks:
            self.redis.hset(self.key, mapping={task: download(task, f"{task}.zip") for task in tasks})
        return tasks

    @property
    def tasks(self) -> set[str]:
        """The fields that are there."""
        return {field.decode(errors="replace") for field in self.redis.hkeys(self.key)}

    def everything(self) -> dict[bytes, bytes]:
        """Every field and its exact bytes."""
        return self.redis.hgetall(self.key)

    @property
    def credentials(self) -> RedisCredentials:
        return RedisCredentials.from_argument(self.url)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the command takes."""
        return self.url, str(self.folder), "--hash-key", self.key

    def clean(self, **options: Any) -> Report:
        """Run the job, for real unless told otherwise."""
        given = {"redis": self.credentials, "archive_dir": str(self.folder), "hash_key": self.key, "dry_run": False}
        return hmap_clean(**(given | options))

    def plan(self, **options: Any) -> Report:
        """Run the job dry."""
        return self.clean(dry_run=True, **options)


@pytest.fixture
def datashare(redis_client: Redis, redis_url: str, hash_key: str, tmp_path: Path) -> Datashare:
    folder = tmp_path / "archives"
    folder.mkdir()
    return Datashare(redis_client, redis_url, hash_key, folder)


@pytest.fixture
def proxy(datashare: Datashare) -> Iterator[ChaosProxy]:
    """A proxy before the Redis; the Datashare is reached through it."""
    server = urlsplit(datashare.url)
    with ChaosProxy(server.hostname or "", server.port or 6379) as proxy:
        datashare.url = f"redis://127.0.0.1:{proxy.port}{server.path}"
        yield proxy


@pytest.fixture
def login(redis_client: Redis, redis_url: str) -> Iterator[Callable[..., str]]:
    """Make a Redis user with a password and these rights, and give the URL to come as that user."""
    users: list[str] = []

    def make(password: str, *rights: str) -> str:
        users.append(f"test-{uuid4().hex}")
        redis_client.acl_setuser(users[-1], enabled=True, passwords=[f"+{password}"], keys=["*"], commands=list(rights))
        return redis_url.replace("://", f"://{users[-1]}:{quote(password, safe='')}@")

    yield make
    redis_client.acl_deluser(*users)


@pytest.fixture
def before_batch(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Have something happen just before the nth batch is sent."""

    def do(nth: int, act: Callable[[], object]) -> None:
        sends, sent = RedisHash.begin, [0]

        def then_send(store: RedisHash, actions: Any) -> Any:
            sent[0] += 1
            if sent[0] == nth:
                act()
            return sends(store, actions)

        monkeypatch.setattr(RedisHash, "begin", then_send)

    return do


# ------------------------------------------------------------------------------------------------ looking at it


@dataclass(frozen=True)
class Api:
    """The Prefect server's answers."""

    url: str

    def post(self, path: str, **body: Any) -> Any:
        return httpx.post(f"{self.url}/{path}", json=body, timeout=30).raise_for_status().json()

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}/{path}", timeout=30).raise_for_status().json()


@pytest.fixture
def api(prefect: PrefectServer) -> Api:
    return Api(prefect.api_url)

"""One Docker engine of our own for all tests here, its images, and everything of compose.yaml brought up on it."""

import shutil
import socket
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.docker_engine import DockerEngine
from sandbox.docker_images import build_all
from sandbox.errors import ServerUnavailable, StartFailed

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
IMAGE = f"steward:{VERSION}"
PORTS = ("PREFECT_PORT", "REDIS_PORT", "POSTGRES_PORT", "MARIADB_PORT", "S3_PORT")
PLANTED = "kX7-never-in-a-layer"
NOT_FOR_THE_IMAGE = (".env", "id_rsa", "flows/.env", "tasks/__pycache__/secret.pyc", "docker/notes.txt")
DOCS = (ROOT / "docs" / "docker.md").read_text()
MAKE_ENV = """sed "s/^PREFECT_DATABASE_PASSWORD=$/&$(openssl rand -hex 24)/" docker/trial.env > .env"""

Json = dict[str, Any]
Until = Callable[..., Any]


@dataclass(frozen=True)
class Stack:
    """A checkout whose compose file is up on an engine of our own."""

    engine: DockerEngine
    checkout: Path
    environment: dict[str, str]

    def compose(self, *arguments: str) -> str:
        return self.engine.compose(self.checkout, *arguments, environment=self.environment)

    def prefect(self, *arguments: str) -> str:
        return self.compose("exec", "--no-TTY", "worker", "prefect", "--no-prompt", *arguments)

    def runs(self, pool: str, state: str) -> list[Json]:
        """Those of a work pool in a state."""
        api = f"http://127.0.0.1:{self.environment['PREFECT_PORT']}/api"
        wanted = {
            "flow_runs": {"state": {"type": {"any_": [state]}}},
            "work_pools": {"name": {"any_": [pool]}},
        }
        found: list[Json] = httpx.post(f"{api}/flow_runs/filter", json=wanted).raise_for_status().json()
        return found


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Iterator[DockerEngine]:
    """An engine of our own. DOCKER_HOST names somebody else's, which must not be asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///somebody/elses.sock")
        with _started(pytestconfig) as engine:
            yield engine


def _started(config: pytest.Config) -> DockerEngine:
    try:
        return DockerEngine()
    except (ServerUnavailable, StartFailed) as error:
        if config.getoption("--require-services"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout with an .env, and with files that have no business in an image."""
    folder = tmp_path_factory.mktemp("checkout") / "steward"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks"))
    shutil.copy(ROOT / ".dockerignore", folder)
    subprocess.run(["sh", "-ec", MAKE_ENV], cwd=folder, check=True)
    for name in NOT_FOR_THE_IMAGE:
        (folder / name).parent.mkdir(exist_ok=True)
        with (folder / name).open("a") as file:
            file.write(f"\n# {PLANTED}\n")
    return folder


@pytest.fixture(scope="session")
def images(engine: DockerEngine, checkout: Path) -> DockerEngine:
    """The engine with our image on it, built from the checkout, and a stand-in for each image of others."""
    build_all(engine, checkout, IMAGE)
    return engine


@pytest.fixture(scope="session")
def stack(images: DockerEngine, checkout: Path) -> Stack:
    """Everything up as docs/docker.md says, the trial's stores and both workers included."""
    environment = {
        **dict(zip(PORTS, map(str, _free_ports(len(PORTS))), strict=True)),
        "COMPOSE_PROFILES": "trial,docker-pool",
        "DOCKER_SOCKET": str(images.socket),
        "DOCKER_GID": str(images.socket.stat().st_gid),
    }
    stack = Stack(images, checkout, environment)
    stack.compose("up", "--detach", "--wait", "--wait-timeout", "300")
    return stack


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="session")
def until() -> Until:
    def wait(look: Callable[[], Any], seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, f"still not after {seconds} s"
            time.sleep(0.3)
        return found

    return wait

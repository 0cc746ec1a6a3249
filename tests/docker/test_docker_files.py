"""What can be known about docker/ without an engine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox import docker_engine
from sandbox.docker_images import STAND_INS
from sandbox.errors import ServerUnavailable
from tests.docker.conftest import DOCS, IMAGE, MAKE_ENV

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FILES = {"one process": "docker/compose.yaml", "several": "docker/compose.yaml:docker/compose.redis.yaml"}
PASSWORD = {"PREFECT_DATABASE_PASSWORD": "of-my-own"}
ONE_SHOT = {"deploy", "trial"}


def config(files: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "COMPOSE_FILE": files, **variables}
    command = [BIN / "docker-compose", "--env-file", "/dev/null", "--profile", "*", "config", *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(params=FILES.values(), ids=FILES.keys())
def services(request: pytest.FixtureRequest) -> dict[str, Any]:
    done = config(request.param, "--format", "json", "--no-env-resolution", **PASSWORD)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@pytest.mark.parametrize("file", ["docker/Dockerfile", "sandbox/stand_ins/Dockerfile"])
def test_hadolint_finds_nothing(file: str) -> None:
    done = subprocess.run([BIN / "hadolint", file], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("files", FILES.values(), ids=FILES.keys())
def test_compose_takes_it_with_a_password_and_not_without(files: str) -> None:
    assert config(files, "--quiet", **PASSWORD).returncode == 0
    refused = config(files, "--quiet")
    assert refused.returncode == 1
    assert "required variable PREFECT_DATABASE_PASSWORD is missing a value: set it in .env" in refused.stderr


def test_compose_refuses_a_key_that_it_does_not_know(tmp_path: Path) -> None:
    bad = tmp_path / "compose.yaml"
    bad.write_text((ROOT / "docker/compose.yaml").read_text().replace("read_only:", "readonly:"))
    assert config(str(bad), "--quiet", **PASSWORD).returncode == 1


def test_a_password_by_default_is_only_in_the_trial(services: dict[str, Any]) -> None:
    given = {
        f"{name}.{variable}": value
        for name, service in services.items()
        for variable, value in service.get("environment", {}).items()
        if "PASSWORD" in variable and "trial" not in service.get("profiles", [])
    }
    assert given.keys() >= {"database.POSTGRES_PASSWORD", "server.PREFECT_SERVER_DATABASE_PASSWORD"}
    assert set(given.values()) == {"of-my-own", "/run/secrets/pgadmin-password"}


def test_every_service_is_bounded_watched_and_for_this_host_only(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert all(service[limit] for limit in ("mem_limit", "cpus", "pids_limit")), name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped"), name
        assert service.get("read_only") or name == "pgadmin", name
        assert not service.get("privileged"), name
        assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}, name
        assert service["image"].rpartition(":")[2] not in ("latest", service["image"]), name
    unwatched = {name for name, service in services.items() if service["healthcheck"].get("disable")}
    assert unwatched == ONE_SHOT | (services.keys() & {"services"})


def test_a_stand_in_for_every_image_but_pgadmin(services: dict[str, Any]) -> None:
    images = {service["image"] for service in services.values()}
    assert images == {*STAND_INS, IMAGE, "dpage/pgadmin4:9.18"}


def test_the_docs_have_the_commands_that_are_tested() -> None:
    commands = (MAKE_ENV, f"docker build --file docker/Dockerfile --tag {IMAGE} .", "docker compose up --detach --wait")
    assert "\n".join(commands) in DOCS


@pytest.mark.parametrize("lacks", ["root", "packages"])
def test_where_no_engine_can_be_had_it_says_why(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000 if lacks == "root" else 0)
    monkeypatch.setattr(docker_engine, "PLACES", "/nowhere")
    says = "needs root" if lacks == "root" else "apt-get install -y docker.io mmdebstrap iproute2"
    with pytest.raises(ServerUnavailable, match=says):
        docker_engine.DockerEngine()

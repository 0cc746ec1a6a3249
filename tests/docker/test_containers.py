"""Steward in containers, the whole way: built, up, deployed, run by a schedule in both pools, cancelled, taken down."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import docker_leftovers
from sandbox.docker_engine import PREFIX
from sandbox.run_folder import sweep
from tests.docker.conftest import DOCS, IMAGE, NOT_FOR_THE_IMAGE, PLANTED, VERSION

if TYPE_CHECKING:
    from sandbox.docker_engine import DockerEngine
    from tests.docker.conftest import Stack, Until

pytestmark = pytest.mark.usefixtures("network")
LOCKED = ("run", "--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none")
KILLED = """
import os
from pathlib import Path
from sandbox.docker_engine import DockerEngine
from sandbox.docker_images import import_base, BASE
engine = DockerEngine()
import_base(engine)
engine.docker("network", "create", "some")
engine.docker("run", "--detach", "--network", "some", BASE, "sleep", "600")
print(engine.folder, flush=True)
os.kill(engine._daemon.pid, 9)
os.kill(os.getpid(), 9)
"""


def nothing_left(folder: Path) -> bool:
    return not (folder.exists() or list(docker_leftovers.processes(folder)) or docker_leftovers.mounts(folder))


def bridges() -> set[str]:
    return {path.name for path in Path("/sys/class/net").glob("br-*")}


def test_of_an_engine_that_was_killed_nothing_stays(engine: DockerEngine) -> None:
    before = bridges()
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = Path(killed.stdout.strip())
    assert docker_leftovers.mounts(folder)
    assert list(docker_leftovers.processes(folder))
    assert len(docker_leftovers.links(folder)) == 1

    sweep(PREFIX, docker_leftovers.remove)
    assert nothing_left(folder)
    assert bridges() == before
    assert engine.docker("version")  # another's engine is left alone


# Everything is up from here on, so that the minute in which a schedule makes a run is not waited for in vain.
def test_everything_comes_up_healthy_and_on_loopback(stack: Stack) -> None:
    told = stack.engine.docker("ps", "--all", "--format", "{{.Names}}|{{.Status}}|{{.Ports}}").splitlines()
    states = {
        name.removeprefix("steward-").removesuffix("-1"): state for name, state, _ in (t.split("|") for t in told)
    }
    once = {name for name, state in states.items() if state.startswith("Exited (0)")}
    assert once == {"deploy", "trial"}
    stores = {"database", "redis", "postgres", "mariadb", "seaweedfs"}
    assert states.keys() - once == {"server", "worker", "docker-worker", *stores}
    assert all("(healthy)" in state for name, state in states.items() if name not in once), states
    assert all(
        port.startswith("127.0.0.1:") for line in told for port in line.split("|")[2].split(", ") if "->" in port
    )


def test_no_secret_is_in_a_layer(images: DockerEngine, checkout: Path) -> None:
    saved = checkout.parent / "image.tar"
    images.docker("save", "--output", saved, IMAGE)
    (password,) = re.findall("^PREFECT_DATABASE_PASSWORD=(.+)$", (checkout / ".env").read_text(), re.MULTILINE)
    assert len(password) == 48
    sought = [option for text in (PLANTED, password, "def hmap_clean") for option in ("-e", text)]
    found = subprocess.run(["grep", "-a", "-o", "-F", *sought, saved], capture_output=True, text=True)
    assert set(found.stdout.split("\n")) == {"def hmap_clean", ""}  # so it does look into the layers
    saved.unlink()
    inside = set(images.docker(*LOCKED, IMAGE, "find", "/opt/app").splitlines())
    assert "/opt/app/flows/hmap_clean.py" in inside
    assert not {f"/opt/app/{name}" for name in NOT_FOR_THE_IMAGE} & inside


def test_it_runs_as_somebody_and_can_write_only_what_is_its_own(images: DockerEngine) -> None:
    assert images.docker("inspect", "--format", "{{.Config.User}} {{.Config.Entrypoint}}", IMAGE) == "10001:10001 []\n"
    assert images.docker(*LOCKED, IMAGE, "id", "-u") == "10001\n"
    assert "hmap-clean" in images.docker(*LOCKED, IMAGE, "steward", "--help")
    assert images.docker(*LOCKED, IMAGE, "steward", "--version").strip().endswith(VERSION)
    own = images.docker("run", "--rm", IMAGE, "sh", "-c", "find / -xdev -type d -writable 2>/dev/null || true")
    volumes = {"/var/lib/prefect", "/var/lib/steward"}
    assert set(own.split()) == {*volumes, "/run/lock", "/srv/datashare/archives", "/tmp", "/var/tmp"}
    touched = images.docker(*LOCKED, IMAGE, "sh", "-c", "touch $PREFECT_HOME/a $STEWARD_PLANS/a && echo yes")
    assert touched == "yes\n"


def test_all_of_it_is_compiled(images: DockerEngine) -> None:
    count = "find /opt/app /opt/venv/lib -name '*.py' | wc -l; find /opt/app /opt/venv/lib -name '*.pyc' | wc -l"
    sources, compiled = images.docker(*LOCKED, IMAGE, "sh", "-c", count).split()
    assert int(compiled) >= int(sources) > 1000


def test_a_change_of_the_code_does_not_install_the_dependencies_again(images: DockerEngine, checkout: Path) -> None:
    from sandbox.docker_images import build

    changed = checkout / "flows" / "hmap_clean.py"
    changed.write_text(f"{changed.read_text()}# changed\n")
    before = images.docker("history", "--quiet", "--no-trunc", IMAGE)
    build(images, "--quiet", "--file", checkout / "docker/Dockerfile", "--tag", "steward:changed", checkout)
    assert images.docker("history", "--quiet", "--no-trunc", "steward:changed") != before
    layers = "{{range .RootFS.Layers}}{{println .}}{{end}}"
    ours, theirs = (images.docker("inspect", "--format", layers, tag).split() for tag in (IMAGE, "steward:changed"))
    assert [a == b for a, b in zip(ours, theirs, strict=True)].count(False) == 1


def test_the_database_can_be_dumped_as_documented(stack: Stack) -> None:
    dump = "pg_dump --username=prefect --format=custom prefect"
    listed = stack.compose("exec", "-T", "database", "sh", "-c", f"{dump} | pg_restore --list")
    assert f"docker compose exec -T database {dump} > prefect.dump" in DOCS
    assert "TABLE DATA public deployment prefect" in listed


def test_a_schedule_runs_hmap_clean_in_a_process(stack: Stack, until: Until) -> None:
    run = until(lambda: stack.runs("steward", "COMPLETED"))[0]
    assert run["auto_scheduled"]
    assert run["name"] == "dry run redis://redis:6379/0"
    backup = "tar --create --directory /var/lib/steward/plans ."
    listed = stack.compose("run", "--rm", "--no-deps", "--no-TTY", "worker", "sh", "-c", f"{backup} | tar --list")
    assert f"worker {backup} > plans.tar" in DOCS
    assert "./hmap-clean-" in listed


def test_a_schedule_runs_hmap_clean_in_a_container_of_its_own(stack: Stack, until: Until) -> None:
    job = "    entrypoint: flows/hmap_clean.py:hmap_clean\n"
    changed = stack.checkout / "changed.yaml"
    text = (stack.checkout / "prefect.yaml").read_text()
    changed.write_text(text.replace(job, f"{job}    work_pool: *in-a-container\n"))
    stack.compose("run", "--rm", "--no-TTY", "--volume", f"{changed}:/opt/app/prefect.yaml:ro", "deploy")
    every = ("hmap-clean/on-demand", "--interval", "10", "--replace", "--accept-yes")
    stack.prefect("deployment", "schedule", "create", *every)

    run = until(lambda: stack.runs("steward-docker", "COMPLETED"))[0]
    assert run["auto_scheduled"]
    assert run["name"] == "dry run redis://redis:6379/0"
    container = run["infrastructure_pid"].rpartition(":")[2]
    until(lambda: container not in stack.engine.docker("ps", "--all", "--quiet", "--no-trunc"))


def test_a_run_that_wants_more_memory_than_its_container_has_crashes_at_once(stack: Stack, until: Until) -> None:
    little = ("--job-variable", "mem_limit=70m", "--job-variable", "memswap_limit=70m")
    stack.prefect("deployment", "run", "hmap-clean/on-demand", *little)
    run = until(lambda: stack.runs("steward-docker", "CRASHED"))[0]
    assert "status code 137" in run["state"]["message"]
    assert "(healthy)" in stack.engine.docker("ps", "--filter", "name=docker-worker", "--format", "{{.Status}}")


def test_a_run_in_a_container_can_be_cancelled(stack: Stack, until: Until) -> None:
    stack.prefect("deployment", "schedule", "clear", "hmap-clean/on-demand", "--accept-yes")
    until(lambda: not stack.runs("steward-docker", "RUNNING") + stack.runs("steward-docker", "PENDING"))
    # The run waits in the middle of its scan.
    stack.compose("exec", "--no-TTY", "redis", "redis-cli", "client", "pause", "120000")
    stack.prefect("deployment", "run", "hmap-clean/on-demand")
    run = until(lambda: stack.runs("steward-docker", "RUNNING"))[0]
    container = run["infrastructure_pid"].rpartition(":")[2]
    assert container in stack.engine.docker("ps", "--quiet", "--no-trunc")

    stack.prefect("flow-run", "cancel", run["id"])
    until(lambda: run["id"] in [cancelled["id"] for cancelled in stack.runs("steward-docker", "CANCELLED")], 60)
    until(lambda: container not in stack.engine.docker("ps", "--all", "--quiet", "--no-trunc"), 60)


def test_it_is_taken_down_and_nothing_stays(stack: Stack) -> None:
    assert docker_leftovers.links(stack.engine.folder)
    stack.compose("--profile", "*", "down", "--volumes")
    for what in (("ps", "--all"), ("volume", "ls")):
        assert stack.engine.docker(*what, "--quiet") == ""
    assert set(stack.engine.docker("network", "ls", "--format", "{{.Name}}").split()) == {"host", "none"}
    stack.engine.close()
    assert nothing_left(stack.engine.folder)
    assert bridges() == set()

"""The wheel, installed by pyproject's ranges alone as whoever gets it does: its server makes scheduled runs."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule

from sandbox.prefect_server import prefect_server

ROOT = Path(__file__).parents[1]
SECONDS = 60


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel and nothing pinned."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    (wheel,) = folder.glob("steward-*.whl")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", wheel], check=True)
    return python


def run(home: Path, *command: object) -> str:
    """Run a command of the environment with a home of its own, outside this checkout."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "STEWARD_", "PYTHON"))}
    environment = {**inherited, "PREFECT_HOME": str(home / "prefect"), "HOME": str(home)}
    done = subprocess.run([*map(str, command)], cwd=home, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_server_makes_the_runs_of_a_schedule(python: Path, tmp_path: Path) -> None:
    """With a SQLAlchemy that it does not know it makes none, and says so only in its log."""
    with prefect_server(tmp_path, python=str(python)) as server, SyncPrefectClient(server.api_url) as client:
        made = client.create_flow(flow(lambda: None, name="any"))
        every = IntervalSchedule(interval=timedelta(minutes=1))
        client.create_deployment(made, "any", schedules=[DeploymentScheduleCreate(schedule=every)])
        deadline = time.monotonic() + SECONDS
        while not client.read_flow_runs():
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.5)
        assert all(run.auto_scheduled for run in client.read_flow_runs())
        assert "ERROR" not in server.log.read_text()


def test_its_command_lists_the_jobs(python: Path, tmp_path: Path) -> None:
    assert "hmap-clean" in run(tmp_path, python.with_name("steward"), "--help")


def test_nothing_in_it_conflicts(python: Path, tmp_path: Path) -> None:
    assert "No broken requirements" in run(tmp_path, python, "-m", "pip", "check")

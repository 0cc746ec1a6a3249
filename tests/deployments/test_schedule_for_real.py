"""A schedule makes runs by itself, a worker runs them, and one that is stuck does not stop the next ones for ever.

On a Prefect server on SQLite and on one on PostgreSQL, each a process of its own, beside each other.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.states import Pending
from sqlalchemy import create_engine, make_url, text

from deployments import alerts
from deployments.watches import LOADED
from sandbox.prefect_server import PrefectServer, background, prefect_server
from tests.deployments.conftest import ROOT, Inbox, Variables
from tests.tasks.datajoint.conftest import DRIVERS

Until = Callable[..., None]
EVERY_MINUTE = {"slug": "nightly", "cron": "* * * * *", "timezone": "UTC"}
OFTEN = {"slug": "often", "interval": 20, "timezone": "UTC"}
DATASHARE = {"$ref": {"block_document_slug": "redis-credentials/datashare"}}
STUCK = timedelta(seconds=45)


@dataclass
class Site:
    """A server, and a checkout whose nightly runs every minute."""

    server: PrefectServer
    environment: dict[str, str]
    folder: Path

    def deploy(self) -> None:
        command = [sys.executable, "-m", "deployments"]
        with background(command, self.folder / "deploy.log", self.environment, cwd=self.folder) as deploying:
            status = deploying.wait(180)
        assert status == 0, (self.folder / "deploy.log").read_text()

    def worker(self) -> AbstractContextManager[object]:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "steward", "--type", "process"]
        return background(command, self.folder / "worker.log", {**self.environment, "STEWARD_HOME": str(ROOT)})

    def runs(self, deployment: str) -> list[FlowRun]:
        """The runs that the schedule of a deployment made, the first ones first."""
        with SyncPrefectClient(self.server.api_url) as client:
            named = DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
            found = client.read_flow_runs(deployment_filter=named)
        return sorted((run for run in found if run.auto_scheduled), key=lambda run: str(run.expected_start_time))

    def completed(self, deployment: str) -> list[FlowRun]:
        return [run for run in self.runs(deployment) if run.state_name == "Completed"]

    def errors(self) -> list[str]:
        """What the server's log has of errors, each with its traceback.

        Not where SQLite had one writer wait for another, as it does on a busy machine: Prefect tries that again.
        """
        entries = re.split(r"^(?=\d\d:\d\d:\d\d\.\d)", self.server.log.read_text(), flags=re.MULTILINE)
        bad = [entry for entry in entries if re.search("ERROR|CRITICAL|Traceback", entry)]
        return [entry for entry in bad if "sqlite3.OperationalError: database is locked" not in entry]


@dataclass
class Sites:
    """A site on each database, and the run that is stuck on the second."""

    sqlite: Site
    postgresql: Site
    stuck: FlowRun

    def __getitem__(self, kind: str) -> Site:
        return {"sqlite": self.sqlite, "postgresql": self.postgresql}[kind]


def checkout(folder: Path, more: dict[str, dict[str, Any]]) -> Path:
    """A folder with the flows of this one, its nightly every minute, and more deployments like that."""
    folder.mkdir()
    (folder / "flows").symlink_to(ROOT / "flows")
    project: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    (nightly,) = (one for one in project["deployments"] if one["name"] == "nightly")
    nightly["schedules"] = [EVERY_MINUTE]
    project["deployments"] += [{**nightly, "name": name, **changes} for name, changes in more.items()]
    (folder / "prefect.yaml").write_text(yaml.safe_dump(project))
    return folder


@contextmanager
def site(
    folder: Path, variables: dict[str, str], settings: dict[str, str], more: dict[str, dict[str, Any]]
) -> Iterator[Site]:
    folder.mkdir()
    with prefect_server(folder / "prefect", settings=settings) as server:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "STEWARD_"))}
        own = Site(server, {**inherited, **server.environment, **variables}, checkout(folder / "checkout", more))
        own.deploy()
        yield own


@contextmanager
def postgres_database(url: str) -> Iterator[str]:
    """A database for a Prefect server, as it takes its URL."""
    name, at = f"prefect_{uuid4().hex}", make_url(url)
    admin = create_engine(at.set(drivername=DRIVERS[at.drivername]), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield f"postgresql+asyncpg://{at.username}@{at.host}:{at.port}/{name}"
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def wedge(own: Site, until: Until) -> FlowRun:
    """Take the first run of a deployment as a worker does, and never start it."""
    with SyncPrefectClient(own.server.api_url) as client:
        alerts.upsert_automation(client, alerts.pending_crashed(STUCK))
        time.sleep(LOADED)
        until(lambda: own.runs("often"), 90)
        first = next(run for run in own.runs("often") if run.state and run.state.is_scheduled())
        client.set_flow_run_state(first.id, Pending())
    return first


@pytest.fixture(scope="module")
def sites(
    variables: Variables, postgres_url: str, webhook: Inbox, tmp_path_factory: pytest.TempPathFactory, until: Until
) -> Iterator[Sites]:
    """Both sites deployed, on PostgreSQL a run that is stuck and a deployment that fails; then a worker for each."""
    folder = tmp_path_factory.mktemp("sites")
    environment = {**variables.values, "STEWARD_ALERT_WEBHOOK_URL": webhook.url}
    broken = {"parameters": {"redis": DATASHARE, "archive_dir": "/not/there", "dry_run": False}}
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        address = stack.enter_context(postgres_database(postgres_url))
        on_postgres = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": address}
        more = {"often": {"schedules": [OFTEN]}, "broken": broken}
        entering = [
            threads.submit(stack.enter_context, site(folder / "sqlite", environment, {}, {})),
            threads.submit(stack.enter_context, site(folder / "postgresql", environment, on_postgres, more)),
        ]
        sqlite, postgresql = (one.result() for one in entering)
        stuck = wedge(postgresql, until)
        for own in (sqlite, postgresql):
            stack.enter_context(own.worker())
        yield Sites(sqlite, postgresql, stuck)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_schedule_makes_a_run_that_a_worker_completes(sites: Sites, until: Until, kind: str) -> None:
    own = sites[kind]
    until(lambda: own.completed("nightly"), 240)
    made = own.runs("nightly")
    starts = [run.expected_start_time.timestamp() for run in made if run.expected_start_time]
    assert {later - earlier for earlier, later in pairwise(starts)} == {60}
    assert own.errors() == []


def test_a_stuck_run_does_not_stop_the_schedule_for_ever(sites: Sites, until: Until) -> None:
    own = sites.postgresql
    until(lambda: own.completed("often"), 240)
    states = {str(run.id): run.state_name for run in own.runs("often")}
    assert states[str(sites.stuck.id)] == "Crashed"
    assert "Cancelled" in states.values()  # one that came while it was stuck
    assert own.errors() == []


def test_a_run_of_the_schedule_that_fails_is_told_of_at_once(sites: Sites, webhook: Inbox, until: Until) -> None:
    """The first run after a deploy, of which Prefect itself would tell a quarter of an hour late."""
    until(lambda: any(run.state_name == "Failed" for run in sites.postgresql.runs("broken")), 240)
    first = next(run for run in sites.postgresql.runs("broken") if run.state_name == "Failed")
    until(lambda: webhook.about(str(first.id)), 15)
    (told,) = webhook.about(str(first.id))
    assert "/not/there" in told


def test_both_go_on(sites: Sites, until: Until) -> None:
    """One completed run may be chance; the schedule makes the next one too."""
    for kind in ("sqlite", "postgresql"):
        until(lambda kind=kind: len(sites[kind].completed("nightly")) > 1, 240)
        assert sites[kind].errors() == []

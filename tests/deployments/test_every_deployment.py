"""Every deployment of prefect.yaml can be started as it is deployed, and runs on a worker to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from blocks.database_credentials import DatabaseCredentials
from deployments import block_documents, lint

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.client.orchestration import SyncPrefectClient

    from tests.deployments.conftest import Deployed

    Until = Callable[..., None]

ROOT = Path(__file__).parents[2]
ALL = sorted(lint.check(ROOT, block_documents.block_types(), {}).deployments)
OF_A_PLAN = ("apply/on-demand", "undo/on-demand")
LAST = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
SECONDS = 180.0


@pytest.fixture(scope="module")
def plan(deployed: Deployed) -> str:
    """The plan of a dry run, as an operator makes one: five downloads whose archive is gone."""
    deployed.datashare.gone(5)
    command = [Path(sys.executable).with_name("steward"), "hmap-clean", deployed.datashare.url, str(deployed.archives)]
    done = subprocess.run([*command, "--json"], env=deployed.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout.splitlines()[-1])["plan"]).name


def start(client: SyncPrefectClient, name: str, **more: Any) -> UUID:
    """Ask the API for a run with the deployment's own parameters, as its form does; return the run's id."""
    deployment = client.read_deployment_by_name(name)
    return client.create_flow_run_from_deployment(deployment.id, parameters={**deployment.parameters, **more}).id


def ended(client: SyncPrefectClient, run: UUID, until: Until) -> str:
    """Wait for a run's last state and return it with its message."""
    until(lambda: client.read_flow_run(run).state_type in LAST, SECONDS)
    state = client.read_flow_run(run).state
    return f"{state.name}: {state.message}" if state else "no state"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("name", [name for name in ALL if name not in OF_A_PLAN])
def test_it_is_started_through_the_api_and_completes(client: SyncPrefectClient, until: Until, name: str) -> None:
    state = ended(client, start(client, name), until)
    assert state.startswith("Completed"), state


@pytest.mark.usefixtures("worker")
def test_a_plan_is_applied_and_undone(client: SyncPrefectClient, deployed: Deployed, plan: str, until: Until) -> None:
    before = deployed.datashare.everything()
    for name, left in zip(OF_A_PLAN, (len(before) - 5, len(before)), strict=True):
        state = ended(client, start(client, name, plan=plan), until)
        assert state.startswith("Completed"), state
        assert len(deployed.datashare.tasks) == left
    assert deployed.datashare.everything() == before


@pytest.mark.parametrize("name", ALL)
def test_it_is_started_from_ci(client: SyncPrefectClient, deployed: Deployed, name: str) -> None:
    """Without a worker: what is refused is refused when the run is made."""
    given = ["--param", "plan=some.plan.zst"] if name in OF_A_PLAN else []
    asked = deployed.run("prefect", "deployment", "run", name, "--start-in", "2 hours", *given)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    (run,) = (run for run in client.read_flow_runs() if str(run.id) in asked.stdout)
    client.delete_flow_run(run.id)


@pytest.mark.usefixtures("worker")
def test_a_block_that_lacks_something_says_so_in_the_run(client: SyncPrefectClient, until: Until) -> None:
    empty = DatabaseCredentials().save("empty", overwrite=True)
    run = start(
        client,
        "batch-search-migrate/on-demand",
        database={"$ref": {"block_document_id": str(empty)}},
    )
    assert "The block database-credentials/empty has no url. Fill it in" in ended(client, run, until)
    DatabaseCredentials.delete("empty")

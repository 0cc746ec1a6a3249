"""What of a deployment differs from prefect.yaml is seen, whatever it is, and nothing else is deployed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect import flow
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.schedules import CronSchedule

from deployments import block_documents, lint, prefect_deploy, references, schedules
from deployments.differences import Wanted, differences

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from tests.deployments.conftest import Deployed

ROOT = Path(__file__).parents[2]
NIGHTLY = "hmap-clean/nightly"
SCHEDULE = {"slug": "nightly", "cron": "0 3 * * *", "timezone": "UTC"}
CHANGES: dict[str, dict[str, Any]] = {
    "description": {"description": "Another."},
    "tags": {"tags": ["steward", "other"]},
    "parameters": {"parameters": {"archive_dir": "/elsewhere"}},
    "enforce_parameter_schema": {"enforce_parameter_schema": False},
    "entrypoint": {"entrypoint": "flows/undo.py:undo"},
    "version": {"version": "2"},
    "paused": {"paused": True},
    "work_pool": {"work_pool": {"name": "steward", "work_queue_name": "urgent"}},
    "job_variables": {"work_pool": {"name": "steward", "job_variables": {"env": {"A": "b"}}}},
    "concurrency_limit": {"concurrency_limit": {"limit": 2, "collision_strategy": "CANCEL_NEW"}},
    "concurrency_limit's strategy": {"concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"}},
    "schedules, another time": {"schedules": [SCHEDULE | {"cron": "0 4 * * *"}]},
    "schedules, another place": {"schedules": [SCHEDULE | {"timezone": "Europe/Berlin"}]},
    "schedules, of days that are both": {"schedules": [SCHEDULE | {"day_or": False}]},
    "schedules, not active": {"schedules": [SCHEDULE | {"active": False}]},
    "schedules, with parameters": {"schedules": [SCHEDULE | {"parameters": {"dry_run": True}}]},
    "schedules, one more": {"schedules": [SCHEDULE, SCHEDULE | {"slug": "second"}]},
    "schedules, every day": {"schedules": [{"slug": "nightly", "interval": 86_400, "timezone": "UTC"}]},
}


@pytest.fixture(scope="module")
def environment(deployed: Deployed) -> dict[str, str]:
    return deployed.environment


@pytest.fixture
def nightly(environment: dict[str, str]) -> Wanted:
    return lint.check(ROOT, block_documents.block_types(), environment).wanted[NIGHTLY]


def with_changes(wanted: Wanted, changes: dict[str, Any]) -> Wanted:
    said = wanted.deployment.model_dump(exclude_unset=True)
    return Wanted(type(wanted.deployment).model_validate({**said, **changes}), wanted.flow, wanted.pull)


def test_as_it_was_deployed_nothing_differs(
    client: SyncPrefectClient, nightly: Wanted, environment: dict[str, str]
) -> None:
    assert differences(client, {NIGHTLY: nightly}, environment) == {}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen(client: SyncPrefectClient, nightly: Wanted, environment: dict[str, str], what: str) -> None:
    changed = with_changes(nightly, CHANGES[what])
    assert differences(client, {NIGHTLY: changed}, environment) == {NIGHTLY: what.partition(",")[0].partition("'s")[0]}


def test_a_variable_with_another_value_is_seen(
    client: SyncPrefectClient, nightly: Wanted, environment: dict[str, str]
) -> None:
    other = {**environment, "STEWARD_HMAP_CLEAN_ARCHIVE_DIR": "/elsewhere"}
    assert differences(client, {NIGHTLY: nightly}, other) == {NIGHTLY: "parameters"}


def test_another_pull_step_and_another_flow_are_seen(
    client: SyncPrefectClient, nightly: Wanted, environment: dict[str, str]
) -> None:
    @flow
    def other(a: int = 1) -> None: ...

    elsewhere = [{"prefect.deployments.steps.set_working_directory": {"directory": "/opt/app"}}]
    found = differences(client, {NIGHTLY: Wanted(nightly.deployment, other, elsewhere)}, environment)
    assert found == {NIGHTLY: "flow's parameters, pull"}


def test_what_is_not_on_the_server_is_new(
    client: SyncPrefectClient, nightly: Wanted, environment: dict[str, str]
) -> None:
    assert differences(client, {"hmap-clean/other": nightly}, environment) == {"hmap-clean/other": "new"}


def test_a_schedule_that_an_operator_paused_is_left_alone(
    client: SyncPrefectClient, nightly: Wanted, environment: dict[str, str]
) -> None:
    deployment = client.read_deployment_by_name(NIGHTLY)
    schedule = deployment.schedules[0].id
    assert schedule
    client.update_deployment_schedule(deployment.id, schedule, active=False)
    assert differences(client, {NIGHTLY: nightly}, environment) == {}
    client.update_deployment_schedule(deployment.id, schedule, active=True)


def test_a_paused_schedule_stays_so_beside_one_that_was_made_in_the_ui(
    client: SyncPrefectClient, nightly: Wanted, environment: dict[str, str]
) -> None:
    deployment = client.read_deployment_by_name(NIGHTLY)
    (schedule,) = (one for one in deployment.schedules if one.slug == "nightly")
    assert schedule.id
    client.update_deployment_schedule(deployment.id, schedule.id, active=False)
    client.create_deployment_schedules(deployment.id, [(CronSchedule(cron="0 5 * * *"), True)])
    client.update_deployment(deployment.id, DeploymentUpdate(description="Another."))
    before = schedules.paused(client, {NIGHTLY: nightly}, [NIGHTLY])
    prefect_deploy.deploy(ROOT, environment, [NIGHTLY])
    lines = list(schedules.pause_again(client, before))
    (after,) = (one for one in client.read_deployment_by_name(NIGHTLY).schedules if one.slug == "nightly")
    assert not after.active
    assert lines == [f"{NIGHTLY}: schedule nightly was paused, and is again"]
    assert after.id
    client.update_deployment_schedule(deployment.id, after.id, active=True)
    assert list(references.pin_references(client, [NIGHTLY])) == [f"{NIGHTLY}: refers to its blocks by id"]
    assert differences(client, {NIGHTLY: nightly}, environment) == {}


def test_an_edit_in_the_ui_is_taken_back(
    client: SyncPrefectClient, nightly: Wanted, environment: dict[str, str]
) -> None:
    deployment = client.read_deployment_by_name(NIGHTLY)
    client.update_deployment(deployment.id, DeploymentUpdate(parameters={**deployment.parameters, "dry_run": True}))
    assert differences(client, {NIGHTLY: nightly}, environment) == {NIGHTLY: "parameters"}
    client.update_deployment(deployment.id, DeploymentUpdate(parameters=deployment.parameters))

"""A deploy on a real server: nothing doubles, runs end as they should, and a bad one is told of exactly once."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect import flow
from prefect.states import Late, Pending, Scheduled

from deployments import alerts, block_documents
from deployments.limits import Limit, upsert_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prefect.client.orchestration import SyncPrefectClient

    from tests.deployments.conftest import Deployed, Inbox

    Until = Callable[[Callable[[], object]], None]

SOON = timedelta(seconds=10)  # Prefect takes no less
DOOMED = """
import os, time
from prefect import flow, tags

@flow(name="doomed", flow_run_name="killed-in-the-act")
def doomed():
    time.sleep(2)  # its first heartbeat leaves
    os.kill(os.getpid(), 9)

with tags("steward"):
    doomed()
"""
JOBS = ("hmap-clean", "task-model-migrate", "batch-search-migrate", "apply", "undo")
ALL = {"hmap-clean/nightly", "datajoint-clean/lab", *(f"{job}/on-demand" for job in JOBS)}
LISTS = ("deployments", "block_documents", "block_types", "work_pools", "automations", "flow_runs", "flows")


def everything(deployed: Deployed) -> dict[str, list[dict[str, Any]]]:
    """All that the API tells of the server's objects."""
    with httpx.Client(base_url=deployed.server.api_url) as api:
        found = {name: api.post(f"/{name}/filter", json={}).raise_for_status().json() for name in LISTS}
        found["limits"] = api.post("/v2/concurrency_limits/filter", json={}).raise_for_status().json()
        found["logs"] = api.post("/logs/filter", json={}).raise_for_status().json()
        found["events"] = api.post("/events/filter", json={"limit": 50}).raise_for_status().json()["events"]
    return found


def updates(deployed: Deployed) -> dict[str, dict[str, str]]:
    """When each thing was changed last: everything that a deploy may not touch where it is as it should be."""
    found = everything(deployed)
    found["schedules"] = [schedule for deployment in found["deployments"] for schedule in deployment["schedules"]]
    kept = ("automations", "deployments", "schedules", "work_pools", "block_documents")
    return {name: {item["id"]: item["updated"] for item in found[name]} for name in kept}


def runs_to_come(deployed: Deployed) -> set[str]:
    return {run["id"] for run in everything(deployed)["flow_runs"] if run["auto_scheduled"]}


def identities(deployed: Deployed) -> dict[str, set[str]]:
    found = everything(deployed)
    schedules = [schedule for deployment in found["deployments"] for schedule in deployment["schedules"]]
    kept = ("deployments", "block_documents", "work_pools", "automations", "limits")
    return {name: {item["id"] for item in found[name]} for name in kept} | {"schedules": {s["id"] for s in schedules}}


@pytest.fixture(scope="module")
def abandoned(client: SyncPrefectClient, deployed: Deployed) -> Iterator[None]:
    """Runs that nobody looks after: one late, one pending, one killed; and alerts that wait 10 s for them.

    And for all others: a run on a slow machine would be told of for being late or silent. So the tests that run
    something come before.
    """
    channels = [a.block_document_id for a in client.read_automations_by_name("steward: run failed")[0].actions]
    hasty = (alerts.run_late(channels, SOON), alerts.pending_crashed(SOON), alerts.zombie_crashed(SOON))
    for soon in hasty:
        alerts.upsert_automation(client, soon)
    for state in (Late(), Pending()):
        name = f"is-{state.name}"
        run = client.create_flow_run(flow(lambda: None, name="waiting"), name=name, tags=["steward"], state=Scheduled())
        client.set_flow_run_state(run.id, state)
    killed = subprocess.run([sys.executable, "-c", DOOMED], env=deployed.environment, capture_output=True)
    assert killed.returncode == -9
    for soon in hasty:  # somebody deploys while they are waiting
        assert "unchanged" in alerts.upsert_automation(client, soon)
    yield
    for automation in alerts.automations(channels):
        alerts.upsert_automation(client, automation)


def test_a_second_deploy_doubles_nothing(client: SyncPrefectClient, deployed: Deployed) -> None:
    upsert_limit(client, Limit("test-limit", 3, 0.5))
    before, updated, runs = identities(deployed), updates(deployed), runs_to_come(deployed)
    again = deployed.run("deployments")
    upsert_limit(client, Limit("test-limit", 4, 0.5))

    assert again.returncode == 0, again.stdout + again.stderr
    assert identities(deployed) == before
    assert updates(deployed) == updated
    assert runs_to_come(deployed) >= runs
    assert f"0 of {len(ALL)} deployments deployed" in again.stdout
    assert {name: len(ids) for name, ids in before.items()} == {
        "deployments": len(ALL),
        "schedules": 1,
        "block_documents": 6,
        "work_pools": 2,
        "automations": 5,
        "limits": 1,
    } | {"limits": len(before["limits"])}
    assert client.read_global_concurrency_limit_by_name("test-limit").limit == 4


def test_it_arrives_as_written(client: SyncPrefectClient, deployed: Deployed) -> None:
    nightly = client.read_deployment_by_name("hmap-clean/nightly")
    block = client.read_block_document_by_name("datashare", "redis-credentials")
    assert nightly.tags == ["steward", "maintenance"]
    assert nightly.parameters == {
        "redis": {"$ref": {"block_document_id": str(block.id)}},  # as the UI's picker takes it
        "archive_dir": str(deployed.archives),
        "min_age": "0s",
        "dry_run": False,
    }
    assert nightly.global_concurrency_limit is not None
    assert nightly.global_concurrency_limit.limit == 1
    assert nightly.concurrency_options is not None
    assert nightly.concurrency_options.collision_strategy == "CANCEL_NEW"
    schedule = nightly.schedules[0].schedule.model_dump()
    assert (schedule["cron"], schedule["timezone"]) == ("0 3 * * *", "UTC")
    # A template: resolved by the worker, not by whoever deploys.
    assert nightly.pull_steps == [
        {"prefect.deployments.steps.set_working_directory": {"directory": "{{ $STEWARD_HOME }}"}}
    ]
    assert client.read_deployment_by_name("hmap-clean/on-demand").parameters["dry_run"] is True
    lab = client.read_deployment_by_name("datajoint-clean/lab").parameters
    server = client.read_block_document_by_name("lab", "datajoint-credentials")
    assert lab["databases"] == [{"$ref": {"block_document_id": str(server.id)}}]
    place = deployed.environment["STEWARD_DATAJOINT_CLEAN_LOCATION"]
    schema = deployed.environment["STEWARD_DATAJOINT_CLEAN_SCHEMA"]
    assert (lab["schemas"], lab["location"], lab["dry_run"]) == ([schema], place, True)


@pytest.mark.usefixtures("deployed")
def test_alerts_are_stored_as_intended(client: SyncPrefectClient) -> None:
    stored = {a.name.removeprefix("steward: "): a for a in client.read_automations()}
    switch = stored.pop("nothing completed by the schedule of hmap-clean/nightly")
    assert switch.trigger.within == timedelta(days=2, minutes=1)
    assert set(stored) == {"run failed", "run late", "stuck in pending", "zombie"}
    assert all(a.trigger.match_related["prefect.resource.id"] == ["prefect.tag.steward"] for a in stored.values())
    failed, late, pending, zombie = (stored[name] for name in ("run failed", "run late", "stuck in pending", "zombie"))
    assert failed.trigger.expect == {f"prefect.flow-run.{name}" for name in ("Failed", "Crashed", "TimedOut")}
    assert [action.type for action in failed.actions] == ["send-notification"] * 2  # one per channel
    assert (late.trigger.after, late.trigger.within) == ({"prefect.flow-run.Late"}, timedelta(minutes=15))
    assert (pending.trigger.after, pending.trigger.within) == ({"prefect.flow-run.Pending"}, timedelta(minutes=15))
    assert (zombie.trigger.after, zombie.trigger.within) == ({"prefect.flow-run.heartbeat"}, timedelta(minutes=9))
    assert [a.type for watcher in (pending, zombie) for a in watcher.actions] == ["change-flow-run-state"] * 2


@pytest.mark.usefixtures("deployed")
def test_an_alert_that_an_operator_paused_stays_paused(client: SyncPrefectClient) -> None:
    (zombie,) = client.read_automations_by_name("steward: zombie")
    client.pause_automation(zombie.id)
    assert "left paused" in alerts.upsert_automation(client, alerts.zombie_crashed())
    client.resume_automation(zombie.id)
    assert "paused" not in alerts.upsert_automation(client, alerts.zombie_crashed())
    assert client.read_automations_by_name("steward: zombie")[0].enabled


def test_only_one_alert_listens_to_what_failed() -> None:
    ended = {f"prefect.flow-run.{name}" for name in ("Failed", "Crashed", "TimedOut")}
    others = [alerts.run_late([]), alerts.pending_crashed(), alerts.zombie_crashed()]
    assert not any(ended & watcher.trigger.expect for watcher in others)


def test_a_block_is_saved_where_it_differs_and_only_there(client: SyncPrefectClient, deployed: Deployed) -> None:
    name = "STEWARD_BLOCK__REDIS_CREDENTIALS__DATASHARE__URL"
    given = {name: deployed.environment[name]}
    (same,) = block_documents.documents_from(given, block_documents.block_types())
    (other,) = block_documents.documents_from({name: "redis://:other@h"}, block_documents.block_types())
    before = client.read_block_document_by_name("datashare", "redis-credentials").id
    said = [block_documents.upsert_document(document).partition(": ")[2] for document in (same, other, other, same)]
    assert said == ["unchanged", "saved", "unchanged", "saved"]
    assert client.read_block_document_by_name("datashare", "redis-credentials").id == before


@pytest.mark.usefixtures("worker")
def test_a_good_run_ends_with_status_0_and_no_alert(
    client: SyncPrefectClient, deployed: Deployed, webhook: Inbox
) -> None:
    done = deployed.run("prefect", "deployment", "run", "hmap-clean/on-demand", "--watch", "--watch-timeout", "90")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not webhook.about("hmap-clean")
    assert any(run.name.startswith("dry run redis://127.0.0.1:") for run in client.read_flow_runs())


@pytest.mark.usefixtures("worker")
def test_a_bad_run_ends_with_status_1_and_one_alert(
    client: SyncPrefectClient, deployed: Deployed, webhook: Inbox, mail: Inbox, until: Until
) -> None:
    command = ("prefect", "deployment", "run", "hmap-clean/on-demand", "-p", "archive_dir=/not/there", "--watch")
    failed = deployed.run(*command)
    assert failed.returncode == 1, failed.stdout + failed.stderr

    (run,) = (r for r in client.read_flow_runs() if r.parameters.get("archive_dir") == "/not/there")
    until(lambda: webhook.about(run.name) and mail.about(run.name))
    time.sleep(2)
    told = webhook.about(run.name)
    assert len(told) == 1, told
    assert told[0].splitlines()[0] == f"hmap-clean Failed: {run.name}"
    assert "/not/there" in told[0]
    assert f"{deployed.server.url}/runs/flow-run/{run.id}" in told[0]
    assert len(mail.about(run.name)) == 1


@pytest.mark.usefixtures("abandoned")
@pytest.mark.parametrize(
    ("name", "first", "reason"),
    [
        ("is-Late", "waiting late: is-Late", "Is a worker running?"),
        ("is-Pending", "waiting Crashed: is-Pending", "read the worker's log"),
        ("killed-in-the-act", "doomed Crashed: killed-in-the-act", "No heartbeat"),
    ],
)
def test_an_abandoned_run_is_told_of_once_though_a_deploy_comes_between(
    webhook: Inbox, until: Until, name: str, first: str, reason: str
) -> None:
    until(lambda: webhook.about(name))
    (message,) = webhook.about(name)
    assert message.splitlines()[0] == first
    assert reason in message


@pytest.mark.usefixtures("deployed")
def test_what_is_no_longer_in_prefect_yaml_is_named(client: SyncPrefectClient) -> None:
    from deployments.prefect_deploy import left_over, missing_documents, unused_documents

    assert list(left_over(client, ALL)) == []
    (warning,) = left_over(client, ALL - {"hmap-clean/on-demand"})
    assert "`prefect deployment delete hmap-clean/on-demand`" in warning
    (missing,) = missing_documents(client, {"redis-credentials/other": "hmap-clean/x"})
    assert "STEWARD_BLOCK__REDIS_CREDENTIALS__OTHER__" in missing
    (unused,) = unused_documents(["redis-credentials/datashre"], ["redis-credentials/datashare"])
    assert "no deployment in prefect.yaml refers to it" in unused


def test_no_secret_anywhere_in_the_api(deployed: Deployed) -> None:
    from tests.deployments.real_stores import PASSWORD

    told = everything(deployed)
    assert told["flow_runs"]
    assert told["logs"]
    assert PASSWORD not in str(told)
    assert PASSWORD not in deployed.server.log.read_text()

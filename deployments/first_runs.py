"""The first runs that a schedule makes after a deploy, announced, so that alerts about them come at once.

Prefect holds an event back until the one that it follows has arrived, where both happened within five minutes, but for
no longer than a quarter of an hour (`prefect.server.events.ordering`). Its scheduler emits no event for the runs that
it makes. So whatever happens to a run in the first minutes after a deploy would be told of a quarter of an hour late.
What is emitted here is the event that each of these runs lacks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import SCHEDULE_TYPES
from prefect.events import Event
from prefect.events.schemas.events import Resource

from deployments.periods import next_date

TIGHT: Final = timedelta(minutes=6)  # Prefect looks at five
MADE: Final = 20.0  # seconds; the scheduler looks for what was deployed every five
PAUSE: Final = 0.5  # seconds between two looks


def announce(client: SyncPrefectClient, schedules: Mapping[str, Sequence[SCHEDULE_TYPES]], names: Iterable[str]) -> int:
    """Announce the runs of the next minutes of these deployments, once they are made; return their number."""
    until = datetime.now(UTC) + TIGHT
    soon = [name for name in names if any(_is_before(until, schedule) for schedule in schedules.get(name, ()))]
    runs = _made(client, [client.read_deployment_by_name(name).id for name in soon], until)
    if runs:
        client.request("POST", "/events", json=[_scheduled(run).model_dump(mode="json") for run in runs])
    return len(runs)


def _is_before(until: datetime, schedule: SCHEDULE_TYPES) -> bool:
    date = next_date(schedule)
    return date is not None and date < until


def _made(client: SyncPrefectClient, deployments: list[UUID], until: datetime) -> list[FlowRun]:
    """Return the runs that are due until then, once each deployment has one, or as far as they are made in time."""
    runs: list[FlowRun] = []
    deadline = time.monotonic() + MADE
    while deployments and time.monotonic() < deadline:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=deployments)),
            flow_run_filter=FlowRunFilter(
                expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"before_": until})
            ),
        )
        runs = [run for run in runs if run.auto_scheduled and run.state and run.state.is_scheduled()]
        if {run.deployment_id for run in runs} == set(deployments):
            break
        time.sleep(PAUSE)
    return runs


def _scheduled(run: FlowRun) -> Event:
    # Prefect's events of a run have the ids of its states, and follow one another by them.
    resource = Resource({"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name})
    scheduled = {"id": run.state_id, "event": "prefect.flow-run.Scheduled", "occurred": run.created}
    return Event.model_validate({**scheduled, "resource": resource})

"""A dead man's switch per schedule: told once where no run that it made has completed for two of its periods.

All other alerts wait for something that happens to a run. This one also tells where there is no run: a scheduler that
makes none, a worker that cancels each, a schedule that somebody paused and forgot.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from prefect.automations import AutomationCore, EventTrigger, Posture, SendNotification
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.schedules import SCHEDULE_TYPES
from prefect.events import Event
from prefect.events.schemas.events import RelatedResource, Resource, ResourceSpecification

from deployments.alerts import is_as, read_automation, upsert_automation
from deployments.api import ui_url
from deployments.periods import two_periods

COMPLETED: Final = "prefect.flow-run.Completed"
ARMED: Final = "steward.schedule.watched"
DEPLOYMENT: Final = {"prefect.resource.role": "deployment"}
BY_SCHEDULE: Final = {"prefect.resource.id": "prefect.tag.auto-scheduled", "prefect.resource.role": "tag"}
PREFIX: Final = "steward: nothing completed by the schedule of "
SLACK: Final = timedelta(minutes=1)  # for a worker to come by, and for one run to take longer than the last
LOADED: Final = 6.0  # seconds until every process of a server has read a new automation


@dataclass(frozen=True)
class Watched:
    """A deployment whose schedule is watched, and the longest time that two of its periods take."""

    name: str
    id: UUID
    two_periods: timedelta
    active: bool = True


def watched(client: SyncPrefectClient, schedules: Mapping[str, Sequence[SCHEDULE_TYPES]]) -> Iterator[Watched]:
    """Find what to watch among the deployments that have schedules; one that ends by itself is not watched."""
    for name, own in schedules.items():
        periods = [period for schedule in own if (period := two_periods(schedule))]
        if periods:
            deployment = client.read_deployment_by_name(name)
            active = any(schedule.active for schedule in deployment.schedules)
            yield Watched(name, deployment.id, min(periods), active)


def watch(
    client: SyncPrefectClient,
    schedules: Mapping[str, Sequence[SCHEDULE_TYPES]],
    channels: Sequence[UUID],
    deployments: Collection[str],
) -> Iterator[str]:
    """Watch each of the schedules, where there is somebody to tell, and none else of these deployments."""
    watches = list(watched(client, schedules))
    yield from remove_others(client, watches, deployments)
    if not (watches and channels):
        return
    switches = [no_run_completed(channels, one) for one in watches]
    changed = [switch for switch in switches if not is_as(read_automation(client, switch.name), switch)]
    yield from (upsert_automation(client, switch) for switch in switches)
    arm(client, watches, changed=bool(changed))


def no_run_completed(channels: Sequence[UUID], one: Watched) -> AutomationCore:
    """Return the alert that no scheduled run of a deployment completed in time: once, until the next one does."""
    within = one.two_periods + SLACK
    link = f"{ui_url()}/deployments/deployment/{one.id}"
    body = (
        f"No run that the schedule of {one.name} made has completed within {within}. Is the schedule active, does a "
        f"worker run, and how did the last runs end?\n{link}"
    )
    subject = f"{one.name} overdue: no scheduled run has completed"
    return AutomationCore(
        name=PREFIX + one.name,
        description=f"No scheduled run of {one.name} completed within {within}.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={COMPLETED, ARMED},
            expect={COMPLETED},
            match_related=[
                ResourceSpecification({"prefect.resource.id": f"prefect.deployment.{one.id}", **DEPLOYMENT}),
                ResourceSpecification({**BY_SCHEDULE}),
            ],
            # Without it Prefect would begin anew by itself, and tell again and again.
            for_each={"related:deployment:prefect.resource.id"},
            threshold=1,
            within=within,
        ),
        actions=[SendNotification(block_document_id=channel, subject=subject, body=body) for channel in channels],
    )


def arm(client: SyncPrefectClient, watches: Sequence[Watched], *, changed: bool) -> None:
    """Begin to wait for the next completed run of each, where Prefect does not wait for it already.

    A schedule that somebody paused is left alone. Where an automation has changed, the server takes a moment to know
    it, and would miss what happens in that moment.
    """
    events = [_armed(one) for one in watches if one.active]
    if changed:
        time.sleep(LOADED)
    client.request("POST", "/events", json=[event.model_dump(mode="json") for event in events])


def _armed(one: Watched) -> Event:
    switch = Resource({"prefect.resource.id": f"steward.schedule.{one.id}", "prefect.resource.name": one.name})
    deployment = RelatedResource({"prefect.resource.id": f"prefect.deployment.{one.id}", **DEPLOYMENT})
    return Event(event=ARMED, resource=switch, related=[deployment, RelatedResource(BY_SCHEDULE)])


def remove_others(client: SyncPrefectClient, watches: Sequence[Watched], deployments: Collection[str]) -> Iterator[str]:
    """Remove the switches of these deployments that have no schedule any more; those of others are not ours."""
    unwatched = {PREFIX + name for name in deployments} - {PREFIX + one.name for one in watches}
    for automation in client.read_automations():
        if automation.name in unwatched:
            client.delete_automation(automation.id)
            yield f"alert {automation.name!r}: removed, prefect.yaml has no such schedule"

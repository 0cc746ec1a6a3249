"""N43: a schedule of which nothing has completed for two periods is told of once, whatever the reason."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.schemas.schedules import construct_schedule
from prefect.states import Completed, Failed

from deployments import watches
from deployments.alerts import upsert_automation
from deployments.watches import BY_SCHEDULE, SLACK, Watched

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.states import State

    from tests.deployments.conftest import Deployed, Inbox

    Until = Callable[[Callable[[], object]], None]

SOON = timedelta(seconds=10)  # Prefect takes no less
SCHEDULED = BY_SCHEDULE["prefect.resource.id"].removeprefix("prefect.tag.")


class Nightly:
    """A deployment of its own that is watched, with two periods in 10 s."""

    def __init__(self, client: SyncPrefectClient, *, armed: bool = True) -> None:
        self.client, self.name = client, f"watched-{uuid4().hex[:8]}"
        own = flow(lambda: None, name=self.name)
        self.id: UUID = client.create_deployment(flow_id=client.create_flow(own), name="nightly")
        self.watched = Watched(f"{self.name}/nightly", self.id, SOON - SLACK)
        self.channels = [client.read_block_document_by_name("steward-alerts-webhook", "custom-webhook").id]
        self.switch = watches.no_run_completed(self.channels, self.watched)
        upsert_automation(client, self.switch)
        if armed:
            watches.arm(client, [self.watched], changed=True)

    def ends(self, state: State, *, by_schedule: bool = True) -> None:
        """A run of it ends so."""
        tags = ["steward", *([SCHEDULED] if by_schedule else [])]
        run = self.client.create_flow_run_from_deployment(self.id, tags=tags)
        self.client.set_flow_run_state(run.id, state, force=True)

    def remove(self) -> None:
        (switch,) = self.client.read_automations_by_name(self.switch.name)
        self.client.delete_automation(switch.id)
        self.client.delete_deployment(self.id)


@pytest.fixture
def nightly(client: SyncPrefectClient, deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Nightly]:
    assert deployed
    monkeypatch.setattr(watches, "LOADED", 1.0)  # this server is one process
    return lambda **options: Nightly(client, **options)


def test_n43_it_is_told_of_once_whatever_the_reason(
    nightly: Callable[..., Nightly], webhook: Inbox, until: Until
) -> None:
    """Three schedules at once, for each waits: no run at all, only bad ones, and good ones that somebody started."""
    silent, failing, by_hand, quiet = nightly(), nightly(), nightly(), nightly(armed=False)
    for _ in range(3):
        failing.ends(Failed())
        by_hand.ends(Completed(), by_schedule=False)
        time.sleep(2)
    overdue = (silent, failing, by_hand)
    until(lambda: all(webhook.about(f"{one.watched.name} overdue") for one in overdue))
    time.sleep(2.5 * SOON.total_seconds())  # it is not told of again
    for one in overdue:
        (told,) = webhook.about(f"{one.watched.name} overdue")
        assert told.splitlines()[0] == f"{one.watched.name} overdue: no scheduled run has completed"
        assert f"/deployments/deployment/{one.id}" in told
    assert not webhook.about(f"{quiet.watched.name} overdue")

    silent.ends(Completed())  # now it is well again, and then not any more
    until(lambda: len(webhook.about(f"{silent.watched.name} overdue")) == 2)
    for one in (*overdue, quiet):
        one.remove()


def test_n43_while_runs_complete_nothing_is_told(nightly: Callable[..., Nightly], webhook: Inbox) -> None:
    well = nightly()
    for _ in range(6):
        well.ends(Completed())
        upsert_automation(well.client, well.switch)  # a deploy each time
        watches.arm(well.client, [well.watched], changed=False)
        time.sleep(SOON.total_seconds() / 2)
    assert not webhook.about(f"{well.watched.name} overdue")
    well.remove()


def test_a_schedule_that_is_gone_from_prefect_yaml_is_no_longer_watched(
    nightly: Callable[..., Nightly], client: SyncPrefectClient
) -> None:
    gone = nightly(armed=False)
    kept = {"hmap-clean/nightly": [construct_schedule(cron="0 3 * * *", timezone="UTC")]}
    named = ["hmap-clean/nightly", gone.watched.name]
    assert not any("removed" in line for line in watches.watch(client, kept, gone.channels, named[:1]))
    lines = list(watches.watch(client, kept, gone.channels, named))
    assert f"alert {gone.switch.name!r}: removed, prefect.yaml has no such schedule" in lines
    assert client.read_automations_by_name(gone.switch.name) == []
    assert client.read_automations_by_name(f"{watches.PREFIX}hmap-clean/nightly")
    client.delete_deployment(gone.id)


def test_where_nobody_is_told_nothing_is_watched(client: SyncPrefectClient, deployed: Deployed) -> None:
    assert deployed
    kept = {"hmap-clean/nightly": [construct_schedule(cron="0 3 * * *", timezone="UTC")]}
    assert list(watches.watch(client, kept, [], list(kept))) == []

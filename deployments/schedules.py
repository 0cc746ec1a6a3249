"""Schedules that an operator paused stay paused through a deploy that changes their deployment.

Prefect itself leaves them so only where every schedule of the deployment has a slug, which one made in the UI has not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from deployments.differences import Wanted


def paused(client: SyncPrefectClient, wanted: Mapping[str, Wanted], names: Collection[str]) -> dict[str, set[str]]:
    """Return the slugs of the schedules of these deployments that are paused, where prefect.yaml does not say so."""
    return {name: slugs for name in names if (slugs := _paused(client, name) - _said(wanted[name]))}


def pause_again(client: SyncPrefectClient, before: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Pause those of them that are active now."""
    for name, slugs in before.items():
        deployment = client.read_deployment_by_name(name)
        for schedule in deployment.schedules:
            if schedule.slug in slugs and schedule.active and schedule.id:
                client.update_deployment_schedule(deployment.id, schedule.id, active=False)
                yield f"{name}: schedule {schedule.slug} was paused, and is again"


def _paused(client: SyncPrefectClient, name: str) -> set[str]:
    try:
        found = client.read_deployment_by_name(name).schedules
    except ObjectNotFound:
        return set()
    return {schedule.slug for schedule in found if schedule.slug and not schedule.active}


def _said(wanted: Wanted) -> set[str]:
    return {schedule.slug for schedule in wanted.deployment.schedules if schedule.active is not None}

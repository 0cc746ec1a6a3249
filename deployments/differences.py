"""What of a deployment on the server is not as prefect.yaml says.

Prefect's own deploy writes all of them anew, and takes away the runs that it had scheduled: one that is due in the
seconds until they are made again is never made. So only what differs is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import SCHEDULE_TYPES
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema

from deployments.prefect_deploy import ONLY_FOR_WORKERS
from deployments.prefect_yaml import ConcurrencyLimit, Deployment, Schedule, Step
from deployments.references import pinned
from deployments.templates import fill_all

NEW = "new"
DEFAULT_QUEUE = "default"


@dataclass(frozen=True)
class Wanted:
    """A deployment as prefect.yaml has it, with its flow and how its code is found."""

    deployment: Deployment
    flow: Flow[..., Any]
    pull: list[Step]


def differences(client: SyncPrefectClient, wanted: Mapping[str, Wanted], environ: Mapping[str, str]) -> dict[str, str]:
    """Return each deployment that is not on the server as it is wanted: in what it differs, or that it is new."""
    found = {name: _difference(client, name, one, environ) for name, one in wanted.items()}
    return {name: difference for name, difference in found.items() if difference}


def _difference(client: SyncPrefectClient, name: str, wanted: Wanted, environ: Mapping[str, str]) -> str:
    try:
        stored = _stored(client.read_deployment_by_name(name))
    except ObjectNotFound:
        return NEW
    target = _target(wanted, environ)
    target["parameters"] = {key: pinned(client, value) for key, value in target["parameters"].items()}
    # What the file does not say of a schedule stays as the server has it, such as whether it is paused.
    target["schedules"] = {slug: stored["schedules"].get(slug, {}) | own for slug, own in target["schedules"].items()}
    stored["schedules"] = {slug: own for slug, own in stored["schedules"].items() if slug in target["schedules"]}
    return ", ".join(sorted(field for field in target if stored[field] != target[field]))


def _stored(deployment: DeploymentResponse) -> dict[str, Any]:
    limit, options = deployment.global_concurrency_limit, deployment.concurrency_options
    return {
        "version": deployment.version,
        "description": deployment.description,
        "entrypoint": deployment.entrypoint,
        "tags": set(deployment.tags),
        "parameters": deployment.parameters,
        "flow's parameters": deployment.parameter_openapi_schema,
        "enforce_parameter_schema": deployment.enforce_parameter_schema,
        "paused": deployment.paused,
        "pull": deployment.pull_steps,
        "work_pool": (deployment.work_pool_name, deployment.work_queue_name),
        "job_variables": deployment.job_variables,
        "concurrency_limit": limit and (limit.limit, options and options.model_dump(mode="json")),
        "schedules": {
            one.slug: {**_dates(one.schedule), "active": one.active, "parameters": one.parameters}
            for one in deployment.schedules
        },
    }


def _target(wanted: Wanted, environ: Mapping[str, str]) -> dict[str, Any]:
    own: Deployment = wanted.deployment
    for_the_worker = {name: value for name, value in environ.items() if name not in ONLY_FOR_WORKERS}
    target = {
        "description": own.description or wanted.flow.description,
        "entrypoint": own.entrypoint,
        "tags": set(own.tags),
        "parameters": own.parameters,
        "flow's parameters": parameter_schema(wanted.flow).model_dump_for_openapi(),
        "enforce_parameter_schema": own.enforce_parameter_schema is not False,
        "work_pool": (own.work_pool.name, own.work_pool.work_queue_name or DEFAULT_QUEUE),
        "job_variables": own.work_pool.job_variables,
        "concurrency_limit": _limit(own.concurrency_limit),
        "schedules": {one.slug: _schedule(one) for one in own.schedules},
        # Prefect makes a version of the commit, with which nothing else need have changed.
        **({} if own.version is None else {"version": own.version}),
        **({} if own.paused is None else {"paused": own.paused}),
    }
    return {**_filled(target, environ), "pull": fill_all(wanted.pull, for_the_worker)}


def _filled(target: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    filled: dict[str, Any] = fill_all({**target, "tags": list(target["tags"])}, environ)
    return {**filled, "tags": set(filled["tags"])}


def _limit(limit: int | ConcurrencyLimit | None) -> tuple[int, dict[str, Any] | None] | None:
    if limit is None:
        return None
    if isinstance(limit, int):
        return (limit, None)
    options = {"collision_strategy": limit.collision_strategy, "grace_period_seconds": limit.grace_period_seconds}
    return (limit.limit, options)


def _schedule(schedule: Schedule) -> dict[str, Any]:
    dates = _dates(schedule.dates, anchored=schedule.anchor_date is not None)
    active = {} if schedule.active is None else {"active": schedule.active}
    return {**dates, **active, "parameters": schedule.parameters}


def _dates(schedule: SCHEDULE_TYPES, *, anchored: bool = True) -> dict[str, Any]:
    # An interval that the file gives no beginning begins when it is deployed.
    return schedule.model_dump(exclude=set() if anchored else {"anchor_date"})

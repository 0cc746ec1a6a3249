"""Rewrite Datashare's task records in Redis to another generation of the model."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import flow
from pydantic import AwareDatetime

from blocks.redis_credentials import RedisCredentials
from tasks.changes.apply import apply_plan
from tasks.changes.approval import ask_approval
from tasks.changes.guard import guard
from tasks.changes.naming import name_after_mode
from tasks.changes.options import Approve, Described, DryRun, MaxChanges, MaxFraction, Plans
from tasks.changes.plan import make_plan
from tasks.changes.report import Report, report
from tasks.datashare.hash_keys import TASKS, HashKey, check_hash_key, other_tasks
from tasks.datashare.model_migration import ToGeneration
from tasks.stores.redis_hash import RedisHash

Redis = Annotated[RedisCredentials, Described("The Redis server that holds the tasks.")]
Target = Annotated[
    Literal["plain", "typed"],
    Described("What reads the records next: plain is Datashare since 20.5 and today's, typed is 20.2.1 to 20.4."),
]
Undated = Annotated[
    AwareDatetime | None,
    Described("The creation date of records that have none, with a timezone; without it they stay and are reported."),
]


def open_store(redis: RedisCredentials, hash_key: str = TASKS) -> RedisHash:
    """Open the hash of the tasks."""
    return RedisHash(redis.get_client(), redis.location, hash_key)


def make_judge(store: RedisHash, target: Target = "plain", undated: AwareDatetime | None = None) -> ToGeneration:
    """Judge by what the target's reader accepts, knowing where else there are tasks."""
    return ToGeneration(target, undated, remarks=other_tasks(store))


@flow(name="task-model-migrate", flow_run_name=name_after_mode)
def task_model_migrate(
    redis: Redis,
    target: Target = "plain",
    hash_key: HashKey = TASKS,
    undated: Undated = None,
    dry_run: DryRun = True,
    approve: Approve = False,
    max_fraction: MaxFraction = 1.0,
    max_changes: MaxChanges = None,
    plans: Plans = None,
) -> Report:
    """Rewrite Datashare's task records in Redis to another generation of the model."""
    store = open_store(redis, hash_key)
    check_hash_key(store)
    judge = make_judge(store, target, undated)
    plan = make_plan(store, judge, plans)
    objections = guard(plan, judge, max_fraction=max_fraction, max_changes=max_changes, dry_run=dry_run)
    if dry_run:
        return report(plan, objections=objections)
    if approve:
        ask_approval(plan)
    return report(plan, apply_plan(plan, store, judge))

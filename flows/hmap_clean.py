"""Remove from a Redis hash the batch downloads whose archive is gone."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Annotated, Literal

from prefect import flow
from pydantic import AfterValidator, Field

from blocks.redis_credentials import RedisCredentials
from tasks.changes.apply import apply_plan
from tasks.changes.approval import ask_approval
from tasks.changes.guard import guard
from tasks.changes.naming import name_after_mode
from tasks.changes.options import Approve, Described, DryRun, Duration, MaxChanges, MaxFraction, Plans
from tasks.changes.plan import make_plan
from tasks.changes.report import Report, report
from tasks.datashare.archives import ArchiveGone
from tasks.datashare.hash_keys import TASKS, HashKey, check_hash_key
from tasks.stores.files import Folder
from tasks.stores.redis_hash import RedisHash

Redis = Annotated[RedisCredentials, Described("The Redis server that holds the tasks.")]
ArchiveDir = Annotated[
    str, Field(min_length=1), AfterValidator(os.path.abspath), Described("The folder where the archives lie.")
]
States = Annotated[
    list[Literal["DONE", "ERROR", "CANCELLED"]], Field(min_length=1), Described("Tasks in these states may go.")
]
MinAge = Annotated[Duration, Described("Keep tasks that ended (or began) less than this ago, such as 36h.")]
AllowEmpty = Annotated[bool, Described("Go on though the folder holds no archive that a record names.")]


def open_store(redis: RedisCredentials, hash_key: str = TASKS) -> RedisHash:
    """Open the hash of the tasks."""
    return RedisHash(redis.get_client(), redis.location, hash_key)


def make_judge(
    store: RedisHash,
    archive_dir: str,
    states: States = ["DONE"],  # noqa: B006  # Prefect shows it in the form
    min_age: Duration = timedelta(0),
    allow_empty: bool = False,
) -> ArchiveGone:
    """Read the names in the folder, and judge by them."""
    return ArchiveGone(Folder(archive_dir), states, now=store.now(), min_age=min_age, allow_empty=allow_empty)


@flow(name="hmap-clean", flow_run_name=name_after_mode)
def hmap_clean(
    redis: Redis,
    archive_dir: ArchiveDir,
    hash_key: HashKey = TASKS,
    states: States = ["DONE"],  # noqa: B006
    min_age: MinAge = timedelta(0),
    allow_empty: AllowEmpty = False,
    dry_run: DryRun = True,
    approve: Approve = False,
    max_fraction: MaxFraction = 0.5,
    max_changes: MaxChanges = None,
    plans: Plans = None,
) -> Report:
    """Remove from a Redis hash the batch downloads whose archive is gone."""
    store = open_store(redis, hash_key)
    check_hash_key(store)
    judge = make_judge(store, archive_dir, states, min_age, allow_empty)
    plan = make_plan(store, judge, plans)
    objections = guard(plan, judge, max_fraction=max_fraction, max_changes=max_changes, dry_run=dry_run)
    if dry_run:
        return report(plan, objections=objections)
    if approve:
        ask_approval(plan)
    return report(plan, apply_plan(plan, store, judge))

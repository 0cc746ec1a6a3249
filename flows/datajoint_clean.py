"""Delete the objects of a DataJoint store that no row references, of both generations of DataJoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from prefect import flow

from blocks.datajoint_credentials import DataJointCredentials
from blocks.object_store_credentials import ObjectStoreCredentials
from tasks.changes.apply import apply_plan
from tasks.changes.approval import ask_approval
from tasks.changes.guard import guard
from tasks.changes.naming import name_after_mode
from tasks.changes.options import Approve, DryRun, Duration, MaxChanges, MaxFraction, Plans
from tasks.changes.plan import make_plan
from tasks.changes.report import Report, report
from tasks.datajoint.config import read_config
from tasks.datajoint.judging import judge_of_quarantine, judge_of_store
from tasks.datajoint.layout import AS_USUAL, Generations, Layout
from tasks.datajoint.opening import open_objects, open_quarantine
from tasks.datajoint.options import (
    DAY,
    AllowEmpty,
    Bucket,
    Databases,
    Grace,
    Judged,
    Location,
    Modes,
    Named,
    Part,
    PurgeAfter,
    Schemas,
)
from tasks.datajoint.orphans import Unreferenced
from tasks.datajoint.waiting import Waiting
from tasks.stores.object_store import Mode, ObjectStore

ConfigFile = Annotated[str, Parameter(("--config-file", "-c"), help="The file that says what to clean.")]
Nth = Annotated[int | None, Parameter(help="Do only this one of the file's cleaning_runs, counted from 1.")]
IN_FILE = ("store", "databases", "location", "schemas", "generation", "layout", "grace", "mode")


def runs_in(config_file: ConfigFile = "datajoint-cleaner.toml", run: Nth = None) -> list[dict[str, Any]]:
    """Give the flow's parameters for each of the runs in a file."""
    config = read_config(Path(config_file))
    return [config.parameters(one) for one in config.chosen(run)]


def open_store(
    store: ObjectStoreCredentials | str,
    location: str,
    schemas: list[str],
    generation: Generations = "both",
    layout: Layout = AS_USUAL,
    mode: Mode = "delete",
    shard: str = "1/1",
    purge_after: Duration | None = None,
) -> ObjectStore:
    """Open what the run owns of the store, or its quarantine."""
    namespace = layout.namespace(location, schemas, generation)
    return open_objects(store, namespace, mode, shard) if purge_after is None else open_quarantine(store, namespace)


def make_judge(
    store: ObjectStore,
    databases: list[DataJointCredentials],
    location: str,
    schemas: list[str],
    generation: Generations = "both",
    layout: Layout = AS_USUAL,
    grace: Duration = DAY,
    purge_after: Duration | None = None,
    allow_empty: bool = False,
) -> Unreferenced | Waiting:
    """Judge by the rows of all databases, read once the store is listed."""
    namespace = layout.namespace(location, schemas, generation)
    if purge_after is None:
        return judge_of_store(store, namespace, databases, grace, allow_empty=allow_empty)
    return judge_of_quarantine(store, namespace, databases, purge_after, allow_empty=allow_empty)


@flow(name="datajoint-clean", flow_run_name=name_after_mode)
def datajoint_clean(
    store: Bucket,
    databases: Databases,
    location: Location,
    schemas: Schemas,
    generation: Judged = "both",
    layout: Named = AS_USUAL,
    grace: Grace = DAY,
    mode: Modes = "delete",
    purge_after: PurgeAfter = None,
    shard: Part = "1/1",
    allow_empty: AllowEmpty = False,
    dry_run: DryRun = True,
    approve: Approve = False,
    max_fraction: MaxFraction = 0.5,
    max_changes: MaxChanges = None,
    plans: Plans = None,
) -> Report:
    """Delete the objects of a DataJoint store that no row references, of both generations of DataJoint."""
    objects = open_store(store, location, schemas, generation, layout, mode, shard, purge_after)
    judge = make_judge(objects, databases, location, schemas, generation, layout, grace, purge_after, allow_empty)
    plan = make_plan(objects, judge, plans)
    limit = max_fraction if purge_after is None else 1.0
    objections = guard(plan, judge, max_fraction=limit, max_changes=max_changes, dry_run=dry_run)
    if dry_run:
        return report(plan, objections=objections)
    if approve:
        ask_approval(plan)
    return report(plan, apply_plan(plan, objects, judge))

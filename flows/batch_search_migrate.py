"""Rewrite batch search results in Datashare's SQL database to the form of Datashare 20.2.1 and later."""

from __future__ import annotations

from typing import Annotated

from prefect import flow

from blocks.database_credentials import DatabaseCredentials
from tasks.changes.apply import apply_plan
from tasks.changes.approval import ask_approval
from tasks.changes.guard import guard
from tasks.changes.naming import name_after_mode
from tasks.changes.options import Approve, Described, DryRun, MaxChanges, MaxFraction, Plans
from tasks.changes.plan import make_plan
from tasks.changes.report import Report, report
from tasks.datashare.batch_searches import Downloads, OldResult, Orphans, UnreadableResults, open_batch_searches
from tasks.datashare.change_sets import own_change_set
from tasks.datashare.schemas import check_schema
from tasks.stores.sql import SqlRows

Database = Annotated[DatabaseCredentials, Described("The database of Datashare.")]
OfOrphans = Annotated[
    Orphans, Described("Results whose batch search is gone: keep, or value to take their old number as the count.")
]

OfUnreadable = Annotated[
    UnreadableResults,
    Described(
        "Results of done tasks that Datashare cannot read: report, or search to take the counts of their batch search."
    ),
]
OfDownloads = Annotated[
    Downloads, Described("Results of batch downloads: keep, or rename to what Datashare calls them since 21.1.")
]


def open_store(
    database: DatabaseCredentials, unreadable: UnreadableResults = "report", downloads: Downloads = "keep"
) -> SqlRows:
    """Open the tasks of batch searches, and of batch downloads where these are to be renamed."""
    return open_batch_searches(database.get_client(), database.location, unreadable, downloads)


def make_judge(
    store: SqlRows,
    orphans: Orphans = "keep",
    unreadable: UnreadableResults = "report",
    downloads: Downloads = "keep",
) -> OldResult:
    """Judge by the result and its batch search, knowing whether Datashare did it already."""
    return OldResult(orphans, [own_change_set(store.talk)], unreadable=unreadable, downloads=downloads)


@flow(name="batch-search-migrate", flow_run_name=name_after_mode)
def batch_search_migrate(
    database: Database,
    orphans: OfOrphans = "keep",
    unreadable: OfUnreadable = "report",
    downloads: OfDownloads = "keep",
    dry_run: DryRun = True,
    approve: Approve = False,
    max_fraction: MaxFraction = 1.0,
    max_changes: MaxChanges = None,
    plans: Plans = None,
) -> Report:
    """Rewrite batch search results in SQL to the form of Datashare 20.2.1 and later."""
    store = open_store(database, unreadable, downloads)
    check_schema(store.talk)
    judge = make_judge(store, orphans, unreadable, downloads)
    plan = make_plan(store, judge, plans)
    objections = guard(plan, judge, max_fraction=max_fraction, max_changes=max_changes, dry_run=dry_run)
    if dry_run:
        return report(plan, objections=objections)
    if approve:
        ask_approval(plan)
    return report(plan, apply_plan(plan, store, judge))

"""Put back what a run changed, where it has not changed since."""

from __future__ import annotations

from prefect import flow

from flows.apply import Preview, StoreOfPlan
from flows.jobs import given_for, store_of
from tasks.changes.apply import undo_plan
from tasks.changes.guard import check_undoable, guard
from tasks.changes.naming import name_after_mode
from tasks.changes.options import MaxChanges, MaxFraction, OtherStore, PlanHash, PlanRef, Plans
from tasks.changes.plan import check_store, open_plan
from tasks.changes.preview import preview_plan
from tasks.changes.report import Report, report


@flow(name="undo", flow_run_name=name_after_mode)
def undo(
    plan: PlanRef,
    store: StoreOfPlan,
    hash: PlanHash = None,  # noqa: A002  # it is the option's name
    other_store: OtherStore = False,
    dry_run: Preview = False,
    max_fraction: MaxFraction = 1.0,
    max_changes: MaxChanges = None,
    plans: Plans = None,
) -> Report:
    """Put back what a run changed, where it has not changed since."""
    opened = open_plan(plan, plans, hash, undo=True)
    check_undoable(opened)
    target = store_of(opened.header, given_for(opened.header, store))
    check_store(opened, target)
    objections = guard(opened, max_fraction=max_fraction, max_changes=max_changes, dry_run=dry_run)
    if dry_run:
        return report(opened, preview_plan(opened, target, undo=True, other_store=other_store), objections=objections)
    return report(opened, undo_plan(opened, target, other_store=other_store))

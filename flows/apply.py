"""Carry out a plan that someone has read, exactly that plan."""

from __future__ import annotations

from typing import Annotated

from prefect import flow

from blocks.credentials import Credentials
from flows.jobs import given_for, judge_of, store_of
from tasks.changes.apply import apply_plan
from tasks.changes.guard import guard
from tasks.changes.naming import name_after_mode
from tasks.changes.options import Described, MaxChanges, MaxFraction, OtherStore, PlanHash, PlanRef, Plans
from tasks.changes.plan import check_store, open_plan
from tasks.changes.preview import preview_plan
from tasks.changes.report import Report, report

StoreOfPlan = Annotated[
    Credentials | str,
    Described("The store that the plan was made for, as its job took it; or the file that its job was run with."),
]
Preview = Annotated[bool, Described("Only tell what would be done, and what has changed since; change nothing.")]


@flow(name="apply", flow_run_name=name_after_mode)
def apply(
    plan: PlanRef,
    store: StoreOfPlan,
    hash: PlanHash = None,  # noqa: A002  # it is the option's name
    other_store: OtherStore = False,
    dry_run: Preview = False,
    max_fraction: MaxFraction = 1.0,
    max_changes: MaxChanges = None,
    plans: Plans = None,
) -> Report:
    """Carry out a plan that someone has read, exactly that plan."""
    opened = open_plan(plan, plans, hash)
    given = given_for(opened.header, store)
    target = store_of(opened.header, given)
    check_store(opened, target)
    judge = judge_of(opened.header, target, given)
    objections = guard(opened, judge, max_fraction=max_fraction, max_changes=max_changes, dry_run=dry_run)
    if dry_run:
        return report(opened, preview_plan(opened, target, judge, other_store=other_store), objections=objections)
    return report(opened, apply_plan(opened, target, judge, other_store=other_store))

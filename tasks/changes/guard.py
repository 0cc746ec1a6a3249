"""Refusing a plan that looks wrong, before its first change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tasks.changes.errors import PlanRefused
from tasks.changes.next_steps import command
from tasks.changes.plan import Plan
from tasks.changes.protocols import Doubts, Judge
from tasks.changes.report import publish


def objections(plan: Plan, judge: Judge[Any] | None, max_fraction: float, max_changes: int | None) -> Iterator[str]:
    """Say everything that speaks against a plan; one that changes nothing is never too large, but may be doubted."""
    planned, scanned = plan.counts.planned, plan.counts.scanned
    if max_changes is not None and planned > max_changes:
        yield f"The plan has {planned:,} changes, more than the {max_changes:,} allowed (--max-changes)."
    if planned and planned / scanned > max_fraction:
        yield (
            f"The plan changes {planned:,} of {scanned:,} records ({planned / scanned:.0%}), "
            f"more than the {max_fraction:.0%} allowed (--max-fraction)."
        )
    if isinstance(judge, Doubts) and (doubt := judge.doubt(plan.counts)):
        yield doubt


def guard(
    plan: Plan, judge: Judge[Any] | None = None, *, max_fraction: float = 1.0, max_changes: int | None = None
) -> None:
    """Let the plan pass, or raise PlanRefused with every reason; nothing has changed then."""
    reasons = list(objections(plan, judge, max_fraction, max_changes))
    if reasons:
        message = f"{' '.join(reasons)} Nothing has changed. Read the plan: {command('plan show', plan.name)}"
        refusal = PlanRefused(message)
        refusal.report = publish(plan, stage="refused")
        raise refusal


def check_undoable(plan: Plan) -> None:
    """Raise PlanRefused where the store cannot give back what the plan takes."""
    if not plan.header.undoable:
        message = (
            f"{plan.name} cannot be undone: {plan.header.store} cannot give back what was deleted. Nothing was done."
        )
        raise PlanRefused(message)

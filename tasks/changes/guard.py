"""Refusing a plan that looks wrong, before its first change.

`max_fraction` is a part of the population: of all records that the run could have removed or changed, which are those
planned, kept and not understood, and never those that are none of its business. Where the judge has groups, it is also
a part of each group of which the plan changes at least `GROUP_LEAST` records; fewer may well be all of a small group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tasks.changes.errors import PlanRefused
from tasks.changes.next_steps import command
from tasks.changes.plan import Plan
from tasks.changes.plan_file import Counts, Group
from tasks.changes.protocols import Doubts, Judge
from tasks.changes.report import publish
from tasks.changes.texts import clipped, printable

GROUP_LEAST: Final = 20
GROUPS_NAMED: Final = 3


def objections(plan: Plan, judge: Judge[Any] | None, max_fraction: float, max_changes: int | None) -> Iterator[str]:
    """Return everything that speaks against a plan; one that changes nothing is never too large, but may be doubted."""
    yield from _beyond_limits(plan.counts, max_fraction, max_changes)
    yield from _doubts(plan.counts, judge)


def _beyond_limits(counts: Counts, max_fraction: float, max_changes: int | None) -> Iterator[str]:
    if max_changes is not None and counts.planned > max_changes:
        yield f"The plan has {counts.planned:,} changes, more than the {max_changes:,} allowed (--max-changes)."
    whole = Group(planned=counts.planned, population=counts.population)
    if _exceeds(whole, max_fraction):
        yield _too_much(whole, "", max_fraction)
    yield from _groups_exceeding(counts, whole, max_fraction)


def _doubts(counts: Counts, judge: Judge[Any] | None) -> Iterator[str]:
    if isinstance(judge, Doubts) and (doubt := judge.doubt(counts)):
        yield doubt


def _exceeds(group: Group, max_fraction: float) -> bool:
    return group.planned > 0 and group.planned / group.population > max_fraction


def _groups_exceeding(counts: Counts, whole: Group, max_fraction: float) -> Iterator[str]:
    """Return an objection for each of the first groups of which too much would change, and the number of the others."""
    large = {name: group for name, group in counts.groups.items() if group.planned >= GROUP_LEAST and group != whole}
    found = [(name, group) for name, group in large.items() if _exceeds(group, max_fraction)]
    found.sort(key=lambda named: -named[1].planned)
    for name, group in found[:GROUPS_NAMED]:
        yield _too_much(group, f" of the {counts.grouped_by} {printable(clipped(name))}", max_fraction)
    if more := len(found[GROUPS_NAMED:]):
        yield f"So it is with {more:,} more of the groups."


def _too_much(group: Group, of: str, max_fraction: float) -> str:
    share = f"{group.planned:,} of {group.population:,} records{of} ({group.planned / group.population:.0%})"
    return f"The plan changes {share}, more than the {max_fraction:.0%} allowed (--max-fraction)."


def guard(
    plan: Plan,
    judge: Judge[Any] | None = None,
    *,
    max_fraction: float = 1.0,
    max_changes: int | None = None,
    dry_run: bool = False,
) -> Sequence[str]:
    """Raise PlanRefused with everything that speaks against a plan; nothing has changed then.

    A dry run is not refused: it gets the reasons for which its plan would be.
    """
    reasons = list(objections(plan, judge, max_fraction, max_changes))
    if reasons and not dry_run:
        message = f"{' '.join(reasons)} Nothing has changed. Read the plan: {command('plan show', plan.name)}"
        refusal = PlanRefused(message)
        doubted = any(_doubts(plan.counts, judge))
        refusal.report = publish(plan, stage="refused", objections=reasons, doubted=doubted)
        raise refusal
    return reasons


def check_undoable(plan: Plan) -> None:
    """Raise PlanRefused where the store cannot give back what the plan takes."""
    if not plan.header.undoable:
        message = f"{plan.name} cannot be undone: {plan.header.store} cannot give back what was deleted."
        raise PlanRefused(message)

"""A guard refuses what looks wrong, and says what, how many, and what to do next."""

from pathlib import Path
from typing import Any

import pytest

from tasks.changes.errors import PlanRefused
from tasks.changes.guard import check_undoable, guard, objections
from tasks.changes.plan import Plan
from tasks.changes.plan_file import Counts, Header


def plan_of(planned: int, scanned: int, *, undoable: bool = True) -> Plan:
    header = Header(job="toy", version="1", store="toy://", undoable=undoable, parameters={}, created="2025-01-01")
    return Plan(Path("toy.plan.zst"), "toy.plan.zst", header, Counts(planned=planned, scanned=scanned), "hash")


class Doubtful:
    """A judge that doubts everything."""

    def doubt(self, counts: Counts) -> str:
        return f"Only {counts.scanned} records?"


def said(plan: Plan, judge: Any = None, max_fraction: float = 1.0, max_changes: int | None = None) -> str:
    return " ".join(objections(plan, judge, max_fraction, max_changes))


@pytest.mark.parametrize(
    ("planned", "scanned", "fraction"),
    [(5, 10, 0.5), (1, 3, 0.5), (10, 10, 1.0), (3, 30, 0.1)],
)
def test_up_to_the_fraction_it_passes(planned: int, scanned: int, fraction: float) -> None:
    assert not said(plan_of(planned, scanned), max_fraction=fraction)


def test_every_percentage_means_what_it_says() -> None:
    percentages = range(1, 101)
    assert not [one for one in percentages if said(plan_of(one, 100), max_fraction=one / 100)]
    assert all(said(plan_of(one, 100), max_fraction=one / 100 - 0.001) for one in percentages)


def test_above_the_fraction_it_says_what_and_how_many() -> None:
    objection = said(plan_of(6_001, 10_000), max_fraction=0.5)
    assert "6,001 of 10,000 records (60%), more than the 50% allowed (--max-fraction)" in objection


def test_no_change_at_all_may_be_asked_for() -> None:
    assert said(plan_of(1, 10), max_fraction=0)


@pytest.mark.parametrize(("planned", "refused"), [(99, False), (100, False), (101, True)])
def test_max_changes(planned: int, refused: bool) -> None:
    objection = said(plan_of(planned, 1000), max_changes=100)
    assert bool(objection) == refused
    assert not refused or "101 changes, more than the 100 allowed (--max-changes)" in objection


def test_a_judge_may_doubt() -> None:
    assert said(plan_of(1, 10), Doubtful()) == "Only 10 records?"


@pytest.mark.parametrize("scanned", [0, 10])
def test_an_empty_plan_is_never_too_large_but_may_be_doubted(scanned: int) -> None:
    guard(plan_of(0, scanned), max_fraction=0, max_changes=0)
    assert said(plan_of(0, scanned), Doubtful()) == f"Only {scanned} records?"


def test_a_refusal_gives_every_reason_and_the_next_step_and_carries_the_report() -> None:
    with pytest.raises(PlanRefused) as refused:
        guard(plan_of(9, 10), Doubtful(), max_fraction=0.5, max_changes=8)  # type: ignore[arg-type]
    message = str(refused.value)
    for part in ("--max-changes", "--max-fraction", "Only 10", "Nothing has changed", "steward plan show toy.plan.zst"):
        assert part in message
    assert refused.value.report
    assert (refused.value.report.planned, refused.value.report.applied) == (9, 0)


def test_what_cannot_be_undone_is_said_before_it_is_tried() -> None:
    check_undoable(plan_of(1, 1))
    with pytest.raises(PlanRefused, match="cannot be undone"):
        check_undoable(plan_of(1, 1, undoable=False))

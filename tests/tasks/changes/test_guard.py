"""A guard refuses what looks wrong, and says what, how many, and what to do next."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.changes.errors import PlanRefused
from tasks.changes.guard import GROUP_LEAST, check_undoable, guard, objections
from tasks.changes.plan import Plan
from tasks.changes.plan_file import Counts, Group, Header


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


def with_counts(**given: Any) -> Plan:
    plan = plan_of(0, 0)
    return replace(plan, counts=Counts(**given))


def test_n19_what_is_ignored_is_no_part_of_the_population() -> None:
    plan = with_counts(planned=999, scanned=10_000, kept={"there": 1}, ignored={"not mine": 9_000})
    assert "999 of 1,000 records (100%), more than the 50% allowed" in said(plan, max_fraction=0.5)


def test_n19_problems_are_a_part_of_the_population() -> None:
    plan = with_counts(planned=5, scanned=20, kept={"there": 3}, problem_count=2, ignored={"not mine": 10})
    assert not said(plan, max_fraction=0.5)


def test_n19_a_plan_of_an_older_steward_is_guarded_by_what_it_scanned() -> None:
    assert "6 of 10 records" in said(with_counts(planned=6, scanned=10, kept={"a": 4}), max_fraction=0.5)


def test_n19_a_group_of_which_too_much_changes_is_named() -> None:
    groups = {"lab": Group(planned=40, population=50), "other": Group(planned=1, population=950)}
    plan = with_counts(planned=41, scanned=1000, kept={"there": 959}, grouped_by="owner", groups=groups)
    objection = said(plan, max_fraction=0.5)
    assert objection == (
        "The plan changes 40 of 50 records of the owner lab (80%), more than the 50% allowed (--max-fraction)."
    )
    assert not said(plan, max_fraction=0.8)


@pytest.mark.parametrize(("planned", "refused"), [(GROUP_LEAST - 1, False), (GROUP_LEAST, True)])
def test_n19_of_a_small_group_all_may_change(planned: int, refused: bool) -> None:
    groups = {"lab": Group(planned=planned, population=planned)}
    plan = with_counts(planned=planned, scanned=1000, kept={"there": 1000 - planned}, grouped_by="owner", groups=groups)
    assert bool(said(plan, max_fraction=0.5)) == refused


def test_n19_one_group_that_is_all_is_not_named_beside_the_whole() -> None:
    groups = {"lab": Group(planned=40, population=50)}
    plan = with_counts(planned=40, scanned=60, kept={"x": 10}, ignored={"y": 10}, grouped_by="owner", groups=groups)
    assert said(plan, max_fraction=0.5).count("The plan changes") == 1


def test_n19_of_many_groups_the_largest_are_named() -> None:
    groups = {f"s{n}": Group(planned=20 + n, population=20 + n) for n in range(30)}
    plan = with_counts(planned=1035, scanned=9000, kept={"x": 7965}, grouped_by="owner", groups=groups)
    objection = said(plan, max_fraction=0.5)
    assert "owner s29" in objection
    assert "owner s26" not in objection
    assert objection.endswith("So it is with 27 more of the groups.")


def test_a_groups_name_acts_on_no_terminal() -> None:
    groups = {"\x1b[2Jlab": Group(planned=40, population=50)}
    plan = with_counts(planned=40, scanned=900, kept={"there": 860}, grouped_by="folder", groups=groups)
    assert said(plan, max_fraction=0.5).isprintable()


def test_n20_a_dry_run_gets_the_reasons_and_is_not_refused() -> None:
    reasons = guard(plan_of(9, 10), Doubtful(), max_fraction=0.5, max_changes=8, dry_run=True)  # type: ignore[arg-type]
    assert len(reasons) == 3
    assert not guard(plan_of(1, 10), max_fraction=0.5, dry_run=True)

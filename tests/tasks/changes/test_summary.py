"""What a run's page shows of a plan, at each stage."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from flows.printing import report_lines
from tasks.changes.apply import Tally
from tasks.changes.next_steps import Stage
from tasks.changes.plan import Plan
from tasks.changes.protocols import Ignore, Keep, Remove, Replace
from tasks.changes.report import report_of
from tasks.changes.summary import PATHS, page


@pytest.fixture
def plan(toys: Any) -> Plan:
    """Seven removals and a rewriting of a thousand bytes each, and two that stay."""
    store = toys.Store({f"k{n}": b'{"n":1}'.ljust(1000) for n in range(10)})
    verdicts = {f"k{n}": Remove("gone", f"file {n}") for n in range(7)}
    return toys.plan(store, {"k7": Replace('{"n":2}', "turned"), **verdicts, "k8": Keep("young"), "k9": Keep("young")})


def shown(plan: Plan, stage: Stage, tally: Tally | None = None) -> str:
    report = report_of(plan, tally, "toy", datetime.now(UTC), dry_run=stage == "planned", stage=stage)
    return page(plan, report, "What was done.", "toy://memory")


def test_a_plan_is_named_on_a_line_of_its_own_and_with_the_folder_that_it_is_in(plan: Plan) -> None:
    text = shown(plan, "planned")
    assert text.startswith("**What was done.**\n\nThe plan of **toy** on `toy://memory`:\n\n")
    assert f"\n\n`{plan.path.name}`\n\nkept as `{plan.path}`\n\n" in text
    kept = replace(plan, name="block:remote-file-system/plans/p.plan.zst")
    assert "\n\n`block:remote-file-system/plans/p.plan.zst`\n\n" in shown(kept, "planned")


def test_a_plan_is_shown_with_what_it_would_free_its_reasons_as_bars_and_what_comes_next(plan: Plan) -> None:
    text = shown(plan, "planned")
    assert "| records looked at | 10 |\n| planned changes | 8 |\n| problems | 0 |\n" in text
    assert "| bytes to be freed | 7,993 (8.0 kB) |" in text
    assert f"```\nchange: gone\n{'█' * 24} 7\nchange: turned\n███▍ 1\nkeep: young\n██████▉ 2\n```" in text
    assert f"```\nsteward plan show {plan.name}\nsteward apply {plan.name} toy://memory\n```" in text
    assert "steward undo" not in text


def test_the_first_changes_are_listed_and_the_others_counted(plan: Plan) -> None:
    text = shown(plan, "planned")
    for line in ("- `k0` gone `file 0`\n", "- `k4` gone `file 4`\n", "- … and 3 more\n"):
        assert line in text
    assert "`k5`" not in text


def test_of_a_record_of_many_paths_the_first_are_shown(toys: Any) -> None:
    before, after = (json.dumps({f"{name}{n}": 0 for n in range(9)}) for name in "ab")
    store = toys.Store({"k": before.encode()})
    text = shown(toys.plan(store, {"k": Replace(after, "turned")}), "planned")
    assert text.count("\n  - a") == 9
    assert text.count("\n  + b") == PATHS - 9
    assert "\n  … and 6 more lines\n  ```" in text


def test_while_its_changes_are_made_it_says_how_to_go_on_and_how_to_go_back(plan: Plan) -> None:
    text = shown(plan, "begun")
    assert "If this run ends early, what it did stands. Do the rest, or take it back:" in text
    assert f"```\nsteward apply {plan.name} toy://memory\nsteward undo {plan.name} toy://memory\n```" in text


def test_once_they_are_made_it_says_what_was_done_and_how_to_take_it_back(plan: Plan) -> None:
    text = shown(plan, "done", Tally(applied=6, conflicts=2, freed=6000))
    for part in ("| changes made | 6 |", "| conflicts, left alone | 2 |", "| bytes freed | 6,000 (6.0 kB) |"):
        assert part in text
    assert f"Take it back:\n\n```\nsteward undo {plan.name} toy://memory\n```" in text


def test_it_says_when_there_is_no_way_back(plan: Plan) -> None:
    final = replace(plan, header=plan.header.model_copy(update={"undoable": False}))
    for stage in ("planned", "begun", "done"):
        text = shown(final, stage, Tally(applied=8))
        assert text.endswith("**This cannot be undone.**")
        assert "steward undo" not in text


def test_n20_a_plan_that_would_be_refused_says_so_above_its_numbers(plan: Plan) -> None:
    reasons = ["The plan changes *all*."]
    report = report_of(plan, None, "toy", datetime.now(UTC), dry_run=True, objections=reasons)
    text = page(plan, report, "What was done.", "toy://memory")
    assert "**A live run would be refused.** The plan changes \\*all\\*." in text
    assert text.index("would be refused") < text.index("planned changes")


def test_n8_what_was_not_made_is_on_the_page(plan: Plan) -> None:
    text = shown(plan, "done", Tally(applied=5, conflicts=1, kept=Counter({"came back": 2})))
    assert "| changes made | 5 |\n| conflicts, left alone | 1 |\n| not made: came back | 2 |\n" in text


@pytest.mark.parametrize(("applied", "whole"), [(8, True), (5, False), (1, False)])
def test_a_preview_shows_the_plans_changes_and_reasons_only_where_all_would_be_made(
    plan: Plan, applied: int, whole: bool
) -> None:
    tally = Tally(applied=applied, conflicts=8 - applied)
    report = report_of(plan, tally, "apply", datetime.now(UTC), dry_run=True)
    text = page(plan, report, "What would be done.", "toy://memory")
    assert ("First changes" in text, "change: gone" in text) == (whole, whole)
    printed = "\n".join(report_lines(report, "toy://memory", lambda line, _: line))
    assert ("First changes" in printed, "because: gone" in printed) == (whole, whole)
    assert "more" not in printed or whole
    assert "-" + "3 more" not in text + printed


def test_n19_what_is_ignored_has_its_bar(toys: Any) -> None:
    ignored = toys.plan(toys.Store({"k": b"x"}), {"k": Ignore("not mine")})
    assert "ignore: not mine" in shown(ignored, "planned")

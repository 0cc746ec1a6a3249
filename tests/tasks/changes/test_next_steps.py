"""What comes next after a run is a command that can be typed as it is shown."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.changes.apply import Tally
from tasks.changes.next_steps import Stage, Steps, by_deployment, command, next_steps, short_name
from tasks.changes.plan import Plan
from tasks.changes.plan_file import Counts, Header
from tasks.changes.report import Report, report_of

HEADER = Header(job="toy", version="1", store="toy://", undoable=True, parameters={}, created="2025-06-01T12:00:00Z")
SHOW, APPLY, UNDO = "steward plan show p.zst", "steward apply p.zst toy://", "steward undo p.zst toy://"


def report(stage: Stage, applied: int, *, job: str = "toy", undoable: bool = True, planned: int = 3) -> Report:
    header = HEADER.model_copy(update={"undoable": undoable})
    plan = Plan(Path("p.zst"), "p.zst", header, Counts(scanned=9, planned=planned), "abc")
    return report_of(plan, Tally(applied=applied), job, datetime.now(UTC), dry_run=False, stage=stage)


@pytest.mark.parametrize(
    ("stage", "applied", "commands"),
    [
        ("planned", 0, [SHOW, APPLY]),
        ("refused", 0, [SHOW]),
        ("begun", 0, [APPLY, UNDO]),
        ("stopped", 0, [APPLY, UNDO]),
        ("stopped", 1, [APPLY, UNDO]),
        ("done", 3, [UNDO]),
    ],
)
def test_each_stage_has_its_commands(stage: Stage, applied: int, commands: list[str]) -> None:
    steps = next_steps(report(stage, applied), "toy://")
    assert steps
    assert steps.commands == commands
    assert steps.text.endswith(":")


@pytest.mark.parametrize(("doubted", "commands"), [(False, [SHOW, APPLY]), (True, [SHOW])])
def test_what_a_limit_refused_may_be_carried_out_if_it_is_right(doubted: bool, commands: list[str]) -> None:
    refused = report("refused", 0).model_copy(update={"objections": ["Too many."], "doubted": doubted})
    steps = next_steps(refused, "toy://")
    assert steps
    assert steps.commands == commands


@pytest.mark.parametrize(("stage", "applied"), [("done", 0), ("done", 3)])
def test_nothing_is_taken_back_that_was_not_done_or_cannot_be(stage: Stage, applied: int) -> None:
    assert next_steps(report(stage, applied, undoable=applied == 0)) is None
    assert next_steps(report(stage, applied, planned=0)) is None


def test_no_undo_is_offered_where_there_is_none() -> None:
    steps = next_steps(report("begun", 0, undoable=False), "toy://")
    assert steps
    assert steps.commands == [APPLY]
    assert "back" not in steps.text


def test_an_undo_that_ends_early_goes_on_as_an_undo() -> None:
    for stage in ("begun", "stopped"):
        steps = next_steps(report(stage, 1, job="undo"), "toy://")
        assert steps
        assert steps.commands == [UNDO]
    assert next_steps(report("done", 3, job="undo")) is None


def test_a_plan_in_the_usual_place_goes_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEWARD_PLANS", str(tmp_path))
    assert short_name(f"{tmp_path}/p.plan.zst") == "p.plan.zst"
    for elsewhere in (f"{tmp_path}/sub/p.plan.zst", "block:remote-file-system/plans/p.plan.zst"):
        assert short_name(elsewhere) == elsewhere


def test_what_a_shell_would_act_on_is_quoted() -> None:
    assert command("apply", "/a b/p.zst", "s3://h/b?region=x y") == "steward apply '/a b/p.zst' 's3://h/b?region=x y'"


def test_what_comes_next_on_a_worker_needs_no_login() -> None:
    steps = Steps("Do the rest, or take it back:", ["steward apply p.plan.zst URL", "steward undo p.plan.zst URL"])
    assert by_deployment(steps, "p.plan.zst") == [
        "prefect deployment run apply/on-demand \\",
        "  --param plan=p.plan.zst",
        "prefect deployment run undo/on-demand \\",
        "  --param plan=p.plan.zst",
    ]
    assert by_deployment(Steps("Read the plan:", ["steward plan show p.plan.zst"]), "p.plan.zst") == []

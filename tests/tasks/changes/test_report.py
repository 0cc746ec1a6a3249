"""A report says in numbers what a run did."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.changes.apply import Tally
from tasks.changes.errors import RecordsUnhandled
from tasks.changes.plan import Plan
from tasks.changes.plan_file import Counts, Header
from tasks.changes.report import Report, difference, headline, report, report_of, rows, seconds

STARTED = datetime(2025, 6, 1, 12, tzinfo=UTC)
HEADER = Header(job="toy", version="1", store="toy://", undoable=True, parameters={}, created=STARTED.isoformat())
PROBLEMS = [{"record": f"k{n}", "reason": "odd"} for n in range(12)]
COUNTS = Counts(scanned=2000, planned=1500, frees=9, because={"gone": 1500}, kept={"fine": 488}, problem_count=12)
PLAN = Plan(Path("p"), "toy.plan.zst", HEADER, COUNTS.model_copy(update={"problems": PROBLEMS}), "abc")
SOUND = Plan(Path("p"), "toy.plan.zst", HEADER, Counts(scanned=2000, planned=1500, kept={"fine": 500}), "abc")
TALLY = Tally(applied=1490, conflicts=7, freed=8, kept=Counter({"came back": 2, "fine": 1}))


def of(plan: Plan, tally: Tally | None) -> Report:
    return report_of(plan, tally, "toy", STARTED, dry_run=tally is None)


def test_its_keys_are_a_contract() -> None:
    expected = (
        "job dry_run scanned planned applied conflicts kept ignored problem_count problems bytes_freed "
        "plan plan_hash started finished"
    )
    assert list(of(PLAN, None).model_dump()) == expected.split()


def test_a_plan_alone_is_a_dry_run() -> None:
    dry = of(PLAN, None)
    assert (dry.dry_run, dry.scanned, dry.planned, dry.applied, dry.conflicts, dry.bytes_freed) == (
        True, 2000, 1500, 0, 0, 0,
    )  # fmt: skip
    assert headline(dry) == "Dry run: 1,500 of 2,000 records would change; nothing was changed."


def test_what_was_applied_is_counted_and_kept_reasons_are_added_up() -> None:
    live = of(PLAN, TALLY)
    assert (live.dry_run, live.applied, live.conflicts, live.bytes_freed) == (False, 1490, 7, 8)
    assert live.kept == {"fine": 489, "came back": 2}
    assert PLAN.counts.kept == {"fine": 488}
    assert headline(live) == "1,490 of 1,500 planned changes made, 7 conflicts."


def test_it_says_where_the_plan_is_and_how_long_it_took() -> None:
    live = of(PLAN, TALLY)
    assert (live.job, live.plan, live.plan_hash) == ("toy", "toy.plan.zst", "abc")
    assert live.started == "2025-06-01T12:00:00.000+00:00"
    later = live.model_copy(update={"finished": (STARTED + timedelta(minutes=2)).isoformat()})
    assert seconds(later) == 120


def test_an_undo_reports_what_it_took_back_and_nothing_of_the_scan() -> None:
    undone = report_of(PLAN, Tally(applied=1490, conflicts=10, freed=-8), "undo", STARTED, dry_run=False)
    assert (undone.job, undone.scanned, undone.planned, undone.bytes_freed) == ("undo", 1500, 1500, -8)
    assert (undone.kept, undone.problem_count, undone.problems) == ({}, 0, [])
    assert headline(undone) == "1,490 of 1,500 changes taken back, 10 conflicts."


def test_its_rows_hold_every_number_and_the_first_problems() -> None:
    shown = rows(of(PLAN, TALLY))
    for row in [
        ("scanned", "2,000"), ("planned", "1,500"), ("  because: gone", "1,500"), ("applied", "1,490"),
        ("conflicts (changed since planned, left alone)", "7"), ("kept: came back", "2"), ("kept: fine", "489"),
        ("problems", "12"), ("  k9", "odd"), ("bytes freed", "8"), ("plan", "toy.plan.zst"),
    ]:  # fmt: skip
        assert row in shown
    assert ("  k10", "odd") not in shown


def test_outside_a_run_the_report_is_only_returned() -> None:
    returned = report(SOUND, TALLY)
    assert (returned.job, returned.started, returned.problem_count) == ("toy", "2025-06-01T12:00:00.000+00:00", 0)


@pytest.mark.parametrize("tally", [None, TALLY])
def test_c12_records_that_could_not_be_handled_fail_the_run_after_the_rest_is_done(tally: Tally | None) -> None:
    with pytest.raises(RecordsUnhandled, match=r"12 of 2,000 records .* the first is k0: odd") as unhandled:
        report(PLAN, tally)
    assert unhandled.value.report
    assert unhandled.value.report.applied == (1490 if tally else 0)


def test_a13_what_the_store_refused_is_reported_after_what_the_judge_did_not_understand() -> None:
    refused = Tally(applied=1, problem_count=200, problems=[{"record": f"r{n}", "reason": "held"} for n in range(100)])
    live = of(PLAN, refused)
    assert (live.problem_count, len(live.problems)) == (212, 100)
    assert (live.problems[11], live.problems[12]["record"]) == (PROBLEMS[11], "r0")


def test_remarks_are_for_people_and_no_part_of_the_contract() -> None:
    remarked = Plan(Path("p"), "p", HEADER, Counts(remarks=["a versioned bucket"]), "abc")
    assert rows(of(remarked, None))[-1] == ("remark", "a versioned bucket")
    assert "remarks" not in of(remarked, None).model_dump_json()


@pytest.mark.parametrize(
    ("frees", "row"),
    [
        (999, ("bytes that would be freed", "999")),
        (75_370, ("bytes that would be freed", "75,370 (75.4 kB)")),
        (-2_000_000, ("bytes that would be added", "2,000,000 (2.0 MB)")),
    ],
)
def test_a_dry_run_says_what_would_be_freed_and_nothing_of_what_was_done(frees: int, row: tuple[str, str]) -> None:
    sized = replace(PLAN, counts=COUNTS.model_copy(update={"frees": frees}))
    dry = rows(of(sized, None))
    assert row in dry
    assert not {"applied", "bytes freed", "conflicts (changed since planned, left alone)"} & dict(dry).keys()
    assert of(sized, None).bytes_freed == 0


def test_a_run_says_in_human_units_too_what_it_freed() -> None:
    assert ("bytes freed", "1,234,567 (1.2 MB)") in rows(of(PLAN, replace(TALLY, freed=1_234_567)))
    assert ("bytes added", "42,468 (42.5 kB)") in rows(of(PLAN, replace(TALLY, freed=-42_468)))


def test_what_records_hold_is_escaped_in_its_rows() -> None:
    odd = Counts(because={"a\x1b[2Jb": 1}, problem_count=1, problems=[{"record": "k\n", "reason": "\u202eodd"}])
    shown = rows(of(replace(PLAN, counts=odd), None))
    assert ("  because: a\\x1b[2Jb", "1") in shown
    assert ("  k\\n", "\\u202eodd") in shown


@pytest.mark.parametrize(("tally", "stage"), [(None, "planned"), (Tally(applied=1499), "stopped"), (TALLY, "done")])
def test_its_stage_is_how_far_the_run_came(tally: Tally | None, stage: str) -> None:
    assert of(PLAN, tally).stage == stage
    assert "stage" not in of(PLAN, tally).model_dump()


def test_what_a_record_holds_stays_one_short_line_in_the_failure_of_its_run() -> None:
    odd = Counts(
        scanned=1, problem_count=1, problems=[{"record": "k", "reason": "\x1b[41m\n2026 | INFO | forged" * 50}]
    )
    with pytest.raises(RecordsUnhandled) as unhandled:
        report(replace(PLAN, counts=odd))
    assert str(unhandled.value).isprintable()
    assert len(str(unhandled.value)) < 1000


REFUSED = "The plan changes all."


def test_n20_a_dry_run_says_what_would_be_refused_outside_of_its_contract() -> None:
    dry = report_of(PLAN, None, "toy", STARTED, dry_run=True, objections=[REFUSED])
    assert headline(dry).endswith("nothing was changed. A live run would be refused.")
    assert ("would be refused", REFUSED) in rows(dry)
    assert REFUSED not in dry.model_dump_json()


def test_b6_a_refused_run_has_words_of_its_own() -> None:
    refused = report_of(PLAN, None, "toy", STARTED, dry_run=False, stage="refused", objections=[REFUSED])
    assert ("refused", REFUSED) in rows(refused)
    assert headline(refused) == "Refused: 1,500 of 2,000 records would have changed; nothing was changed."
    labels = {what for what, _ in rows(refused)}
    assert "applied" not in labels
    assert "bytes that would be freed" in labels


def test_b6_of_a_run_that_only_planned_it_is_not_said_that_changes_were_made() -> None:
    planned = report_of(PLAN, None, "toy", STARTED, dry_run=False)
    assert headline(planned) == "Planned: 1,500 of 2,000 records would change; nothing was changed."


def test_b6_a_dry_run_with_problems_does_not_say_that_the_rest_was_done() -> None:
    with pytest.raises(RecordsUnhandled, match=r"12 of 2,000 records could not be judged; the first is k0: odd\."):
        report(PLAN)


@pytest.mark.parametrize("handled", [1500, 1400])
def test_n8_where_fewer_were_applied_than_planned_the_reasons_add_up(handled: int) -> None:
    tally = Tally(applied=handled - 15, conflicts=7, kept=Counter({"came back": 5, "fine": 1}), problem_count=2)
    live = of(SOUND, tally)
    assert live.applied + sum(live.unmade.values()) == live.planned
    assert ("planned, not applied", difference(live)) in rows(live)
    assert difference(live).startswith(f"{15 + 1500 - handled}: 7 conflicts, 5 came back, 1 fine, 2 problems")


def test_n8_where_all_were_applied_there_is_nothing_to_say() -> None:
    live = of(SOUND, Tally(applied=1500))
    assert not live.unmade
    assert "planned, not applied" not in dict(rows(live))

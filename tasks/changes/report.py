"""What a run did: the flow's return value, what its page shows, one event, the command's summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prefect import get_run_logger
from prefect.artifacts import create_table_artifact
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, Field

from tasks.changes.errors import RecordsUnhandled
from tasks.changes.markdown import plain
from tasks.changes.next_steps import Stage, next_steps
from tasks.changes.plan import Plan
from tasks.changes.plan_file import PROBLEMS_KEPT, Counts
from tasks.changes.protocols import Outcome
from tasks.changes.run_page import show_on_page, store_of_run
from tasks.changes.summary import page
from tasks.changes.texts import clipped, printable, sized

if TYPE_CHECKING:
    from tasks.changes.apply import Tally


NOT_TRIED: Final = "not tried, or no answer"


class Report(BaseModel):
    """What a run did, in numbers of records; `bytes_freed` in bytes, times in ISO 8601."""

    model_config = ConfigDict(frozen=True)

    job: str
    dry_run: bool
    scanned: int
    planned: int
    applied: int
    conflicts: int
    kept: dict[str, int]
    ignored: dict[str, int]
    problem_count: int
    problems: list[dict[str, str]]
    bytes_freed: int
    plan: str
    plan_hash: str
    started: str
    finished: str
    # What follows is for people, and no part of the contract.
    remarks: list[str] = Field(default=[], exclude=True)
    because: dict[str, int] = Field(default={}, exclude=True)
    frees: int = Field(default=0, exclude=True)
    """The bytes that the whole plan frees."""
    undoable: bool = Field(default=True, exclude=True)
    examples: list[str] = Field(default=[], exclude=True)
    """The plan's first changes, where all of it was, or would be, carried out or taken back."""
    objections: list[str] = Field(default=[], exclude=True)
    """Why a guard refuses the plan, or would refuse that of a dry run."""
    doubted: bool = Field(default=False, exclude=True)
    """Whether a judge is among those who refuse it: no larger limit helps against that."""
    unmade: dict[str, int] = Field(default={}, exclude=True)
    """What became of the planned changes that were not made, in numbers that add up."""
    stage: Stage = Field(default="done", exclude=True)


def report_of(
    plan: Plan,
    tally: Tally | None,
    job: str,
    started: datetime,
    *,
    dry_run: bool,
    stage: Stage | None = None,
    objections: Sequence[str] = (),
    doubted: bool = False,
) -> Report:
    """Write the report of a run that made or took a plan, and applied it if there is a tally.

    A run that took a plan scanned nothing but the plan's actions. Its stage is told by the tally where none is given.
    The tally of a dry run is a preview: what it says was applied would be.
    """
    counts = plan.counts
    if job != plan.header.job:
        counts = Counts(scanned=counts.planned, planned=counts.planned)
    foreseen = tally if dry_run else None
    whole = foreseen is None or foreseen.applied == plan.counts.planned  # else the plan's own numbers do not fit
    kept = Counter(counts.kept) + (tally.kept if tally else Counter())
    problems = [*counts.problems, *(tally.problems if tally else [])]
    return Report(
        job=job,
        dry_run=dry_run,
        scanned=counts.scanned,
        planned=foreseen.applied if foreseen else counts.planned,
        applied=tally.applied if tally and not foreseen else 0,
        conflicts=tally.conflicts if tally else 0,
        kept=dict(kept),
        ignored=counts.ignored,
        problem_count=counts.problem_count + (tally.problem_count if tally else 0),
        problems=problems[:PROBLEMS_KEPT],
        bytes_freed=tally.freed if tally and not foreseen else 0,
        plan=plan.name,
        plan_hash=plan.hash,
        started=started.isoformat(timespec="milliseconds"),
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        remarks=[*counts.remarks, *(tally.remarks if tally else [])],
        because=plan.counts.because if whole else {},
        frees=foreseen.freed if foreseen else -plan.counts.frees if job == "undo" else plan.counts.frees,
        undoable=plan.header.undoable,
        examples=[str(example) for example in plan.examples] if whole else [],
        objections=list(objections),
        doubted=doubted,
        unmade=unmade(plan, tally) if tally else {},
        stage=stage or ("planned" if foreseen else stage_of(plan, tally)),
    )


def stage_of(plan: Plan, tally: Tally | None) -> Stage:
    """Return how far a run is that has reported."""
    if tally is None:
        return "planned"
    return "done" if tally.handled >= plan.counts.planned else "stopped"


def unmade(plan: Plan, tally: Tally) -> dict[str, int]:
    """Return what became of the planned changes that were not made: with those that were, as many as were planned."""
    found = {
        "conflicts": tally.conflicts,
        **tally.kept,
        "problems": tally.problem_count,
        NOT_TRIED: plan.counts.planned - tally.handled,
    }
    return {reason: number for reason, number in found.items() if number}


def nothing_made(report: Report) -> bool:
    """Whether a run ended, or is, before its first change."""
    return report.dry_run or report.stage in ("planned", "refused")


def headline(report: Report) -> str:
    """Return in one line what the run did."""
    if nothing_made(report):
        return _headline_of_plan(report)
    done = "changes taken back" if report.job == "undo" else "planned changes made"
    return f"{report.applied:,} of {report.planned:,} {done}, {report.conflicts:,} conflicts."


def _headline_of_plan(report: Report) -> str:
    if report.dry_run and report.job in ("apply", "undo"):
        would = "changes would be taken back" if report.job == "undo" else "planned changes would be made"
        counts = f"{report.planned:,} of {report.scanned:,} {would}, {report.conflicts:,} conflicts"
        return f"Dry run: {counts}; nothing was changed."
    share = f"{report.planned:,} of {report.scanned:,} records"
    if report.stage == "refused":
        return f"Refused: {share} would have changed; nothing was changed."
    kind = "Dry run" if report.dry_run else "Planned"
    guard = " A live run would be refused." if report.objections else ""
    return f"{kind}: {share} would change; nothing was changed.{guard}"


def rows(report: Report) -> list[tuple[str, str]]:
    """Return the report as rows of two columns, for a table in the UI and on the terminal; all of it is printable."""
    found = [
        ("scanned", f"{report.scanned:,}"),
        ("planned", f"{report.planned:,}"),
        *((f"  because: {reason}", f"{n:,}") for reason, n in report.because.items()),
        *_applied(report),
        *((f"kept: {worded(report, reason)}", f"{n:,}") for reason, n in sorted(report.kept.items())),
        *((f"ignored: {reason}", f"{n:,}") for reason, n in sorted(report.ignored.items())),
        ("problems", f"{report.problem_count:,}"),
        *((f"  {clipped(one['record'])}", clipped(one["reason"])) for one in report.problems[:10]),
        _freed(report),
        ("seconds", f"{seconds(report):.1f}"),
        ("plan", report.plan),
        *(("remark", remark) for remark in report.remarks),
        *(("refused" if report.stage == "refused" else "would be refused", reason) for reason in report.objections),
    ]
    return [(printable(what), printable(value)) for what, value in found]


def _applied(report: Report) -> list[tuple[str, str]]:
    conflicts = ("conflicts (changed since planned, left alone)", f"{report.conflicts:,}")
    if nothing_made(report):
        return [conflicts] if report.conflicts else []
    unmade = [("planned, not applied", difference(report))] if report.unmade else []
    return [("applied", f"{report.applied:,}"), conflicts, *unmade]


def worded(report: Report, reason: str) -> str:
    """Return a reason as a person reads it: what an undo finds as planned is as it was before the run."""
    return "already as before" if report.job == "undo" and reason == Outcome.ALREADY.value else reason


def difference(report: Report) -> str:
    """Return how many of the planned changes were not made, and why: such as `3: 2 conflicts, 1 archive came back`."""
    reasons = ", ".join(f"{number:,} {worded(report, reason)}" for reason, number in report.unmade.items())
    return f"{sum(report.unmade.values()):,}: {reasons}"


def _freed(report: Report) -> tuple[str, str]:
    """Return what a run freed; of one that made no change yet, what its plan would free."""
    size = report.frees if nothing_made(report) else report.bytes_freed
    verb = "that would be " if nothing_made(report) else ""
    return f"bytes {verb}{'added' if size < 0 else 'freed'}", sized(abs(size))


def seconds(report: Report) -> float:
    """Give how long the run took."""
    return (datetime.fromisoformat(report.finished) - datetime.fromisoformat(report.started)).total_seconds()


def report_now(
    plan: Plan,
    tally: Tally | None = None,
    stage: Stage | None = None,
    objections: Sequence[str] = (),
    *,
    doubted: bool = False,
) -> Report:
    """Write the running flow's report, as far as it is."""
    context = FlowRunContext.get()
    started = context.start_time if context else datetime.fromisoformat(plan.header.created)
    job = flow_run.flow_name or plan.header.job
    dry_run = bool(flow_run.parameters.get("dry_run", False))
    return report_of(plan, tally, job, started, dry_run=dry_run, stage=stage, objections=objections, doubted=doubted)


def publish(
    plan: Plan,
    tally: Tally | None = None,
    *,
    stage: Stage | None = None,
    objections: Sequence[str] = (),
    doubted: bool = False,
) -> Report:
    """Write the running flow's report and show it: in the log, on the run's page, and as an event.

    A page that cannot be written, as where the Prefect server is gone, takes nothing from what the run did: it is a
    warning in the log, which has the report as well.
    """
    report = report_now(plan, tally, stage, objections, doubted=doubted)
    if FlowRunContext.get():
        log = get_run_logger()
        log.info("%s Plan: %s", headline(report), report.plan, extra={"reported": report})
        try:
            _show(plan, report)
        except Exception as error:  # noqa: BLE001  # whatever Prefect's client raises
            log.warning("The report is not on the run's page: %s: %s", type(error).__name__, error)
    return report


def _show(plan: Plan, report: Report) -> None:
    show_on_page(report.job, page(plan, report, headline(report), store_of_run()))
    # The plan is in the description: a page shows only the beginning of a table's cell, and ten rows at first.
    table = [{"what": what.strip(), "value": value} for what, value in rows(report) if what != "plan"]
    description = f"{headline(report)} Plan: {plain(Path(report.plan).name)}"
    create_table_artifact(table, key=f"{report.job}-report", description=description)
    emit_event(
        "steward.run.reported",
        resource={"prefect.resource.id": f"steward.job.{report.job}", "prefect.resource.name": report.job},
        payload=report.model_dump(exclude={"problems"}),
    )


def show_plan(plan: Plan, stage: Stage, title: str) -> Report:
    """Show on the running flow's page what it is about to do, until its report takes the place of that."""
    report = report_now(plan, stage=stage)
    if FlowRunContext.get():
        show_on_page(report.job, page(plan, report, title, store_of_run()))
    return report


def announce(plan: Plan) -> None:
    """Name the plan before its first change, in the log and on the run's page, so that a run can be taken up."""
    if not FlowRunContext.get() or not plan.counts.planned:
        return
    begun = show_plan(plan, "begun", f"{plan.counts.planned:,} changes are being made.")
    if steps := next_steps(begun, store_of_run()):
        commands = " or ".join(steps.commands)
        get_run_logger().info("Plan %s. %s %s", plan.name, steps.text, commands, extra={"begun": begun})


def report(plan: Plan, tally: Tally | None = None, *, objections: Sequence[str] = ()) -> Report:
    """Publish the report and return it; `objections` are what a guard has against the plan of a dry run.

    Raises RecordsUnhandled, which carries the report, where some records could not be handled.
    """
    published = publish(plan, tally, objections=objections)
    if objections and FlowRunContext.get():
        get_run_logger().warning("A live run would be refused. %s", " ".join(objections))
    if published.problem_count:
        unhandled = RecordsUnhandled(_about_problems(published))
        unhandled.report = published
        raise unhandled
    return published


def _about_problems(report: Report) -> str:
    first = report.problems[0]
    failed = "could not be judged" if nothing_made(report) else "could not be handled, the rest was"
    return (
        f"{report.problem_count:,} of {report.scanned:,} records {failed}; "
        f"the first is {printable(clipped(first['record']))}: {printable(clipped(first['reason']))}. "
        "See the report for the others."
    )

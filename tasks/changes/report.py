"""What a run did: the flow's return value, a table artifact, one event, the command's summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect.artifacts import create_table_artifact
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, Field

from tasks.changes.errors import RecordsUnhandled
from tasks.changes.plan import Plan
from tasks.changes.plan_file import PROBLEMS_KEPT, Counts

if TYPE_CHECKING:
    from tasks.changes.apply import Tally


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
    problem_count: int
    problems: list[dict[str, str]]
    bytes_freed: int
    plan: str
    plan_hash: str
    started: str
    finished: str
    remarks: list[str] = Field(default=[], exclude=True)
    """What else there is to know, for people."""


def report_of(plan: Plan, tally: Tally | None, job: str, started: datetime, *, dry_run: bool) -> Report:
    """Write the report of a run that made or took a plan, and applied it if there is a tally.

    A run that took a plan scanned nothing but the plan's actions.
    """
    counts = plan.counts
    if job != plan.header.job:
        counts = Counts(scanned=counts.planned, planned=counts.planned)
    kept = Counter(counts.kept) + (tally.kept if tally else Counter())
    problems = [*counts.problems, *(tally.problems if tally else [])]
    return Report(
        job=job,
        dry_run=dry_run,
        scanned=counts.scanned,
        planned=counts.planned,
        applied=tally.applied if tally else 0,
        conflicts=tally.conflicts if tally else 0,
        kept=dict(kept),
        problem_count=counts.problem_count + (tally.problem_count if tally else 0),
        problems=problems[:PROBLEMS_KEPT],
        bytes_freed=tally.freed if tally else 0,
        plan=plan.name,
        plan_hash=plan.hash,
        started=started.isoformat(timespec="milliseconds"),
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        remarks=counts.remarks,
    )


def headline(report: Report) -> str:
    """Say in one line what the run did."""
    if report.dry_run:
        return f"Dry run: {report.planned:,} of {report.scanned:,} records would change; nothing was changed."
    done = "changes taken back" if report.job == "undo" else "planned changes made"
    return f"{report.applied:,} of {report.planned:,} {done}, {report.conflicts:,} conflicts."


def rows(report: Report, because: Mapping[str, int] | None = None) -> list[tuple[str, str]]:
    """Give the report as rows of two columns, for a table in the UI and on the terminal."""
    return [
        ("scanned", f"{report.scanned:,}"),
        ("planned", f"{report.planned:,}"),
        *((f"  because: {reason}", f"{n:,}") for reason, n in (because or {}).items()),
        ("applied", f"{report.applied:,}"),
        ("conflicts (changed since planned, left alone)", f"{report.conflicts:,}"),
        *((f"kept: {reason}", f"{n:,}") for reason, n in sorted(report.kept.items())),
        ("problems", f"{report.problem_count:,}"),
        *((f"  {problem['record']}", problem["reason"]) for problem in report.problems[:10]),
        ("bytes freed", f"{report.bytes_freed:,}"),
        ("seconds", f"{seconds(report):.1f}"),
        ("plan", report.plan),
        *(("remark", remark) for remark in report.remarks),
    ]


def seconds(report: Report) -> float:
    """Give how long the run took."""
    return (datetime.fromisoformat(report.finished) - datetime.fromisoformat(report.started)).total_seconds()


def publish(plan: Plan, tally: Tally | None = None) -> Report:
    """Write the running flow's report and show it: a table artifact and an event."""
    context = FlowRunContext.get()
    started = context.start_time if context else datetime.fromisoformat(plan.header.created)
    job = flow_run.flow_name or plan.header.job
    dry_run = bool(flow_run.parameters.get("dry_run", False))
    report = report_of(plan, tally, job, started, dry_run=dry_run)
    if context:
        table = [{"what": what.strip(), "value": value} for what, value in rows(report, plan.counts.because)]
        create_table_artifact(table, key=f"{job}-report", description=headline(report))
        emit_event(
            "steward.run.reported",
            resource={"prefect.resource.id": f"steward.job.{job}", "prefect.resource.name": job},
            payload=report.model_dump(exclude={"problems"}),
        )
    return report


def report(plan: Plan, tally: Tally | None = None) -> Report:
    """Publish the report and return it.

    Raises RecordsUnhandled, which carries the report, where some records could not be handled.
    """
    published = publish(plan, tally)
    if published.problem_count:
        first = published.problems[0]
        message = (
            f"{published.problem_count:,} of {published.scanned:,} records could not be handled, the rest was; "
            f"the first is {first['record']}: {first['reason']}. See the report for the others."
        )
        unhandled = RecordsUnhandled(message)
        unhandled.report = published
        raise unhandled
    return published

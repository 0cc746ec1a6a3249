"""Asking a person: the run pauses in the UI with the plan's summary, and goes on only for that plan."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from prefect import get_run_logger
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from tasks.changes.errors import PlanRefused, StewardError
from tasks.changes.markdown import code, plain
from tasks.changes.next_steps import command
from tasks.changes.plan import Plan
from tasks.changes.report import publish, show_plan
from tasks.changes.summary import first_changes, named
from tasks.changes.texts import freeing

WAIT: Final = timedelta(hours=24)
# The switch is below what is seen at first, and the button beside it says Resume.
HOW: Final = (
    "To carry it out, turn on **Approve** at the end, leave the hash as it is, and go on. Without it, it is denied."
)


class Approval(RunInput):
    """Approve a plan."""

    approve: bool = Field(default=False, description="Carry out exactly this plan.")
    plan_hash: str = Field(description="The plan this answer is for; leave it as it is.")


def summary(plan: Plan) -> str:
    """Describe a plan to the person who is asked, as Markdown."""
    counts = plan.counts
    lines = [
        f"**{plain(plan.header.job)}** on {code(plan.header.store)}",
        *named(plan.name),
        HOW,
        f"{counts.planned:,} of {counts.scanned:,} records would change, {freeing(counts.frees)}.",
        *(f"- change: {plain(reason)}: {n:,}" for reason, n in counts.because.items()),
        *(f"- keep: {plain(reason)}: {n:,}" for reason, n in counts.kept.items()),
        *(f"- ignore: {plain(reason)}: {n:,}" for reason, n in counts.ignored.items()),
        f"- problems: {counts.problem_count:,}",
        *(f"- {plain(remark)}" for remark in counts.remarks),
        *first_changes(plan),
        f"All of it: {code(command('plan show', plan.name))}",
        "" if plan.header.undoable else "**This cannot be undone.**",
    ]
    return "\n\n".join(line for line in lines if line)


def ask_approval(plan: Plan, wait: timedelta = WAIT) -> None:
    """Pause the running flow until somebody approves this very plan.

    Raises PlanRefused where it was denied, not answered in time, or answered for another plan.
    """
    if not plan.counts.planned:
        return
    begun = show_plan(plan, "planned", "This plan waits for somebody's approval.")
    get_run_logger().info("Plan %s waits for somebody's approval.", plan.name, extra={"begun": begun})
    question = Approval.with_initial_data(description=summary(plan), plan_hash=plan.hash)
    try:
        answer = pause_flow_run(wait_for_input=question, timeout=int(wait.total_seconds()))
    except FlowPauseTimeout as error:
        raise _refused(plan, f"Nobody approved the plan within {wait}.") from error
    if not answer.approve:
        raise _refused(plan, "The plan was denied.")
    if answer.plan_hash != plan.hash:
        raise _refused(plan, "The approval was for another plan.")


def _refused(plan: Plan, reason: str) -> StewardError:
    refusal = PlanRefused(f"{reason} Nothing has changed. Carry it out later: {command('apply', plan.name, 'STORE')}")
    refusal.report = publish(plan, stage="refused")
    return refusal

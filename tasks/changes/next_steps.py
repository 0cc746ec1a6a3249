"""What comes next after a run: the commands that an operator types to read a plan, carry it out, or take it back."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from tasks.changes.plan_store import default_folder

if TYPE_CHECKING:
    from tasks.changes.report import Report

Stage = Literal["planned", "refused", "begun", "stopped", "done"]
"""How far a run is: its plan is made, or refused by a guard; its changes have begun, stopped half-way, or are made."""

IF_RIGHT: Final = "Read the plan, and only if it is right, carry it out, exactly as it is:"


class Steps(NamedTuple):
    """A sentence for people, and the commands that it is about."""

    text: str
    commands: list[str]


def short_name(plan: str) -> str:
    """Return the shortest name that `steward` finds a plan by: in the usual plan store, without its folder."""
    path = Path(plan)
    return path.name if path.parent == default_folder() else plan


def command(action: Literal["plan show", "apply", "undo"], plan: str, *store: str) -> str:
    """Return a command as it is typed."""
    return " ".join(["steward", action, *map(quote, [short_name(plan), *store])])


def by_deployment(steps: Steps, plan: str) -> list[str]:
    """Return the commands that do the same on a worker, with the credentials of the deployments' block.

    In two lines each, for a page does not show the end of a long one.
    """
    actions = [one.split()[1] for one in steps.commands if one.startswith(("steward apply ", "steward undo "))]
    option = f"  --param plan={quote(short_name(plan))}"
    return [line for action in actions for line in (f"prefect deployment run {action}/on-demand \\", option)]


def next_steps(report: Report, store: str = "STORE") -> Steps | None:
    """Return what comes next after a run, if anything does; `store` is what its commands name the store by."""
    show = command("plan show", report.plan)
    finish = command("undo" if report.job == "undo" else "apply", report.plan, store)
    undo = [command("undo", report.plan, store)] if report.undoable and report.job != "undo" else []
    both = [show, finish]
    or_back = ", or take it back:" if undo else ":"
    if not report.planned:
        return None
    match report.stage:
        case "planned":
            return Steps(IF_RIGHT if report.objections else "Read the plan, then carry it out, exactly as it is:", both)
        case "refused":  # `apply` has no limits unless given, but a judge that doubts
            return (
                Steps(IF_RIGHT, both) if report.objections and not report.doubted else Steps("Read the plan:", [show])
            )
        case "begun":
            return Steps(f"If this run ends early, what it did stands. Do the rest{or_back}", [finish, *undo])
        case "stopped":  # also where none is counted: of a batch that broke, some may be done
            return Steps(f"What was done stands. Do the rest{or_back}", [finish, *undo])
        case "done":
            return Steps("Take it back:", undo) if undo and report.applied else None

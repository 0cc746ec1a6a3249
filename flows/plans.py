"""`steward plan`: reading plan files and pruning them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated

from cyclopts import App, Group, Parameter
from pydantic import TypeAdapter, ValidationError

from blocks.errors import said
from flows.jobs import OWN
from flows.printing import signed
from flows.terminal import Paint, paint, write, write_all
from tasks.changes.errors import BadInput
from tasks.changes.options import Duration
from tasks.changes.plan_file import Counts, Header, action_of
from tasks.changes.plan_store import PlanStore
from tasks.changes.protocols import Action
from tasks.changes.reading import shown
from tasks.changes.sealed_file import SealedFile, open_file
from tasks.changes.texts import freeing, json_printable, printable

PLANS = Group(OWN, sort_key=2)
plan_app = App(name="plan", group=PLANS, group_commands="Commands", help="Read and prune plan files.")
Plans = Annotated[str | None, Parameter(help="Where plans are kept: a folder, or block:TYPE/NAME.")]


@plan_app.command
def show(
    plan: Annotated[str, Parameter(help="A plan file, or the name of one in the plan store.")],
    /,
    *,
    json: Annotated[bool, Parameter(help="Print the whole plan as JSON lines.", negative="")] = False,
    limit: Annotated[int, Parameter(help="Print so many of the actions; 0 for all of them.")] = 20,
    plans: Plans = None,
) -> int:
    """Check a plan against its seal and print what it would do."""
    file = open_file(plan, plans)
    write_all(as_json(file) if json else as_text(file, limit))
    return 0


def as_json(file: SealedFile) -> Iterator[str]:
    """Return a plan's lines as they are, but for what acts on a terminal, which JSON can escape."""
    return (json_printable(line.decode().rstrip("\n")) for line in file.lines())


def as_text(file: SealedFile, limit: int) -> Iterator[str]:
    """Describe a plan, and so many of its actions; all of it is printable."""
    painted, planned = paint(), file.counts.planned
    yield "\n".join(map(printable, overview(file.header, file.counts, file.hash)))
    for line in islice(file.lines(), 1, 1 + min(limit or planned, planned)):
        yield "\n".join(lines_for(action_of(line), painted))
    if limit and planned > limit:
        yield f"… and {planned - limit:,} more (--limit 0 for all, --json for JSON lines)"


def overview(header: Header, counts: Counts, seal: str) -> Iterator[str]:
    """Describe a plan in a few lines."""
    undo = "" if header.undoable else ", CANNOT BE UNDONE"
    yield f"{header.job} {header.version} on {header.store}, made {header.created}{undo}"
    yield f"hash {seal}"
    yield from (f"  {name} = {value}" for name, value in header.parameters.items() if value is not None)
    yield f"{counts.planned:,} of {counts.scanned:,} records would change, {freeing(counts.frees)}"
    yield from (f"  change: {reason}: {n:,}" for reason, n in counts.because.items())
    yield from (f"  keep: {reason}: {n:,}" for reason, n in counts.kept.items())
    yield from (f"  ignore: {reason}: {n:,}" for reason, n in counts.ignored.items())
    yield f"  problems: {counts.problem_count:,}"
    yield from (f"    {one['record']}: {one['reason']}" for one in counts.problems)
    yield from (f"  remark: {remark}" for remark in counts.remarks)


def lines_for(action: Action, painted: Paint) -> Iterator[str]:
    """Describe an action: what it touches, and what changes there."""
    read = shown(action)
    yield signed(str(read), painted)
    yield from (f"    {signed(line, painted)}" for line in read.inside)


def age(text: str) -> timedelta:
    """Read an age such as `30d`; raises BadInput."""
    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        message = f"--older-than: {said(error.errors()[0])}."
        raise BadInput(message) from error


@plan_app.command
def prune(
    *,
    older_than: Annotated[str, Parameter(help="The age from which plans go, such as 30d or 36h.")] = "30d",
    plans: Plans = None,
) -> int:
    """Remove old plans from the plan store; what they did can then not be undone any more."""
    gone = PlanStore.at(plans).prune(age(older_than), datetime.now(UTC))
    write("\n".join([*map(printable, gone), f"{len(gone)} removed"]))
    return 0

"""A report as a command prints it for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flows.terminal import Paint
from tasks.changes.next_steps import next_steps
from tasks.changes.texts import printable

if TYPE_CHECKING:
    from tasks.changes.report import Report

SIGNS = {"-": "red", "+": "green", "~": "yellow", ">": "cyan"}


def report_lines(report: Report, store: str, paint: Paint) -> Iterator[str]:
    """Return what a run did, its first changes where it made none yet, and the commands that come next."""
    from tasks.changes.report import headline, rows

    yield paint(headline(report), "bold")
    width = max(len(what) for what, _ in rows(report))
    yield from (_row(f"{what:<{width}}", value, paint) for what, value in rows(report))
    if report.stage in ("planned", "refused") and report.examples:
        yield from _first_changes(report, paint)
    steps = next_steps(report, store)
    if steps and (report.stage != "refused" or len(steps.commands) > 1):  # the refusal says itself how to read the plan
        yield from ("", steps.text, *(f"  {paint(printable(command), 'bold cyan')}" for command in steps.commands))
    elif report.applied and not report.undoable:
        yield from ("", "This cannot be undone.")


def _row(what: str, value: str, paint: Paint) -> str:
    wrong = what.startswith(("problems", "conflicts", "would be refused", "refused")) and value != "0"
    return paint(f"  {what}  {value}", "red") if wrong else f"  {what}  {value}"


def _first_changes(report: Report, paint: Paint) -> Iterator[str]:
    yield from ("", "First changes:")
    yield from (f"  {signed(line, paint)}" for line in report.examples)
    if (more := report.planned - len(report.examples)) > 0:
        yield f"  … and {more:,} more"


def signed(line: str, paint: Paint) -> str:
    """Paint a line after the sign that it begins with."""
    style = SIGNS.get(line[:1])
    return paint(line, style) if style and line[1:2] == " " else line

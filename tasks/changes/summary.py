"""A plan and what became of it in Markdown: for the run's page, and for who is asked to approve it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tasks.changes.markdown import block, code, plain, table
from tasks.changes.next_steps import by_deployment, next_steps
from tasks.changes.reading import Shown
from tasks.changes.texts import bars, sized

if TYPE_CHECKING:
    from tasks.changes.plan import Plan
    from tasks.changes.report import Report

PATHS: Final = 12
"""How many of a record's paths are shown."""
BY_DEPLOYMENT: Final = "Where the store's login is in a block, so on a worker, or by the form of that deployment:"


def page(plan: Plan, report: Report, title: str, store: str) -> str:
    """Return what a run's page shows, at whatever stage the run is; `store` is what commands name the store by."""
    return "\n\n".join(
        [
            f"**{plain(title)}**",
            f"The plan of **{plain(plan.header.job)}** on {code(plan.header.store)}:",
            *named(report.plan),
            *refusal(report),
            table(numbers(report)),
            *reasons(report),
            *(first_changes(plan) if report.examples else []),
            *what_next(report, store),
        ]
    )


def named(plan: str) -> list[str]:
    """Return a plan's name on a line of its own, which no page clips, and where it is kept."""
    path = Path(plan)
    return [code(path.name), f"kept as {code(plan)}"] if path.is_absolute() else [code(plan)]


def refusal(report: Report) -> list[str]:
    """Return why a guard refused the plan, or would refuse that of a dry run."""
    begins = "Refused." if report.stage == "refused" else "A live run would be refused."
    return [f"**{begins}** {plain(' '.join(report.objections))}"] if report.objections else []


def numbers(report: Report) -> list[tuple[str, str]]:
    """Return the counts of a report, for a small table."""
    begun = report.stage in ("stopped", "done")
    size, verb = (report.bytes_freed, "") if begun else (report.frees, "to be ")
    made = [
        ("changes made", f"{report.applied:,}"),
        ("conflicts, left alone", f"{report.conflicts:,}"),
        *((f"not made: {plain(reason)}", f"{n:,}") for reason, n in report.unmade.items() if reason != "conflicts"),
    ]
    return [
        ("records looked at", f"{report.scanned:,}"),
        ("planned changes", f"{report.planned:,}"),
        *(made if begun else []),
        ("problems", f"{report.problem_count:,}"),
        (f"bytes {verb}{'added' if size < 0 else 'freed'}", sized(abs(size))),
    ]


def reasons(report: Report) -> list[str]:
    """Return why records are changed, kept or ignored, with a bar each."""
    counts = {f"change: {reason}": n for reason, n in report.because.items()}
    counts |= {f"keep: {reason}": n for reason, n in report.kept.items()}
    counts |= {f"ignore: {reason}": n for reason, n in report.ignored.items()}
    return ["**Why**", block(bars(counts))] if counts else []


def first_changes(plan: Plan) -> list[str]:
    """Return the first changes as a list, and how many there are besides."""
    if not plan.examples:
        return []
    more = plan.counts.planned - len(plan.examples)
    lines = [line for example in plan.examples for line in _example(example)]
    return ["**First changes**", "\n".join([*lines, *([f"- … and {more:,} more"] if more > 0 else [])])]


def _example(example: Shown) -> Iterator[str]:
    detail = f" {code(example.detail)}" if example.detail else ""
    yield f"- {code(example.key)} {plain(example.reason)}{detail}"
    if example.sign == "~":
        lines = example.inside[:PATHS]
        more = len(example.inside) - PATHS
        text = block([*lines, f"… and {more:,} more lines"] if more > 0 else lines)
        yield "\n".join(["", *(f"  {line}" for line in text.splitlines()), ""])


def what_next(report: Report, store: str) -> list[str]:
    """Return the commands that come next."""
    steps = next_steps(report, store)
    lines = [plain(steps.text), block(steps.commands)] if steps else []
    if steps and (others := by_deployment(steps, report.plan)):
        lines += [BY_DEPLOYMENT, block(others)]
    return lines if report.undoable else [*lines, "**This cannot be undone.**"]

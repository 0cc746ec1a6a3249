"""N26: the same plan again, by two at once, after an undo, and after a newer plan: each change is made once."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from flows.apply import apply
from flows.batch_search_migrate import batch_search_migrate
from flows.undo import undo
from tasks.changes.report import Report
from tests.flows.conftest import Command, Datashare
from tests.flows.test_batch_search_migrate import Searches, searches  # noqa: F401  # a fixture

MANY, ROWS = 3000, 1000


def at_once(flow: Callable[..., Report], plan: str, store: Any) -> list[Report]:
    """Run a flow twice at the same time."""
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(copy_context().run, flow, plan, store) for _ in range(2)]
    return [run.result() for run in runs]


def outcomes(report: Report) -> tuple[int, int]:
    """Give how many are as planned now, by whichever run, and how many conflicts there were."""
    return report.applied + report.kept.get("already as planned", 0), report.conflicts


def test_n26_by_two_processes_at_once(datashare: Datashare, command: Command) -> None:
    datashare.present(3)
    datashare.gone(MANY)
    plan = datashare.plan(max_fraction=1.0).plan
    both = [command.start("steward", "apply", plan, datashare.url, "--json") for _ in range(2)]
    reports = [Report(**json.loads(process.communicate()[0])) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(report.applied for report in reports) == MANY
    assert [outcomes(report) for report in reports] == [(MANY, 0), (MANY, 0)]
    assert datashare.tasks == {"present-0", "present-1", "present-2"}


def test_n26_undone_twice_at_once(datashare: Datashare) -> None:
    datashare.present(3)
    datashare.gone(MANY)
    before = datashare.everything()
    plan = datashare.clean(max_fraction=1.0).plan
    reports = at_once(undo, plan, datashare.credentials)
    assert sum(report.applied for report in reports) == MANY
    assert [outcomes(report) for report in reports] == [(MANY, 0), (MANY, 0)]
    assert datashare.everything() == before
    assert apply(plan, datashare.credentials).applied == MANY


def test_n26_undo_of_an_older_plan_leaves_what_was_written_since(datashare: Datashare) -> None:
    datashare.present(3)
    datashare.gone(3)
    older = datashare.clean().plan
    datashare.gone(1)
    newer = datashare.clean().plan
    datashare.add("gone-1", b"somebody's")
    undone = undo(older, datashare.credentials)
    assert (undone.planned, undone.applied, undone.conflicts) == (3, 2, 1)
    assert datashare.redis.hget(datashare.key, "gone-1") == b"somebody's"
    again = undo(newer, datashare.credentials)
    assert (again.planned, again.applied, again.conflicts) == (1, 0, 0)


def test_n26_rows_applied_and_undone_twice_at_once(searches: Searches) -> None:  # noqa: F811
    searches.fill(ROWS)
    before = searches.results
    plan = batch_search_migrate(searches.credentials, dry_run=True).plan
    for flow in (apply, undo):
        reports = at_once(flow, plan, searches.credentials)
        assert sum(report.applied for report in reports) == ROWS
        assert [outcomes(report) for report in reports] == [(ROWS, 0), (ROWS, 0)]
    assert searches.results == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_n26_rows_undo_of_an_older_plan_leaves_a_newer_one(searches: Searches) -> None:  # noqa: F811
    searches.fill(4)
    older = batch_search_migrate(searches.credentials, dry_run=False).plan
    searches.run("UPDATE task SET result = '5' WHERE id = '000001'")
    undone = undo(older, searches.credentials)
    assert (undone.planned, undone.applied, undone.conflicts) == (4, 3, 1)
    assert searches.results["000001"] == "5"

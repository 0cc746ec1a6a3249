"""Tasks' results in Datashare's SQL database: which are of an old form, and the new form of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import CHAR, Engine, Integer, Select, String, Text, column, or_, select, table

from tasks.changes.plan_file import Counts
from tasks.changes.protocols import Ignore, Keep, Key, Problem, Replace, Verdict
from tasks.datashare.models import UriResult
from tasks.datashare.result_text import (
    Unreadable,
    check_keys,
    number_alone,
    span_of_value,
    value_in,
    with_value,
    with_value_alone,
)
from tasks.datashare.results import BATCH_SEARCH, UNKNOWN_COUNT, count_in, is_count, is_counted, is_other
from tasks.stores.sql import SqlRows

Orphans = Literal["keep", "value"]
UnreadableResults = Literal["report", "search"]
Downloads = Literal["keep", "rename"]

TASK: Final = table(
    "task",
    column("id", String),
    column("name", String),
    column("state", String),
    column("result", Text),
    column("rowid", Integer),
)
SEARCH: Final = table(
    "batch_search",
    column("uuid", CHAR),
    column("batch_results", Integer),
    column("nb_queries_without_results", Integer),
)
COLUMNS: Final = (TASK.c.id, TASK.c.result, SEARCH.c.uuid, SEARCH.c.batch_results, SEARCH.c.nb_queries_without_results)
BATCH_DOWNLOAD: Final = "BatchDownloadRunner"

NO_RESULT: Final = Ignore("no result")
MIGRATED: Final = Keep("already migrated")
OTHER: Final = Ignore("another kind of result")
ORPHAN: Final = Keep("no batch search of this id")
FROM_SEARCH: Final = "counted by its batch search"
FROM_VALUE: Final = "number kept, as its batch search has none"
FROM_ORPHAN: Final = "number kept, as there is no batch search of this id"
INSTEAD: Final = "unreadable, so counted by its batch search"
RENAMED: Final = "UriResult called BatchDownloadRunnerResult"

NEW: Final = '{"@type":"BatchSearchRunnerResult","nbResults":%d,"nbQueriesWithoutResults":%d}'
URI_RESULT: Final = re.compile(r'("@type"\s*:\s*)"UriResult"')


def open_batch_searches(
    engine: Engine, server: str, unreadable: UnreadableResults = "report", downloads: Downloads = "keep"
) -> SqlRows:
    """Open the tasks of batch searches, each with the counts of its batch search, to change their results.

    What the options of `OldResult` need beyond that is read only if they are given.
    """
    runners = [BATCH_SEARCH] if downloads == "keep" else [BATCH_SEARCH, BATCH_DOWNLOAD]  # and their proxies
    more = () if (unreadable, downloads) == ("report", "keep") else (TASK.c.state, TASK.c.name)
    rows: Select[Any] = (
        select(*COLUMNS, *more)
        .select_from(TASK.outerjoin(SEARCH, SEARCH.c.uuid == TASK.c.id))
        .where(or_(*[TASK.c.name.contains(runner) for runner in runners]))
    )
    return SqlRows(engine, server, rows, TASK.c.id, TASK.c.result, rowid=TASK.c.rowid)


def number_in(value: Any) -> int | Keep | Ignore:
    """Return the number that a result of the old form is, or the verdict on one of another form.

    Raises Unreadable.
    """
    if (number := count_in(value)) is not None:
        return number
    if value is None:
        return NO_RESULT
    if is_counted(value):
        return MIGRATED
    if is_other(value):
        return OTHER
    kind = value.get("@type") if isinstance(value, dict) else None
    message = f"Datashare cannot read its result, of the type {kind!s:.60}" if kind else "its result is no number"
    raise Unreadable(message)


def checked(count: Any) -> int:
    """Return a count that Java's int can hold; raises Unreadable."""
    if is_count(count):
        return int(count)
    message = f"{count!s:.60} is no count that Datashare can hold"
    raise Unreadable(message)


class OldResult:
    """Judges the tasks of batch searches: a result that is a mere number becomes one of Datashare 20.2.1 and later.

    `orphans`: a number whose batch search is gone stays, or becomes the count itself. `unreadable`: what Datashare
    cannot read either is a problem, or a task that is done takes the counts of its batch search. `downloads`: the
    result of a batch download stays, or is called as since 21.1.
    """

    def __init__(
        self,
        orphans: Orphans = "keep",
        remarks: Sequence[str] = (),
        *,
        unreadable: UnreadableResults = "report",
        downloads: Downloads = "keep",
    ) -> None:
        self._orphans, self._remarks = orphans, remarks
        self._unreadable, self._downloads = unreadable, downloads

    def __call__(self, _key: Key, row: Sequence[Any]) -> Verdict:
        """Judge one task by its result and the counts of its batch search."""
        _, text, search, results, without, *more = row
        if text is None or text == "null":
            return NO_RESULT
        is_download = self._downloads == "rename" and BATCH_DOWNLOAD in more[1]
        try:
            return renamed(text) if is_download else self._counted(text, search, results, without)
        except Unreadable as problem:
            if self._unreadable == "search" and not is_download and more[0] == "DONE" and is_count(results):
                return _instead(text, problem, results, without)
            return Problem(str(problem))

    def _counted(self, text: str, search: str | None, results: int | None, without: int | None) -> Verdict:
        plain = number_alone(text)
        number = number_in(value_in(text)) if plain is None else plain
        if not isinstance(number, int):
            return number
        if search is None and self._orphans == "keep":
            return ORPHAN
        value = counts(number if results is None else results, without)
        after = with_value(text, value) if plain is None else with_value_alone(value)
        return Replace({"result": after}, FROM_SEARCH if results is not None else FROM_VALUE if search else FROM_ORPHAN)

    def remarks(self, _counts: Counts) -> Sequence[str]:
        """Return what was known beforehand."""
        return self._remarks


def counts(results: int | None, without: int | None) -> str:
    """Return the counts of a batch search as the value of a result. Raises Unreadable."""
    return NEW % (checked(results), checked(UNKNOWN_COUNT if without is None else without))


def _instead(text: str, problem: Unreadable, results: int | None, without: int | None) -> Verdict:
    """Judge a result that Datashare cannot read by its batch search alone."""
    try:
        value = counts(results, without)
    except Unreadable:
        return Problem(str(problem))
    try:
        after = with_value(text, value)
    except Unreadable:  # there is nothing beside it to be kept
        after = with_value_alone(value)
    return Replace({"result": after}, INSTEAD)


def renamed(text: str) -> Verdict:
    """Judge the result of a batch download, which only gets another name. Raises Unreadable."""
    value = value_in(text)
    kind = value.get("@type") if isinstance(value, dict) else None
    if kind == "BatchDownloadRunnerResult":
        return MIGRATED
    if kind != "UriResult":
        return NO_RESULT if value is None else OTHER
    try:
        msgspec.convert(value, UriResult)
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from error
    check_keys(text)
    start, end = span_of_value(text)
    after, found = URI_RESULT.subn(r'\1"BatchDownloadRunnerResult"', text[start:end])
    if found != 1:
        message = "its result says its type more than once"
        raise Unreadable(message)
    return Replace({"result": f"{text[:start]}{after}{text[end:]}"}, RENAMED)

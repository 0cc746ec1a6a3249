"""Batch searches in Datashare's SQL database: which tasks' results are of the old form, and the new form of each."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, Literal, NoReturn

from sqlalchemy import CHAR, Engine, Integer, Select, String, Text, column, select, table

from tasks.changes.plan_file import Counts
from tasks.changes.protocols import Ignore, Keep, Key, Problem, Replace, Verdict
from tasks.stores.sql import SqlRows

Orphans = Literal["keep", "value"]

TASK: Final = table(
    "task", column("id", String), column("name", String), column("result", Text), column("rowid", Integer)
)
SEARCH: Final = table(
    "batch_search",
    column("uuid", CHAR),
    column("batch_results", Integer),
    column("nb_queries_without_results", Integer),
)
COLUMNS: Final = (TASK.c.id, TASK.c.result, SEARCH.c.uuid, SEARCH.c.batch_results, SEARCH.c.nb_queries_without_results)
ROWS: Final[Select[Any]] = (
    select(*COLUMNS)
    .select_from(TASK.outerjoin(SEARCH, SEARCH.c.uuid == TASK.c.id))
    .where(TASK.c.name.contains("BatchSearchRunner"))  # and BatchSearchRunnerProxy
)

NEW_TYPE: Final = "BatchSearchRunnerResult"
COUNTS: Final = ("nbResults", "nbQueriesWithoutResults")
OTHER_TYPES: Final = ("UriResult", "BatchDownloadRunnerResult")
NUMBER_TYPES: Final = ("Long", "Integer", "java.lang.Long", "java.lang.Integer")
UNKNOWN: Final = -1
"""What Datashare itself writes where the searches without results were not counted."""
JAVA_INT: Final = range(-(2**31), 2**31)

NO_RESULT: Final = Ignore("no result")
MIGRATED: Final = Keep("already migrated")
OTHER: Final = Ignore("another kind of result")
ORPHAN: Final = Keep("no batch search of this id")
FROM_SEARCH: Final = "counted by its batch search"
FROM_VALUE: Final = "number kept, as its batch search has none"
FROM_ORPHAN: Final = "number kept, as there is no batch search of this id"

NEW: Final = '{"value":{"@type":"BatchSearchRunnerResult","nbResults":%d,"nbQueriesWithoutResults":%d}}'


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


PLAIN: Final = re.compile(r'{"value":(0|-?[1-9][0-9]{0,17})}').fullmatch
"""What nearly all results of the old form are; to decode them takes four times as long."""
DECODE: Final = json.JSONDecoder(parse_constant=_no_constant).decode


class Unreadable(ValueError):
    """A result that Datashare could not read either."""


def open_batch_searches(engine: Engine, server: str) -> SqlRows:
    """Open the tasks of batch searches, each with the counts of its batch search, to change their results."""
    return SqlRows(engine, server, ROWS, TASK.c.id, TASK.c.result, rowid=TASK.c.rowid)


def result_in(text: str) -> dict[str, Any]:
    """Read a task's result, an object with a `value`.

    Raises Unreadable.
    """
    if plain := PLAIN(text):
        return {"value": int(plain[1])}
    try:
        result = DECODE(text)
    except ValueError as error:
        message = "its result is not JSON"
        raise Unreadable(message) from error
    if not isinstance(result, dict) or "value" not in result:
        message = "its result has no value"
        raise Unreadable(message)
    return result


def number_in(value: Any) -> int | Keep | Ignore:
    """Give the number that a result of the old form is, or the verdict on one of another form.

    Raises Unreadable.
    """
    if isinstance(value, list) and len(value) == 2 and value[0] in NUMBER_TYPES:
        value = value[1]
    if type(value) is int:  # a bool is none
        return value
    if value is None:
        return NO_RESULT
    kind = value.get("@type") if isinstance(value, dict) else None
    if kind == NEW_TYPE and all(map(_readable, map(value.get, COUNTS))):
        return MIGRATED
    if kind in OTHER_TYPES:
        return OTHER
    message = f"Datashare cannot read its result, of the type {kind!s:.60}" if kind else "its result is no number"
    raise Unreadable(message)


def _readable(count: Any) -> bool:
    return count is None or isinstance(count, str) or (type(count) is int and count in JAVA_INT)


def checked(count: Any) -> int:
    """Give a count that Java's int can hold; raises Unreadable."""
    if type(count) is int and count in JAVA_INT:
        return count
    message = f"{count!s:.60} is no count that Datashare can hold"
    raise Unreadable(message)


class OldResult:
    """Judges the tasks of batch searches: a result that is a mere number becomes one of Datashare 20.2.1 and later."""

    def __init__(self, orphans: Orphans = "keep", remarks: Sequence[str] = ()) -> None:
        """Judge; a number whose batch search is gone stays, or becomes the count itself (`orphans`)."""
        self._orphans, self._remarks = orphans, remarks

    def __call__(self, _key: Key, row: Sequence[Any]) -> Verdict:
        """Judge one task by its result and the counts of its batch search."""
        _, text, search, results, without, *_ = row
        if text is None or text == "null":
            return NO_RESULT
        try:
            result = result_in(text)
            number = number_in(result["value"])
            if not isinstance(number, int):
                return number
            if search is None and self._orphans == "keep":
                return ORPHAN
            counts = checked(number if results is None else results), checked(UNKNOWN if without is None else without)
            after = turned(result, *counts)
        except Unreadable as problem:
            return Problem(str(problem))
        except RecursionError:
            return Problem("its result is nested too deeply")
        return Replace({"result": after}, FROM_SEARCH if results is not None else FROM_VALUE if search else FROM_ORPHAN)

    def remarks(self, _counts: Counts) -> Sequence[str]:
        """Say what was known beforehand."""
        return self._remarks


def turned(result: dict[str, Any], results: int, without: int) -> str:
    """Write the new form of a result; what else stood beside its value stays there."""
    if len(result) == 1:
        return NEW % (results, without)
    value = {"@type": NEW_TYPE, "nbResults": results, "nbQueriesWithoutResults": without}
    return json.dumps({**result, "value": value}, separators=(",", ":"))

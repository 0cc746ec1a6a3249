"""G0 to G1: a TaskView becomes a flat Task, its user an argument, and nested values lose their Java classes."""

from __future__ import annotations

from typing import Any, Final

from tasks.datashare.dates import give_date
from tasks.datashare.edits import Record, add, change, has, move, remove, rename, rename_value
from tasks.datashare.generations import G0, G1
from tasks.datashare.java_types import is_class, typed_outside, untyped
from tasks.datashare.registry import Context, Step
from tasks.datashare.results import short

RETRIES: Final = 3


def g0_to_g1(record: Record, context: Context) -> Record:
    """Take a TaskView to a Task."""
    rename(record, "@class", "@type")
    record["@type"] = "Task"
    rename_value(record, "state", {"INIT": "CREATED"})
    _take_classes_off(record)
    _move_user(record)
    if not has(record, "retriesLeft"):
        add(record, "retriesLeft", RETRIES)
    give_date(record, context)
    return record


def _take_classes_off(record: Record) -> None:
    rename(record, "properties", "args")
    change(record, "args", lambda args: {name: typed_outside(value, "@class") for name, value in _own(args)})
    for path, function in (("user", _typed), ("result", lambda value: short(_typed(value))), ("error", error)):
        if has(record, path):
            change(record, path, function)


def _own(args: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the arguments without the class of the map they are in."""
    return [(name, value) for name, value in args.items() if name != "@class" or not is_class(value)]


def _typed(value: Any) -> Any:
    return typed_outside(value, "@class")


def _move_user(record: Record) -> None:
    """Put the user under the arguments, unless the same is there already."""
    if not has(record, "user"):
        return
    if has(record, "args.user") and record["args"]["user"] == record["user"]:
        remove(record, "user")
    else:
        move(record, "user", "args.user")


def error(value: Any) -> Any:
    """Return an error as a TaskError; before 17.1.0 it was a Throwable."""
    if not isinstance(value, dict):
        return value
    name, cause = value.get("@class"), _cause(value.get("cause"))
    plain = untyped(untyped(value, "@class"))
    plain.pop("@type", None)
    if name is None or name.endswith("TaskError"):
        return {"@type": "TaskError", **plain}
    lines = [_line(item) for item in plain.get("stackTrace", ())]
    return {"@type": "TaskError", "name": name, "message": plain.get("message"), "cause": cause, "stacktrace": lines}


def _cause(throwable: Any) -> str | None:
    return f"{throwable['@class']}: {throwable.get('message')}" if isinstance(throwable, dict) else None


def _line(item: dict[str, Any]) -> dict[str, Any]:
    name = item["className"] if item.get("nativeMethod") else f"{item['className']}.{item['methodName']}"
    return {"file": item.get("fileName"), "lineno": item["lineNumber"], "name": name}


STEPS = (
    Step(
        G0, G1, g0_to_g1, loses="the Java classes of nested values, and what a Throwable holds beside its stack trace"
    ),
)

"""G1 to G2: a flat task is put beside its group, and its result in a wrapper."""

from __future__ import annotations

from typing import Any

from tasks.datashare.dates import give_date
from tasks.datashare.edits import CannotMigrate, Record
from tasks.datashare.generations import G1, G2
from tasks.datashare.java_types import is_class
from tasks.datashare.projects import name_projects
from tasks.datashare.registry import Context, Step
from tasks.datashare.results import is_wrapped, short


def g1_to_g2(task: Record, context: Context) -> Record:
    """Lift the group out of the arguments, wrap the result, and name the projects of a batch search."""
    group = _group(task["args"].pop("group", None), context)
    drop_class_of_arguments(task["args"])
    give_date(task, context)
    wrap_result(task)
    name_projects(task["args"])
    return {"task": task, "group": group}


def wrap_result(task: Record) -> None:
    """Wrap a result that is not; 19.4 wrapped it already."""
    if not is_wrapped(result := task.get("result")):
        task["result"] = {"value": short(result)}


def drop_class_of_arguments(args: Record) -> None:
    """Take away the class of the map, which the script `hmap-migrate` left behind as if it were an argument."""
    if is_class(args.get("@type")):
        del args["@type"]


def _group(group: Any, context: Context) -> dict[str, Any]:
    if group is None:
        context.notes.append("no group given: Java")
        return {"id": "Java"}
    if isinstance(group, dict):
        return {name: value for name, value in group.items() if name != "@type"}
    message = f"its group is no object: {group!r}"
    raise CannotMigrate(message)


STEPS = (Step(G1, G2, g1_to_g2, loses="whether a group was given, and that projects were objects"),)

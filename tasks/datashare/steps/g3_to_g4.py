"""G3 to G4: the Java classes of nested values are taken off."""

from __future__ import annotations

from tasks.datashare.edits import Record
from tasks.datashare.generations import G3, G4
from tasks.datashare.java_types import is_class, typed_outside, untyped
from tasks.datashare.registry import Context, Step
from tasks.datashare.steps.g2_to_g4 import count


def g3_to_g4(record: Record, _: Context) -> Record:
    """Leave a class only where the plain mapper writes one: the task, each argument, the result's value, the error."""
    task = record["task"]
    take_classes_off(task)
    count(task)
    return record


def take_classes_off(task: Record) -> None:
    """Write a task as the plain mapper does."""
    for name in ("createdAt", "completedAt"):
        if name in task:
            task[name] = untyped(task[name])
    task["args"] = {k: typed_outside(v) for k, v in task["args"].items() if k != "@type" or not is_class(v)}
    if result := task.get("result"):
        result["value"] = typed_outside(result["value"])
    if error := task.get("error"):
        task["error"] = {name: untyped(value) for name, value in error.items()}


STEPS = (Step(G3, G4, g3_to_g4, loses="the Java classes of nested values"),)

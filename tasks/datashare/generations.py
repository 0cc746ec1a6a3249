"""The generations of task records, told apart by their shape.

| | Datashare | shape |
|-|-----------|-------|
| G0 | to 17.1 | a TaskView with `@class`, its arguments called properties, no createdAt |
| G1 | 18.0 to 19.4 | a flat Task |
| G2 | 19.5 to 20.2.0 | a Task and its group, a batch search's result a number |
| G3 | 20.2.1 to 20.4 | the same with the Java class of every value |
| G4 | since 20.5, and today's | as G2, a batch search's result an object |

A record of G2 that is no batch search is one of G4 too, and is called so.
"""

from __future__ import annotations

from typing import Any

from tasks.datashare import readers
from tasks.datashare.edits import Record
from tasks.datashare.projects import are_objects
from tasks.datashare.records import TASK_VIEWS
from tasks.datashare.registry import Generation
from tasks.datashare.results import is_wrapped, uncounted


def _is_view(record: Record) -> bool:
    return record.get("@class") in TASK_VIEWS and isinstance(record.get("properties"), dict)


def _is_flat(record: Record) -> bool:
    return record.get("@type") == "Task" and isinstance(record.get("args"), dict)


def _wrapped(record: Record) -> dict[str, Any] | None:
    """Return the task in its wrapper."""
    task = record.get("task")
    return task if isinstance(task, dict) and task.get("@type") == "Task" else None


def _is_typed(record: Record) -> bool:
    task = _wrapped(record)
    return task is not None and isinstance(task.get("createdAt"), list)


def _is_plain(record: Record) -> bool:
    task = _wrapped(record)
    return task is not None and not isinstance(task.get("createdAt"), list)


def _is_uncounted(record: Record) -> bool:
    """Whether a record is of G2, or of what scripts run by hand made of G1: wrapped, but not all through."""
    if not _is_plain(record):
        return False
    task = record["task"]
    return uncounted(task) is not None or not is_wrapped(task.get("result")) or are_objects(task.get("args"))


def _is_today_s(record: Record) -> bool:
    return _is_plain(record) and not _is_uncounted(record)


G0 = Generation(0, _is_view, readers.G0)
G1 = Generation(1, _is_flat, readers.G1)
G2 = Generation(2, _is_uncounted, readers.G2)
G3 = Generation(3, _is_typed, readers.G3)
G4 = Generation(4, _is_today_s, readers.G4)

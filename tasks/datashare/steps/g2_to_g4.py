"""G2 to G4: a batch search's result, a number, becomes an object with the number in it."""

from __future__ import annotations

from tasks.datashare.edits import CannotMigrate, Record
from tasks.datashare.generations import G2, G4
from tasks.datashare.projects import name_projects
from tasks.datashare.registry import Context, Step
from tasks.datashare.results import UNKNOWN_COUNT, batch_search_result, is_batch_search, is_counted, uncounted
from tasks.datashare.steps.g1_to_g2 import wrap_result


def g2_to_g4(record: Record, _: Context) -> Record:
    """Make the number an object, and finish what scripts run by hand left half done."""
    task = record["task"]
    wrap_result(task)
    name_projects(task["args"])
    count(task)
    return record


def count(task: Record) -> None:
    """Make an object of the number that is the result of a batch search."""
    if (found := uncounted(task)) is not None:
        task["result"]["value"] = batch_search_result(found)


def g4_to_g2(record: Record, _: Context) -> Record:
    """Make the number out of the object. Raises CannotMigrate where the object holds more."""
    task = record["task"]
    if (result := task.get("result")) and is_batch_search(task.get("name")) and is_counted(result["value"]):
        found = result["value"]["nbResults"]
        if result["value"] != batch_search_result(found):
            message = f"only the number of results can be kept, {UNKNOWN_COUNT} as the other: {result['value']}"
            raise CannotMigrate(message)
        result["value"] = found
    return record


STEPS = (Step(G2, G4, g2_to_g4, inverse=g4_to_g2),)

"""G2 and G4 to G3: every value of the arguments says its Java class, as 20.2.1 to 20.4 need it."""

from __future__ import annotations

from tasks.datashare.edits import Record
from tasks.datashare.generations import G2, G3, G4
from tasks.datashare.registry import Context, Step
from tasks.datashare.steps.g2_to_g4 import g2_to_g4, g4_to_g2
from tasks.datashare.steps.g3_to_g4 import take_classes_off
from tasks.datashare.typed_mapper import DATE, typed_arguments, typed_stacktrace


def g2_to_g3(record: Record, context: Context) -> Record:
    """Put the classes on, and make the number that is a batch search's result an object."""
    return g4_to_g3(g2_to_g4(record, context), context)


def g3_to_g2(record: Record, context: Context) -> Record:
    """Take the classes off, and make the number out of the object. Raises CannotMigrate where the object holds more."""
    take_classes_off(record["task"])
    return g4_to_g2(record, context)


def g4_to_g3(record: Record, context: Context) -> Record:
    """Put the classes on; a download's result gets the name that it had then."""
    task = record["task"]
    for name in ("createdAt", "completedAt"):
        if task.get(name) is not None:
            task[name] = [DATE, task[name]]
    task["args"] = typed_arguments(task["args"])
    if (error := task.get("error")) and error.get("stacktrace") is not None:
        error["stacktrace"] = typed_stacktrace(error["stacktrace"])
    _call_download_by_older_name(task, context)
    return record


def _call_download_by_older_name(task: Record, context: Context) -> None:
    value = (task.get("result") or {}).get("value")
    if isinstance(value, dict) and value.get("@type") == "BatchDownloadRunnerResult":
        value["@type"] = "UriResult"
        context.notes.append("BatchDownloadRunnerResult called UriResult")


STEPS = (
    Step(G2, G3, g2_to_g3, inverse=g3_to_g2),
    Step(G4, G3, g4_to_g3, loses="the newer name of a download's result"),
)

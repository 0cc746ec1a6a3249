"""Datashare's task records: the generations G0 to G4 told apart by shape, and what they have in common.

Source: Datashare's Java sources, 17.1.6 to 21.x; G0 is a TaskView, G1 a flat Task, G2 to G4 a wrapped one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from tasks.datashare.java_dates import milliseconds

FINAL_STATES: Final = ("DONE", "ERROR", "CANCELLED")
TASK_VIEWS: Final = ("org.icij.datashare.asynctasks.TaskView", "org.icij.datashare.tasks.TaskView")
FOREIGN: Final = "not a task record of a known generation"
T = TypeVar("T")


class UnreadableRecord(ValueError):
    """A hash's value is no task record of a known generation."""


class Download(msgspec.Struct):
    """A batch download; its file name is text, or the typed mapper's pair of a class and text."""

    filename: Any = None


class Arguments(msgspec.Struct):
    """A task's arguments, of which only the batch download matters here; None is a null."""

    download: Download | msgspec.UnsetType | None = msgspec.field(default=msgspec.UNSET, name="batchDownload")


class Task(msgspec.Struct):
    """What a task record of any generation says."""

    kind: Any = msgspec.field(default=None, name="@type")
    view: Any = msgspec.field(default=None, name="@class")
    id: str | None = None
    state: str = ""
    args: Arguments | None = None
    properties: Arguments | None = None
    created: Any = msgspec.field(default=None, name="createdAt")
    completed: Any = msgspec.field(default=None, name="completedAt")

    @property
    def arguments(self) -> Arguments:
        """Return the arguments; G0 calls them properties."""
        return self.args or self.properties or Arguments()

    @property
    def time(self) -> int | None:
        """Return when the task ended, else when it began, in milliseconds since 1970, UTC."""
        return milliseconds(self.completed) or milliseconds(self.created)


class Record(Task):
    """A flat task, or the wrapper of one."""

    task: Task | None = None


_decode: Final = msgspec.json.Decoder(Record).decode


def decoded(value: bytes, decode: Callable[[bytes], T]) -> T:
    """Decode a value, all of which must be UTF-8 and JSON.

    Raises UnreadableRecord, whose text is the reason, and the decoder's own msgspec.ValidationError.
    """
    try:
        if not value.isascii():
            value.decode()
        return decode(value)
    except UnicodeDecodeError as error:
        message = "not UTF-8"
        raise UnreadableRecord(message) from error
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError) as error:
        message = f"broken JSON: {error}"
        raise UnreadableRecord(message) from error


def read_task(value: bytes) -> Task:
    """Read a task record, all of which must be UTF-8 and JSON.

    Raises UnreadableRecord, whose text is the reason.
    """
    try:
        record = decoded(value, _decode)
    except msgspec.ValidationError as error:
        message = f"{FOREIGN}: {error}"
        raise UnreadableRecord(message) from error
    task = record.task or record
    if task.kind == "Task" or task.view in TASK_VIEWS:
        if task.state and (task.args or task.properties):
            return task
        message = "a task without a state or arguments"
        raise UnreadableRecord(message)
    message = f"{FOREIGN}: @type {task.kind}, @class {task.view}"
    raise UnreadableRecord(message)

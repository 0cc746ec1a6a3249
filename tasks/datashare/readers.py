"""What the reader of each generation accepts, written as types; stricter where Jackson lets a mistake pass in silence.

Source: the decode matrix, made with Datashare's own mappers, and its Java sources, 17.1.6 to 21.x.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from tasks.datashare.java_types import check_fully_typed
from tasks.datashare.models import (
    Arguments,
    BatchSearchRunnerResult,
    Group,
    Int32,
    Int64,
    Result,
    TaskError,
    Value,
    ValueG2,
    ValueG3,
    ValueG4,
)
from tasks.datashare.reader import Reader
from tasks.datashare.results import is_batch_search


class TypedTaskError(TaskError, kw_only=True):
    """The same as the typed mapper reads it."""

    stacktrace: Any = None

    def __post_init__(self) -> None:
        check_fully_typed(self.stacktrace, "error.stacktrace")


class _Task(Struct, kw_only=True, rename="camel"):
    kind: Literal["Task"] = field(name="@type")
    id: str
    name: str
    state: Literal["CREATED", "QUEUED", "RUNNING", "CANCELLED", "ERROR", "DONE"]
    progress: float = 0


class FlatTask(_Task, kw_only=True):
    """G1, as 18.3.0 and 19.4.0 read it."""

    args: Arguments
    created_at: Int64
    retries_left: Int32 = 0
    result: Any = None
    error: TaskError | None = None

    def __post_init__(self) -> None:
        wrapped = isinstance(self.result, dict) and "value" in self.result
        msgspec.convert(self.result["value"] if wrapped else self.result, ValueG2)


class PlainTask(_Task, Generic[Value], kw_only=True):
    """G2 and G4."""

    args: Arguments
    created_at: Int64
    retries_left: Int32 = 0
    completed_at: Int64 | None = None
    result: Result[Value] | None = None
    error: TaskError | None = None


class TaskG4(PlainTask[ValueG4], kw_only=True):
    """What today's Datashare reads; it would read a batch search's plain count too, and then show none."""

    def __post_init__(self) -> None:
        check_counts(self.name, self.result)


class TypedTask(_Task, kw_only=True):
    """G3: every object of the arguments says its Java class, and every list is a pair of one and the items."""

    args: dict[str, Any]
    created_at: tuple[Literal["java.util.Date"], Int64]
    retries_left: Int32 = 0
    completed_at: tuple[Literal["java.util.Date"], Int64] | None = None
    result: Result[ValueG3] | None = None
    error: TypedTaskError | None = None

    def __post_init__(self) -> None:
        check_fully_typed(self.args, "args")
        check_counts(self.name, self.result)


def check_counts(name: str, result: Result[Any] | None) -> None:
    """Raise ValueError where a batch search has another result than its counts."""
    if result and is_batch_search(name) and not isinstance(result.value, BatchSearchRunnerResult | None):
        message = "the result of a batch search is no BatchSearchRunnerResult"
        raise ValueError(message)


Task = TypeVar("Task")


class Wrapper(Struct, Generic[Task]):
    """A task and who runs it: TaskMetadata, later TaskGroupMetadata."""

    task: Task
    group: Group


View = Literal["org.icij.datashare.asynctasks.TaskView", "org.icij.datashare.tasks.TaskView"]


class TaskView(Struct, kw_only=True):
    """G0, as 17.1.6 reads it."""

    kind: View = field(name="@class")
    id: str
    name: str
    state: Literal["INIT", "CREATED", "QUEUED", "RUNNING", "CANCELLED", "ERROR", "DONE"]
    properties: dict[str, Any]
    progress: float = 0


G0, G1, G2 = Reader(TaskView), Reader(FlatTask), Reader(Wrapper[PlainTask[ValueG2]])
G3, G4 = Reader(Wrapper[TypedTask]), Reader(Wrapper[TaskG4])

"""What the reader of each generation accepts, written as types; stricter where Jackson lets a mistake pass in silence.

Source: the decode matrix, made with Datashare's own mappers, and its Java sources, 17.1.6 to 21.x.
"""

from __future__ import annotations

from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from tasks.datashare.java_types import check_argument_classes, check_fully_typed
from tasks.datashare.models import (
    Arguments,
    CommonArgument,
    Date,
    Group,
    Int32,
    KnownGroup,
    Result,
    TaskError,
    Value,
    ValueG2,
    ValueG3,
    ValueG4,
)
from tasks.datashare.reader import Reader
from tasks.datashare.results import is_batch_search

Args = TypeVar("Args")


class TypedTaskError(TaskError, kw_only=True):
    """The same as the typed mapper reads it."""

    stacktrace: Any = None

    def __post_init__(self) -> None:
        check_fully_typed(self.stacktrace, "error.stacktrace")


Progress = float | Literal["NaN", "Infinity", "-Infinity"] | None
"""A share of the work; Java writes "NaN" where there was nothing to do, and reads a null as 0."""


class _Task(Struct, kw_only=True, rename="camel"):
    kind: Literal["Task"] = field(name="@type")
    id: str
    name: str | None = None
    state: Literal["CREATED", "QUEUED", "RUNNING", "CANCELLED", "ERROR", "DONE"]
    progress: Progress = 0
    retries_left: Int32 | None = 0


class FlatTask(_Task, kw_only=True):
    """G1, as 18.3.0 and 19.4.0 read it."""

    args: Arguments
    created_at: Date
    result: Any = None
    error: TaskError | None = None

    def __post_init__(self) -> None:
        wrapped = isinstance(self.result, dict) and "value" in self.result
        msgspec.convert(self.result["value"] if wrapped else self.result, ValueG2)


class PlainTask(_Task, Generic[Args, Value], kw_only=True):
    """G2 and G4."""

    args: Args
    created_at: Date
    completed_at: Date | None = None
    result: Result[Value] | None = None
    error: TaskError | None = None


class TaskG4(PlainTask[Args, ValueG4], Generic[Args], kw_only=True):
    """What today's Datashare reads; it would read a batch search's plain count too, and then show none."""

    def __post_init__(self) -> None:
        check_counts(self.name, self.result)


class TypedTask(_Task, kw_only=True):
    """G3: every object of the arguments says its Java class, and every list is a pair of one and the items."""

    args: dict[str, Any]
    created_at: tuple[Literal["java.util.Date"], Date]
    completed_at: tuple[Literal["java.util.Date"], Date] | None = None
    result: Result[ValueG3] | None = None
    error: TypedTaskError | None = None

    def __post_init__(self) -> None:
        check_fully_typed(self.args, "args")
        check_counts(self.name, self.result)


NUMBERS: Final = (int, float, tuple)


def check_counts(name: str | None, result: Result[Any] | None) -> None:
    """Raise ValueError where a batch search has a number for a result instead of its counts."""
    if result and isinstance(result.value, NUMBERS) and is_batch_search(name):
        message = "the result of a batch search is no BatchSearchRunnerResult"
        raise ValueError(message)


class ArgumentsG4(Struct):
    """The arguments of a task, each of a class that today's Datashare reads."""

    args: dict[str, Any]

    def __post_init__(self) -> None:
        check_argument_classes(self.args)


Task = TypeVar("Task")
WhoRuns = TypeVar("WhoRuns")


class Wrapper(Struct, Generic[Task, WhoRuns]):
    """A task and who runs it: TaskMetadata, later TaskGroupMetadata."""

    task: Task
    group: WhoRuns | None = None


View = Literal["org.icij.datashare.asynctasks.TaskView", "org.icij.datashare.tasks.TaskView"]


class TaskView(Struct, kw_only=True):
    """G0, as 17.1.6 reads it."""

    kind: View = field(name="@class")
    id: str
    name: str | None = None
    state: Literal["INIT", "CREATED", "QUEUED", "RUNNING", "CANCELLED", "ERROR", "DONE"]
    properties: dict[str, Any]
    progress: Progress = 0


G0, G1 = Reader(TaskView), Reader(FlatTask)
G2 = Reader(Wrapper[PlainTask[Arguments, ValueG2], KnownGroup])
G3 = Reader(Wrapper[TypedTask, KnownGroup])
G4 = Reader(
    Wrapper[TaskG4[Arguments], Group],
    Wrapper[ArgumentsG4, Any],
    common=Wrapper[TaskG4[dict[str, CommonArgument]], Group],
)

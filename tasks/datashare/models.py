"""The parts of a task as the plain mapper reads them, written as types.

Source: Datashare's Java sources and what its own mappers accepted; stricter where they let a mistake pass in silence.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from msgspec import Meta, Struct, field

from tasks.datashare.java_dates import FORMS
from tasks.datashare.reader import check_uri

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Date = Int64 | Annotated[str, Meta(pattern=FORMS)]
Value = TypeVar("Value")


class _UriResult(Struct):
    uri: str
    size: Int64

    def __post_init__(self) -> None:
        check_uri(self.uri, "the result's uri")


class UriResult(_UriResult, tag_field="@type", tag="UriResult"):
    """The archive of a batch download."""


class BatchDownloadRunnerResult(_UriResult, tag_field="@type", tag="BatchDownloadRunnerResult"):
    """The same since 21.1.0."""


class BatchSearchRunnerResult(Struct, tag_field="@type", tag="BatchSearchRunnerResult", rename="camel"):
    """The counts of a batch search, since 20.2.1; -1 where the second is not known."""

    nb_results: Int32
    nb_queries_without_results: Int32


class NamedUriResult(_UriResult, kw_only=True):
    """The same where no other class is known: msgspec would let its name be missing if it were a tag."""

    kind: Literal["UriResult"] = field(name="@type")


Natural = tuple[Literal["Long"], Int64] | int | float | str | bool | None
ValueG2 = NamedUriResult | Natural
ValueG3 = UriResult | BatchSearchRunnerResult | Natural
ValueG4 = UriResult | BatchSearchRunnerResult | BatchDownloadRunnerResult | Natural


class Result(Struct, Generic[Value]):
    """A task's result, since 19.4.0."""

    value: Value | None = None


class Project(Struct, rename="camel"):
    """A project of a batch download."""

    source_path: str | None = None


class Download(Struct):
    """A batch download as the plain mapper reads it; a file name with a colon is taken for a URI."""

    filename: str | None = None
    projects: list[Project] | None = None

    def __post_init__(self) -> None:
        if self.filename and ":" in self.filename:
            check_uri(self.filename, "the batch download's filename")


class Search(Struct):
    """A batch search as the plain mapper reads it since 19.1.x."""

    projects: list[str] | None = None
    date: Date | None = None


class Arguments(Struct, rename="camel"):
    """What is known of a task's arguments as the plain mapper reads them."""

    batch_download: Download | None = None
    batch_record: Search | None = None


class CommonDownload(Download, tag_field="@type", tag="org.icij.datashare.batch.BatchDownload"):
    """A batch download, known by its class."""


class CommonSearch(Search, tag_field="@type", tag="org.icij.datashare.batch.BatchSearchRecord"):
    """A batch search, known by its class."""


class CommonUser(Struct, tag_field="@type", tag="org.icij.datashare.user.User"):
    """Whose task it is."""


class CommonDatashareUser(Struct, tag_field="@type", tag="org.icij.datashare.session.DatashareUser"):
    """Whose task it is, where users log in."""


CommonArgument = CommonDownload | CommonSearch | CommonUser | CommonDatashareUser | int | float | str | bool | None


class StacktraceItem(Struct):
    """One line of a stack trace."""

    file: str | None = None
    lineno: Int32 = 0
    name: str | None = None


class TaskError(Struct, kw_only=True):
    """Why a task failed."""

    kind: Literal["TaskError"] = field(name="@type")
    name: str | None = None
    message: str | None = None
    cause: str | None = None
    stacktrace: list[StacktraceItem] | None = None


class Group(Struct):
    """Who runs a task, since 20.14."""

    id: str | None = None


class KnownGroup(Struct):
    """Who runs a task, until then."""

    id: Literal["Python", "Java", "Test"] | None = None

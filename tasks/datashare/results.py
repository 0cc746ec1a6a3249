"""The results of tasks: their short type names, the wrapping since 19.4.0, and the counts of a batch search."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from tasks.datashare.edits import CannotMigrate

SHORT_NAMES: Final = {
    "org.icij.datashare.tasks.UriResult": "UriResult",
    "org.icij.datashare.asynctasks.bus.amqp.UriResult": "UriResult",
    "java.lang.Long": "Long",
}
"""The readers since 18.1.3 know results by these short names only."""

INTEGERS: Final = ("Integer", "java.lang.Integer")
"""They are read without a class only."""
FILE_RESULT: Final = "org.icij.datashare.tasks.FileResult"
IN_A_PATH: Final = "/;:@&=+$,-_.!~*'()"

# What the result of a batch search looks like, in Redis and in SQL: until 20.2.0 a number, plain or with its class;
# since then an object with two counts. Datashare reads a batch search with another task's result too.
BATCH_SEARCH: Final = "BatchSearchRunner"
COUNTED: Final = "BatchSearchRunnerResult"
COUNTS: Final = ("nbResults", "nbQueriesWithoutResults")
NUMBER_TYPES: Final = ("Long", "Integer", "java.lang.Long", "java.lang.Integer")
OTHER_TYPES: Final = ("UriResult", "BatchDownloadRunnerResult")
UNKNOWN_COUNT: Final = -1
"""What Datashare itself writes where the searches without results were not counted."""
JAVA_INT: Final = range(-(2**31), 2**31)


def is_batch_search(name: Any) -> bool:
    """Whether a task of this name is a batch search: BatchSearchRunner, or its proxy."""
    return isinstance(name, str) and BATCH_SEARCH in name


def batch_search_result(nb_results: int, nb_queries_without_results: int = UNKNOWN_COUNT) -> dict[str, Any]:
    """Return the result of a batch search as Datashare writes it since 20.2.1."""
    return {"@type": COUNTED, **dict(zip(COUNTS, (nb_results, nb_queries_without_results), strict=True))}


def count_in(value: Any) -> int | None:
    """Return the number that a result's value is, plain or with its Java class; None where it is something else."""
    if isinstance(value, list) and len(value) == 2 and value[0] in NUMBER_TYPES:
        value = value[1]
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def is_counted(value: Any) -> bool:
    """Whether a result's value is an object with counts that Datashare can read; it reads a missing one as 0."""
    if not isinstance(value, dict) or value.get("@type") != COUNTED:
        return False
    return all(count is None or isinstance(count, str) or is_count(count) for count in map(value.get, COUNTS))


def is_count(count: Any) -> bool:
    """Whether a count fits into Java's int."""
    return type(count) is int and count in JAVA_INT  # a bool is none


def is_other(value: Any) -> bool:
    """Whether a result's value is of a kind that Datashare reads, but no batch search's."""
    return isinstance(value, str) or (isinstance(value, dict) and value.get("@type") in OTHER_TYPES)


def uncounted(task: dict[str, Any]) -> int | None:
    """Return the number that a wrapped batch search's result still is; None where there is none, or counts."""
    result = task.get("result")
    return count_in(result.get("value")) if isinstance(result, dict) and is_batch_search(task.get("name")) else None


def is_wrapped(result: Any) -> bool:
    """Whether a result is wrapped, or there is none."""
    return result is None or (isinstance(result, dict) and "value" in result)


def short(value: Any) -> Any:
    """Return a result's value with its class under the short name; what is not known stays.

    18.0.0 and 18.1 wrote a UriResult without its name. Raises CannotMigrate for a file that has no URI.
    """
    if isinstance(value, dict):
        return _short_object(value)
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return value[1] if value[0] in INTEGERS else [SHORT_NAMES.get(value[0], value[0]), value[1]]
    return value


def _short_object(value: dict[str, Any]) -> dict[str, Any]:
    name = value.get("@type") or ("UriResult" if value.keys() == {"uri", "size"} else None)
    if name == FILE_RESULT:
        return {"@type": "UriResult", "uri": uri_of(value["file"]), "size": value["size"]}
    if name is None:
        return value
    return {"@type": SHORT_NAMES.get(name, name), **{k: v for k, v in value.items() if k != "@type"}}


def uri_of(file: Any) -> str:
    """Return a file's URI as Java's Path.toUri writes it; a URI stays as it is. Raises CannotMigrate."""
    if isinstance(file, str) and file.startswith("file:"):
        return file
    if isinstance(file, str) and file.startswith("/"):
        return f"file://{quote(file, safe=IN_A_PATH)}"
    message = f"{file!r} is no absolute path"
    raise CannotMigrate(message)

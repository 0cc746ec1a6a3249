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

FILE_RESULT: Final = "org.icij.datashare.tasks.FileResult"
IN_A_PATH: Final = "/;:@&=+$,-_.!~*'()"
UNKNOWN_COUNT: Final = -1


def is_batch_search(name: Any) -> bool:
    """Say whether a task of this name is a batch search: BatchSearchRunner, or its proxy."""
    return isinstance(name, str) and "BatchSearchRunner" in name


def batch_search_result(nb_results: int, nb_queries_without_results: int = UNKNOWN_COUNT) -> dict[str, Any]:
    """Give the result of a batch search as Datashare writes it since 20.2.1."""
    return {
        "@type": "BatchSearchRunnerResult",
        "nbResults": nb_results,
        "nbQueriesWithoutResults": nb_queries_without_results,
    }


def count_in(value: Any) -> int | None:
    """Give the number that a result's value is, plain or with its Java class; None where it is something else."""
    if isinstance(value, list) and len(value) == 2 and value[0] in ("Long", "java.lang.Long", "java.lang.Integer"):
        value = value[1]
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def uncounted(task: dict[str, Any]) -> int | None:
    """Give the number that a wrapped batch search's result still is; None where there is none, or counts."""
    result = task.get("result")
    return count_in(result.get("value")) if isinstance(result, dict) and is_batch_search(task.get("name")) else None


def is_wrapped(result: Any) -> bool:
    """Say whether a result is wrapped, or there is none."""
    return result is None or (isinstance(result, dict) and "value" in result)


def short(value: Any) -> Any:
    """Give a result's value with its class under the short name; what is not known stays.

    18.0.0 and 18.1 wrote a UriResult without its name. Raises CannotMigrate for a file that has no URI.
    """
    if isinstance(value, dict):
        return _short_object(value)
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return value[1] if value[0] == "java.lang.Integer" else [SHORT_NAMES.get(value[0], value[0]), value[1]]
    return value


def _short_object(value: dict[str, Any]) -> dict[str, Any]:
    name = value.get("@type") or ("UriResult" if value.keys() == {"uri", "size"} else None)
    if name == FILE_RESULT:
        return {"@type": "UriResult", "uri": uri_of(value["file"]), "size": value["size"]}
    if name is None:
        return value
    return {"@type": SHORT_NAMES.get(name, name), **{k: v for k, v in value.items() if k != "@type"}}


def uri_of(file: Any) -> str:
    """Give a file's URI as Java's Path.toUri writes it; a URI stays as it is. Raises CannotMigrate."""
    if isinstance(file, str) and file.startswith("file:"):
        return file
    if isinstance(file, str) and file.startswith("/"):
        return f"file://{quote(file, safe=IN_A_PATH)}"
    message = f"{file!r} is no absolute path"
    raise CannotMigrate(message)

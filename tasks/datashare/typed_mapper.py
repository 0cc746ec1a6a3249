"""How Datashare's typed mapper wrote the values whose classes are known: the classes are put on as it did.

Source: its own output (samples of 20.3.0), and the declared types of the fields in its Java sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tasks.datashare.edits import CannotMigrate, Clash
from tasks.datashare.java_types import is_class

Typer = Callable[[Any], Any]

DATE: Final = "java.util.Date"
PATH: Final = "java.nio.file.Path"
MAP: Final = "java.util.LinkedHashMap"
LIST: Final = "java.util.ArrayList"
MAP_OF_ONE: Final = "java.util.ImmutableCollections$Map1"
LIST_OF_ONE: Final = "java.util.Collections$SingletonList"
UNMODIFIABLE_MAP: Final = "java.util.Collections$UnmodifiableMap"
UNMODIFIABLE_LIST: Final = "java.util.Collections$UnmodifiableRandomAccessList"
PROJECT: Final = "org.icij.datashare.text.Project"
QUERY: Final = "org.icij.datashare.text.indexing.SearchQuery"
USER: Final = "org.icij.datashare.user.User"
DATASHARE_USER: Final = "org.icij.datashare.session.DatashareUser"
STACKTRACE_ITEM: Final = "org.icij.datashare.asynctasks.bus.amqp.TaskError$StacktraceItem"


def typed_arguments(args: dict[str, Any]) -> dict[str, Any]:
    """Return a task's arguments with the classes of all that is in them.

    Raises Clash where user data is called `@type`, and CannotMigrate for a class whose fields are not known.
    """
    return _object(UNMODIFIABLE_MAP, args, dict.fromkeys(args, _typed_inside))


def typed_stacktrace(items: list[Any]) -> list[Any]:
    """Return a stack trace with the classes of the list, which is one of two by its length, and of its lines."""
    name = "List12" if len(items) in (1, 2) else "ListN"
    return _pair(f"java.util.ImmutableCollections${name}", [_object(STACKTRACE_ITEM, item, {}) for item in items])


def _typed_inside(value: Any) -> Any:
    """Type what is in a value that, right under `args`, has its own class already."""
    name = value.get("@type") if isinstance(value, dict) else None
    if isinstance(name, str) and is_class(name):
        if name not in FIELDS and not name.startswith("java."):
            message = f"it is not known how the typed mapper writes a {name}"
            raise CannotMigrate(message)
        return _object(name, value, FIELDS.get(name, {}))
    if isinstance(value, list) and len(value) == 2 and is_class(value[0]):
        return [value[0], list(map(_any, value[1])) if isinstance(value[1], list) else value[1]]
    return _any(value)


def _object(name: str, value: Mapping[str, Any], fields: Mapping[str, Typer]) -> dict[str, Any]:
    if "@type" in value and value["@type"] != name:
        message = f"@type is there already, where the class {name} should stand"
        raise Clash(message)
    return {"@type": name, **{k: fields.get(k, _any)(v) for k, v in value.items() if k != "@type"}}


def _pair(name: str, value: Any) -> list[Any]:
    return [name, value]


def _any(value: Any) -> Any:
    """Type a value of no known class: user data."""
    if isinstance(value, dict):
        return _object(MAP, value, {})
    return _pair(LIST, list(map(_any, value))) if isinstance(value, list) else value


def _scalar(name: str) -> Typer:
    return lambda value: value if value is None else _pair(name, value)


def _objects(name: str, fields: Mapping[str, Typer]) -> Typer:
    return lambda value: _object(name, value, fields) if isinstance(value, dict) else value


def _list(name: str, typer: Typer) -> Typer:
    return lambda value: _pair(name, list(map(typer, value))) if isinstance(value, list) else value


def _groups(value: Any) -> Any:
    """Type the projects that a local user may see, which Datashare makes with Map.of and singletonList."""
    return _object(MAP_OF_ONE, value, dict.fromkeys(value, _group)) if _is_one(value, dict) else _any(value)


def _group(value: Any) -> Any:
    return _pair(LIST_OF_ONE, list(map(_any, value))) if _is_one(value, list) else _any(value)


def _is_one(value: Any, kind: type[dict[str, Any]] | type[list[Any]]) -> bool:
    return isinstance(value, kind) and len(value) == 1


def _user(value: Any) -> Any:
    """Type a user; only a plain User is written with details."""
    if not isinstance(value, dict):
        return value
    return _object(USER if "details" in value else DATASHARE_USER, value, USER_FIELDS)


USER_FIELDS: Final = {"details": _objects(UNMODIFIABLE_MAP, {"groups_by_applications": _groups})}
PROJECT_FIELDS: Final = {"sourcePath": _scalar(PATH), "creationDate": _scalar(DATE), "updateDate": _scalar(DATE)}
FIELDS: Final[Mapping[str, Mapping[str, Typer]]] = {
    USER: USER_FIELDS,
    DATASHARE_USER: USER_FIELDS,
    "org.icij.datashare.batch.BatchDownload": {
        "projects": _list(UNMODIFIABLE_LIST, _objects(PROJECT, PROJECT_FIELDS)),
        "filename": _scalar(PATH),
        "query": _objects(QUERY, {}),
        "user": _user,
    },
    "org.icij.datashare.batch.BatchSearchRecord": {
        "projects": _list(LIST, lambda name: name),
        "date": _scalar(DATE),
        "user": _user,
    },
}

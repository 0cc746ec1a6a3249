"""Small edits of a decoded record, for those who write a migration: each refuses to guess.

A path names a place: `task.args.user`, and with `[]` every item of a list: `task.args.batchDownload.projects[].label`.
All edit the record in place, and keep the order of its keys. Lists may be empty; anything else must be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

Record = dict[str, Any]
"""A decoded record. Numbers with a fraction or an exponent are `msgspec.Raw`: they are written back as they were."""

ITEMS: Final = "[]"


class CannotMigrate(ValueError):
    """A record cannot be taken to another generation; the text is the reason."""


class Absent(CannotMigrate):
    """There is nothing at a path."""


class Clash(CannotMigrate):
    """There is something already where something should come to stand."""


class NotAnObject(CannotMigrate):
    """A path leads through something that is no object, or through `[]` where there is no list."""


def rename(record: Record, path: str, name: str) -> None:
    """Rename the field at a path, in its place. Raises Absent, Clash, NotAnObject."""
    for holder, key in _places(record, path):
        _check(holder, key, path)
        if name in holder:
            message = f"{name} is there already, beside {path}"
            raise Clash(message)
        fields = [(name if field == key else field, value) for field, value in holder.items()]
        holder.clear()
        holder.update(fields)


def rename_value(record: Record, path: str, names: Mapping[str, str]) -> None:
    """Exchange the text at a path for its new name; a text without one stays. Raises Absent, NotAnObject."""
    change(record, path, lambda value: names.get(value, value) if isinstance(value, str) else value)


def add(record: Record, path: str, value: Any) -> None:
    """Put a new field at a path. Raises Clash, NotAnObject, and Absent where the object that shall hold it is not."""
    for holder, key in _places(record, path):
        if key in holder:
            message = f"{path} is there already"
            raise Clash(message)
        holder[key] = value


def remove(record: Record, path: str) -> Any:
    """Take the field at a path, which has no `[]`, and give its value. Raises Absent, NotAnObject."""
    ((holder, key),) = _places(record, path)
    _check(holder, key, path)
    return holder.pop(key)


def move(record: Record, path: str, to: str) -> None:
    """Take the field at a path to the end of another object; both paths are without `[]`.

    Raises Absent, Clash, NotAnObject; nothing has then moved.
    """
    ((holder, key),) = _places(record, path)
    _check(holder, key, path)
    add(record, to, holder[key])
    del holder[key]


def change(record: Record, path: str, function: Callable[[Any], Any]) -> None:
    """Put in the place of each value at a path what a function makes of it. Raises Absent, NotAnObject."""
    for holder, key in _places(record, path):
        if isinstance(holder, dict):
            _check(holder, key, path)
        holder[key] = function(holder[key])


def has(record: Record, path: str) -> bool:
    """Whether there is something at a path, be it a null, or an item in its list. Never raises."""
    try:
        return any(not isinstance(holder, dict) or key in holder for holder, key in _places(record, path))
    except CannotMigrate:
        return False


def _check(holder: Any, key: Any, path: str) -> None:
    if not isinstance(holder, dict):
        message = f"{path}: an item of a list is no field"
        raise NotAnObject(message)
    if key not in holder:
        message = f"there is no {path}"
        raise Absent(message)


def _places(record: Record, path: str) -> Iterator[tuple[Any, Any]]:
    """Return each object (or list) that a path leads to, and the key (or index) in it."""
    *way, last = _parts(path)
    holders: list[Any] = [record]
    for part in way:
        holders = [holder[key] for holder in holders for key in _keys(holder, part, path, must_be_there=True)]
    return iter([(holder, key) for holder in holders for key in _keys(holder, last, path)])


def _keys(holder: Any, part: str, path: str, *, must_be_there: bool = False) -> Any:
    if not isinstance(holder, list if part == ITEMS else dict):
        message = f"{path}: {part} is asked of {'no list' if part == ITEMS else 'no object'}"
        raise NotAnObject(message)
    if part == ITEMS:
        return range(len(holder))
    if must_be_there:
        _check(holder, part, path)
    return (part,)


@lru_cache
def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.replace(ITEMS, f".{ITEMS}").split("."))

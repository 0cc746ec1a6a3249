"""How Datashare's typed mapper says the Java classes of values, and how to take that off.

It writes an object with its class (`@type`, before 18.0 `@class`), and a list, date or path as a pair of both.
The plain mapper does so only for each value right under `args`, for a result's value and for an error.
"""

from __future__ import annotations

from typing import Any, Final

from tasks.datashare.edits import rename

CLASSES: Final = ("java.", "org.icij.", "sun.nio.", "[L")
"""How the names of all classes begin that the mappers allow; a user's own `@type` hardly does."""


def is_class(name: Any) -> bool:
    """Say whether a value is the name of a Java class that the mappers allow."""
    return isinstance(name, str) and name.startswith(CLASSES)


def untyped(value: Any, marker: str = "@type") -> Any:
    """Take the classes off a value and all that is in it, in place; user data that only looks so stays."""
    kind = type(value)
    if kind is dict:
        if is_class(value.get(marker)):
            del value[marker]
        return _untyped_inside(value, marker)
    if kind is list:
        if len(value) == 2 and is_class(value[0]):
            value = value[1]
            if type(value) is not list:
                return untyped(value, marker)
        return _untyped_inside(value, marker)
    return value


def _untyped_inside(value: Any, marker: str) -> Any:
    for key, one in value.items() if type(value) is dict else enumerate(value):
        kind = type(one)
        if kind is dict or kind is list:
            value[key] = untyped(one, marker)
    return value


def typed_outside(value: Any, marker: str = "@type") -> Any:
    """Leave a value its own class, as `@type`, and take off those of what is in it, in place. Raises Clash."""
    if type(value) is dict:
        if marker != "@type" and is_class(value.get(marker)):
            rename(value, marker, "@type")
        return _untyped_inside(value, marker)
    if type(value) is list:
        if len(value) == 2 and is_class(value[0]):
            if type(value[1]) is list:
                _untyped_inside(value[1], marker)
            return value
        return _untyped_inside(value, marker)
    return value


def check_fully_typed(value: Any, path: str) -> None:
    """Raise ValueError where an object or a list does not say its class: the typed mapper then fails."""
    if isinstance(value, dict):
        _check_class(value.get("@type"), path)
        for key, one in value.items():
            check_fully_typed(one, f"{path}.{key}")
    elif isinstance(value, list):
        _check_class(value[0] if len(value) == 2 else None, path)
        for one in value[1] if isinstance(value[1], list) else ():
            check_fully_typed(one, f"{path}[]")


def _check_class(name: Any, path: str) -> None:
    if not is_class(name):
        message = f"{path} does not say its Java class"
        raise ValueError(message)

"""What differs between two JSON values, as a list of paths with the old and the new value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from tasks.changes.protocols import Image

LONGEST: Final = 1 << 20
"""Characters; a record that is longer is not taken apart."""
Path = tuple[str | int, ...]
"""The way from the whole value to a part of it: keys of objects, indexes of arrays."""


class Nothing(Enum):
    """A value that is not there, which null is not."""

    ABSENT = "absent"


ABSENT: Final = Nothing.ABSENT


class Number(str):
    """A JSON number as it is written: 1.10 is another text than 1.1, and no digit of a long one is lost."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One place that differs. In an array, an absent `old` is inserted at its index and an absent `new` taken out."""

    path: Path
    old: Any
    new: Any


def changes_between(before: Image, after: Image) -> list[Change] | None:
    """Return the changes that make `after` of `before`, in the order in which they can be made.

    Texts in a record that hold JSON themselves are gone into. Returns None where the images are not both JSON objects,
    or both arrays, or differ only in how they are written.
    """
    try:
        old, new = container(before), container(after)
        if ABSENT in (old, new) or type(old) is not type(new):
            return None
        return list(_differences((), old, new)) or None
    except RecursionError:  # JSON that deep was not written for people
        return None


def container(image: object) -> Any:
    """Return the JSON object or array that an image or a text holds, ABSENT where it holds none.

    An object with the same key twice is no object: what is shown of it would not be all of it. Nor is a text
    that is longer than a person would read.
    """
    if isinstance(image, dict):
        return image
    try:
        text = image.decode() if isinstance(image, bytes) else image
        if not isinstance(text, str) or len(text) > LONGEST or not text.lstrip(" \t\n\r").startswith(("{", "[")):
            return ABSENT
        return DECODER.decode(text)
    except ValueError:
        return ABSENT


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        message = "the same key twice"
        raise ValueError(message)
    return found


DECODER: Final = json.JSONDecoder(
    parse_int=Number, parse_float=Number, parse_constant=Number, object_pairs_hook=_without_doubles
)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same; unlike for Python, 1 is not true and not 1.0."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is dict:
        return len(one) == len(other) and all(key in other and same(one[key], other[key]) for key in one)
    if kind is list:
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _differences(path: Path, old: Any, new: Any) -> Iterator[Change]:
    """Compare two values that differ; what they have in common is passed over whole, which is most of it."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            before, after = old.get(key, ABSENT), new.get(key, ABSENT)
            if not same(before, after):
                yield from _differences((*path, key), before, after)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _in_arrays(path, old, new)
    else:
        yield from _in_texts(path, old, new) or [Change(path, old, new)]


def _in_texts(path: Path, old: Any, new: Any) -> list[Change]:
    """Return the changes in two texts that hold JSON objects, or arrays; none where they do not."""
    inner, other = (container(one) if isinstance(one, str) else ABSENT for one in (old, new))
    if inner is ABSENT or type(inner) is not type(other):
        return []
    return list(_differences(path, inner, other))


def _in_arrays(path: Path, old: list[Any], new: list[Any]) -> Iterator[Change]:
    """Pass over what is the same at the beginning and at the end, so that one item more does not change them all."""
    shorter = min(len(old), len(new))
    start = _same_length(old, new, shorter)
    end = _same_length(old[::-1], new[::-1], shorter - start)
    middle = shorter - end
    for index in range(start, middle):
        if not same(old[index], new[index]):
            yield from _differences((*path, index), old[index], new[index])
    for index in range(middle, len(new) - end):
        yield Change((*path, index), ABSENT, new[index])
    for index in reversed(range(middle, len(old) - end)):
        yield Change((*path, index), old[index], ABSENT)


def _same_length(old: list[Any], new: list[Any], limit: int) -> int:
    length = 0
    while length < limit and same(old[length], new[length]):
        length += 1
    return length

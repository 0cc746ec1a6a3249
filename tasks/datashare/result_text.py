"""The text of a task's result in SQL: read strictly, and changed in one place only, so that all else stays as it is."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from tasks.datashare.reader import MAX_NESTING_DEPTH, MAX_NUMBER_LENGTH, depth, longest_number

PLAIN: Final = re.compile(r'{"value":(0|-?[1-9][0-9]{0,17})}').fullmatch
"""What nearly all results of the old form are; to decode them takes four times as long."""
SPACE: Final = re.compile(r"[ \t\n\r]*")


class Unreadable(ValueError):
    """A result that Datashare could not read either."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        message = "its result has a key twice in one object"
        raise Unreadable(message)
    return found


DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_without_doubles)


def result_in(text: str) -> dict[str, Any]:
    """Read a task's result, an object with a `value`.

    Raises Unreadable.
    """
    if plain := PLAIN(text):
        return {"value": int(plain[1])}
    result = _decoded(text)
    if not isinstance(result, dict) or "value" not in result:
        message = "its result has no value"
        raise Unreadable(message)
    return result


def _decoded(text: str) -> Any:
    value = text.encode(errors="surrogatepass")
    if longest_number(value) > MAX_NUMBER_LENGTH:
        message = f"its result has a number of more than the {MAX_NUMBER_LENGTH} digits that Datashare reads"
        raise Unreadable(message)
    try:
        result = DECODER.decode(text)
    except Unreadable:
        raise
    except ValueError as error:
        message = "its result is not JSON"
        raise Unreadable(message) from error
    except RecursionError as error:
        message = "its result is nested too deeply"
        raise Unreadable(message) from error
    if depth(value) > MAX_NESTING_DEPTH:
        message = f"its result is nested deeper than the {MAX_NESTING_DEPTH} levels that Datashare reads"
        raise Unreadable(message)
    return result


def span_of_value(text: str) -> tuple[int, int]:
    """Return where in the text of a result its value begins and ends."""
    at = _past_space(text, 0)
    while True:
        at = _past_space(text, at + 1)  # past the brace, or the comma
        key, at = DECODER.raw_decode(text, at)
        start = _past_space(text, _past_space(text, at) + 1)  # past the colon
        _, end = DECODER.raw_decode(text, start)
        if key == "value":
            return start, end
        at = _past_space(text, end)


def _past_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    assert found  # noqa: S101  # for mypy: it matches nothing too
    return found.end()


def with_value(text: str, result: dict[str, Any], value: str) -> str:
    """Return the text of a result with another value; what is beside that stays, character by character."""
    if len(result) == 1:
        return f'{{"value":{value}}}'
    start, end = span_of_value(text)
    return f"{text[:start]}{value}{text[end:]}"

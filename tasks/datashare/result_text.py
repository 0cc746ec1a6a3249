"""The text of a task's result in SQL: read strictly, and changed in one place only, so that all else stays as it is."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from tasks.datashare.reader import check_limits
from tasks.datashare.records import UnreadableRecord

PLAIN: Final = re.compile(r'{"value":(0|-?[1-9][0-9]{0,17})}').fullmatch
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


DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
STRICT: Final = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_without_doubles)


def number_alone(text: str) -> int | None:
    """Return the number in a result of which that is all, None where it is another.

    Nearly all results of the old form are so; to decode them takes four times as long.
    """
    plain = PLAIN(text)
    return int(plain[1]) if plain else None


def value_in(text: str) -> Any:
    """Return the value of a task's result, which is an object with that in it. Raises Unreadable."""
    return _decoded(text, DECODER)["value"]


def _decoded(text: str, decoder: json.JSONDecoder) -> dict[str, Any]:
    try:
        check_limits(text.encode(errors="surrogatepass"))
        result = decoder.decode(text)
    except Unreadable:
        raise
    except UnreadableRecord as error:
        raise Unreadable(str(error)) from error
    except ValueError as error:
        message = "its result is not JSON"
        raise Unreadable(message) from error
    except RecursionError as error:
        message = "its result is nested too deeply"
        raise Unreadable(message) from error
    if not isinstance(result, dict) or "value" not in result:
        message = "its result has no value"
        raise Unreadable(message)
    return result


def check_keys(text: str) -> None:
    """Raise Unreadable where a result, an object with a value, has a key twice in one object."""
    _decoded(text, STRICT)


def with_value(text: str, value: str) -> str:
    """Return the text of a result with another value; what is beside that stays, character by character.

    Raises Unreadable.
    """
    if len(_decoded(text, STRICT)) == 1:
        return with_value_alone(value)
    start, end = span_of_value(text)
    return f"{text[:start]}{value}{text[end:]}"


def with_value_alone(value: str) -> str:
    """Return the text of a result that is nothing but a value."""
    return f'{{"value":{value}}}'


def span_of_value(text: str) -> tuple[int, int]:
    """Return where in the text of a result, an object with a value, that begins and ends."""
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

"""The templates of prefect.yaml, `{{ $NAME }}`, which Prefect fills in when it deploys."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

SHORTEST = 6
OURS = "STEWARD_"
DEEP = 3  # Prefect too fills in what stands in a value
TEMPLATE = re.compile(r"\{\{\s*(.+?)\s*\}\}")


def value_of(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the value of a template such as `$NAME`, or None; an empty variable has none."""
    return environ.get(name.removeprefix("$")) or None


def fill(text: str, environ: Mapping[str, str]) -> str:
    """Return the text with its template variables filled in, as far as they have a value, and those in the values."""
    for _ in range(DEEP):
        text = TEMPLATE.sub(lambda match: value_of(match[1], environ) or match[0], text)
    return text


def misspelt(data: object, environ: Mapping[str, str]) -> Iterator[str]:
    """Find each variable that is set and unknown, and that looks like one that is known and not set."""
    known = {name.removeprefix("$") for _, _, text in texts(data, "") for name in TEMPLATE.findall(text)}
    for name in sorted(environ.keys() - known):
        near = get_close_matches(name, known - environ.keys(), n=1, cutoff=0.9) if name.startswith(OURS) else []
        yield from (f"{name} is set and used nowhere: is it meant to be {other}?" for other in near)


def hide(text: str, environ: Mapping[str, str], data: object) -> str:
    """Return the text with the names of the data's template variables in the place of their values.

    Not of those that are so short that they are in any text.
    """
    for name in {name for _, _, found in texts(data, "") for name in TEMPLATE.findall(found)}:
        value = value_of(name, environ) or ""
        if len(value) >= SHORTEST:
            text = text.replace(value, name)
    return text


def fill_all(data: Any, environ: Mapping[str, str]) -> Any:
    """Return the data with the template variables of all its texts filled in."""
    if isinstance(data, dict):
        return {name: fill_all(value, environ) for name, value in data.items()}
    if isinstance(data, list):
        return [fill_all(one, environ) for one in data]
    return fill(data, environ) if isinstance(data, str) else data


def unset(data: object, environ: Mapping[str, str], where: str = "") -> Iterator[str]:
    """Find each template variable that has no value: Prefect drops what it stands for, without a word."""
    for place, _, text in texts(data, where):
        for name in TEMPLATE.findall(text):
            if name.startswith("$") and value_of(name, environ) is None:
                yield f"{place}: {name} is not set and has no default in definitions.environment"


def texts(data: Any, where: str, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Find each text in the data, except references to blocks; yield its place, its key and the text."""
    if isinstance(data, dict) and "$ref" not in data:
        for name, value in data.items():
            yield from texts(value, f"{where}.{name}".lstrip("."), str(name))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            label = value.get("name", number) if isinstance(value, dict) else number
            yield from texts(value, f"{where}.{label}", key)
    elif isinstance(data, str):
        yield where, key, data

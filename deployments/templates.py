"""The templates of prefect.yaml, `{{ $NAME }}`, which Prefect fills in when it deploys."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

TEMPLATE = re.compile(r"\{\{\s*(.+?)\s*\}\}")


def value_of(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the value of a template such as `$NAME`, or None; an empty variable has none."""
    return environ.get(name.removeprefix("$")) or None


def fill(text: str, environ: Mapping[str, str]) -> str:
    """Return the text with its template variables filled in, as far as they have a value."""
    return TEMPLATE.sub(lambda match: value_of(match[1], environ) or match[0], text)


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

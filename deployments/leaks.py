"""Secrets in prefect.yaml: Prefect resolves templates when it deploys and stores the result in clear text."""

import re
from collections.abc import Iterator
from typing import Any

TEMPLATE = re.compile(r"\{\{\s*(.+?)\s*\}\}")
SECRET_NAME = re.compile(r"passw|secret|token|api_?key|private_?key|auth_string|credential", re.IGNORECASE)
SECRET_URL = re.compile(r"://[^/\s@]*:[^/\s@]+@")


def leaks(data: object, where: str = "") -> Iterator[str]:
    """Find each place in the data that holds a secret, or would once it is deployed; never the secret itself."""
    for place, key, text in _texts(data, where):
        names = TEMPLATE.findall(text)
        if any(name.startswith("prefect.blocks.") for name in names):
            yield f"{place}: a prefect.blocks template is stored in clear text; use $ref: {{block_document_slug: …}}"
        elif any(SECRET_NAME.search(name) for name in names) or (SECRET_NAME.search(key) and text):
            yield f"{place}: looks like a secret; put it in a block and refer to that with $ref"
        elif SECRET_URL.search(text):
            yield f"{place}: a URL with a password; put it in a block and refer to that with $ref"


def _texts(data: Any, where: str, key: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(data, dict) and "$ref" not in data:
        for name, value in data.items():
            yield from _texts(value, f"{where}.{name}".lstrip("."), str(name))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            label = value.get("name", number) if isinstance(value, dict) else number
            yield from _texts(value, f"{where}.{label}", key)
    elif isinstance(data, str):
        yield where, key, data

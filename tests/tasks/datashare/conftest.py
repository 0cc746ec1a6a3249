"""Real records of every generation, as Datashare's own mappers wrote them."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import sandbox

SAMPLES = Path(sandbox.__file__).parent / "samples" / "datashare"
LINES = {path.stem: path.read_bytes().splitlines() for path in sorted(SAMPLES.glob("*.jsonl"))}
FILES = {stem: list(map(json.loads, lines)) for stem, lines in LINES.items()}
ALL = {f"{stem}:{place}": record for stem, records in FILES.items() for place, record in enumerate(records, 1)}


def _task(record: dict[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = record.get("task", record)
    return task


def _arguments(record: dict[str, Any]) -> dict[str, Any]:
    task = _task(record)
    arguments: dict[str, Any] = task.get("args") or task["properties"]
    return arguments


DOWNLOADS = {name: record for name, record in ALL.items() if "batchDownload" in _arguments(record)}
OTHERS = {name: record for name, record in ALL.items() if name not in DOWNLOADS}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a test that takes `download`, `other` or `sample` run for each such record."""
    for name, records in (("download", DOWNLOADS), ("other", OTHERS), ("sample", ALL)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(map(deepcopy, records.values())), ids=list(records))


@pytest.fixture
def lines() -> dict[str, list[bytes]]:
    """Give the records of each file, as they are stored."""
    return LINES


@pytest.fixture
def written() -> Callable[..., bytes]:
    """Write a record, with another location for its archive (in the form it had), state, id or times."""

    def write(record: dict[str, Any], location: str | None = None, **changes: Any) -> bytes:
        if location is not None:
            download = _arguments(record)["batchDownload"]
            pair = isinstance(download["filename"], list)
            download["filename"] = [download["filename"][0], location] if pair else location
        _task(record).update(changes)
        return json.dumps(record).encode()

    return write

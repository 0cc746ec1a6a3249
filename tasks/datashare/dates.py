"""When a task was created, where its record does not say: as its archive's name says, else a declared fallback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from tasks.datashare.archives import date_in
from tasks.datashare.edits import CannotMigrate, Record
from tasks.datashare.registry import Context

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ARCHIVES: Final = (("args", "batchDownload", "filename"), ("result", "uri"), ("result", "value", "uri"))


def give_date(task: Record, context: Context) -> None:
    """Set the createdAt of a flat task, milliseconds since 1970, UTC, where it has none; the notes say from where.

    Raises CannotMigrate where there is no date and no fallback.
    """
    if task.get("createdAt") is not None:
        return
    if date := _date_of_archive(task):
        context.notes.append("dated by its archive")
    elif date := context.undated:
        context.notes.append(f"no date: {date.isoformat()}")
    else:
        message = "no date in the record nor in an archive's name: --undated 2024-01-01T00:00:00Z would give it one"
        raise CannotMigrate(message)
    task["createdAt"] = (date - EPOCH) // timedelta(milliseconds=1)


def _date_of_archive(task: Record) -> datetime | None:
    for path in ARCHIVES:
        location: Any = task
        for name in path:
            location = location.get(name) if isinstance(location, dict) else None
        if isinstance(location, str) and (date := date_in(unquote_to_bytes(location.rpartition("/")[2]))):
            return date
    return None

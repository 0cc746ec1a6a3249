"""An action as a person reads it: which record, why, and what changes in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tasks.changes.json_changes import changes_between
from tasks.changes.json_reading import changes_read, value_read
from tasks.changes.plan_file import to_json
from tasks.changes.protocols import Action, Image, text_of
from tasks.changes.texts import clipped, printable

PATHS: Final = 40
"""How many paths of a record are shown; a record that changes in more is another record."""


@dataclass(slots=True)  # not frozen: whole plans are shown
class Shown:
    """What is shown of an action, all of it printable; `sign` is `-` for a removal, `+` for a new record, else `~`."""

    sign: str
    key: str
    reason: str
    detail: str
    inside: list[str]
    """What changes in the record: paths where it is JSON, else what stands there and what will."""

    def __str__(self) -> str:
        return f"{self.sign} {self.key}  {self.reason}  {self.detail}".rstrip()


def shown(action: Action) -> Shown:
    """Return what is shown of an action."""
    sign = "-" if action.after is None else "+" if action.before is None else "~"
    key = printable(clipped(text_of(action.key)))
    return Shown(sign, key, printable(action.reason), printable(clipped(action.detail)), _inside(action))


def _inside(action: Action) -> list[str]:
    if action.before is not None and action.after is not None:
        changes = changes_between(action.before, action.after)
        if changes:
            lines = changes_read(changes)
            more = len(lines) - PATHS
            return lines if more <= 0 else [*lines[:PATHS], f"… and {more:,} more paths"]
    images = [("before", action.before), ("after ", action.after)]
    return [f"{name} {printable(clipped(_readable(image)))}" for name, image in images if image is not None]


def _readable(image: Image) -> str:
    """Return an image as text; of bytes that are no text, their base64."""
    text = to_json(image)
    return text if isinstance(text, str) else value_read(text)

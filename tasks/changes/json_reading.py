"""Changes in a JSON record as a person reads them: a line for each path, and one for all that only moved."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from tasks.changes.json_changes import ABSENT, Change, Number, Path
from tasks.changes.texts import clipped, clipped_pair, printable

VALUE: Final = 120
CANDIDATES: Final = 50
"""Of places that a value may have moved to, so many are compared; a long list of nulls has thousands."""
PLAIN: Final = re.compile(r"[\w@$-]+")
Moves = dict[tuple[Path, Path], list[Path]]
"""From where to where, and which paths below."""


def changes_read(changes: Sequence[Change]) -> list[str]:
    """Return a line for each path: `~` the value is another, `-` it goes, `+` it comes, `>` it is elsewhere."""
    parts = [part for change in changes for part in _leaves(change)]
    moves = moved(parts)
    lines = [_move_read(*move) for move in moves.items()]
    gone = {(*before, *below) for (before, _), all_below in moves.items() for below in all_below}
    come = {(*after, *below) for (_, after), all_below in moves.items() for below in all_below}
    lines += [
        _change_read(part)
        for part in parts
        if not (part.new is ABSENT and part.path in gone) and not (part.old is ABSENT and part.path in come)
    ]
    return [printable(line) for line in lines]


def _leaves(change: Change) -> Iterator[Change]:
    """Take apart what comes or goes whole, down to its single values."""
    value = change.old if change.new is ABSENT else change.new
    if ABSENT not in (change.old, change.new) or not isinstance(value, dict | list) or not value:
        yield change
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        path = (*change.path, key)
        yield from _leaves(Change(path, inner, ABSENT) if change.new is ABSENT else Change(path, ABSENT, inner))


def moved(changes: Sequence[Change]) -> Moves:
    """Find the values that go in one place and come in another, under the same name."""
    coming: dict[tuple[str | int, str], list[Path]] = defaultdict(list)
    for change in changes:
        if change.old is ABSENT:
            coming[change.path[-1], value_read(change.new)].append(change.path)
    moves: Moves = {}
    for change in changes:
        others = coming[change.path[-1], value_read(change.old)] if change.new is ABSENT else []
        if others:
            path = max(others[:CANDIDATES], key=partial(_common_end, change.path))
            others.remove(path)
            length = _common_end(change.path, path)
            prefixes = change.path[:-length], path[:-length]
            moves.setdefault(prefixes, []).append(change.path[-length:])
    return moves


def _common_end(path: Path, other: Path) -> int:
    """Return how many steps two paths have in common at their ends."""
    length = 0
    while length < min(len(path), len(other)) and path[-1 - length] == other[-1 - length]:
        length += 1
    return length


def path_read(path: Path) -> str:
    """Return a path as `task.args[0]["odd key"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def value_read(value: Any) -> str:
    """Return a value as JSON; of numbers, the very digits that the record has."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        inside = (f"{json.dumps(key, ensure_ascii=False)}: {value_read(one)}" for key, one in value.items())
        return f"{{{', '.join(inside)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(value_read, value))}]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _move_read(move: tuple[Path, Path], below: list[Path]) -> str:
    before, after = (path_read(path) or "the top" for path in move)
    return f"> {before} → {after}: {clipped(', '.join(map(path_read, below)))}"


def _change_read(change: Change) -> str:
    path = path_read(change.path)
    if change.old is ABSENT:
        return f"+ {path}: {clipped(value_read(change.new), VALUE)}"
    if change.new is ABSENT:
        return f"- {path}: {clipped(value_read(change.old), VALUE)}"
    old, new = clipped_pair(value_read(change.old), value_read(change.new), VALUE)
    return f"~ {path}: {old} → {new}"

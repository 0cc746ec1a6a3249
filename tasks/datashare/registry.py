"""Generations of a record, the steps between them, and the way from one to another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from tasks.datashare.edits import CannotMigrate, Record
from tasks.datashare.records import FOREIGN, UnreadableRecord


class Reader(Protocol):
    """What reads one generation's records."""

    def check(self, value: bytes) -> None:
        """Raise UnreadableRecord, whose text is the reason, where a record would not be read rightly."""


@dataclass(frozen=True, eq=False)
class Generation:
    """The records of some releases: how to tell them by their shape, and what their reader accepts."""

    number: int
    looks_like: Callable[[Record], bool]
    reader: Reader

    def __str__(self) -> str:
        return f"G{self.number}"


@dataclass(slots=True)
class Context:
    """What a step may use beside the record, and where it notes what it had to assume."""

    undated: datetime | None = None
    """Stands in for a date that is nowhere in a record; None: such a record cannot be taken on."""
    notes: list[str] = field(default_factory=list)
    """Become part of the reason, which reports count: so without names, ids or dates of records."""


Change = Callable[[Record, Context], Record]
"""Takes a decoded record, which it may edit, and gives the changed one. Raises CannotMigrate. No I/O, no clock."""


@dataclass(frozen=True)
class Step:
    """One hop between two generations."""

    source: Generation
    target: Generation
    change: Change
    loses: str = ""
    """What cannot be had back from the result; empty: nothing."""
    inverse: Change | None = None
    """Takes the result back to what it was. A step that loses nothing must have it."""

    def __post_init__(self) -> None:
        if bool(self.loses) == bool(self.inverse):
            message = f"{self.name} needs either an inverse, or to say what it loses"
            raise TypeError(message)

    @property
    def name(self) -> str:
        """Return the name of the function."""
        return getattr(self.change, "__name__", str(self.change))

    def __call__(self, record: Record, context: Context) -> Record:
        """Take a record one hop on. Raises CannotMigrate, whatever may be wrong with the record."""
        try:
            return self.change(record, context)
        except CannotMigrate:
            raise
        except Exception as error:
            message = f"{self.name} does not know this form of record: {error!r}"
            raise CannotMigrate(message) from error


class Registry:
    """The steps that there are, and so the generations."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps = tuple(steps)

    @cached_property
    def generations(self) -> Mapping[str, Generation]:
        """Return the generations by name, newest first."""
        found = {one for step in self.steps for one in (step.source, step.target)}
        return {str(one): one for one in sorted(found, key=lambda one: -one.number)}

    def recognise(self, record: Any) -> Generation:
        """Return the generation of a decoded record, by its shape. Raises UnreadableRecord."""
        if isinstance(record, dict):
            for generation in self.generations.values():
                if generation.looks_like(record):
                    return generation
            message = f"{FOREIGN}: @type {record.get('@type')}, @class {record.get('@class')}"
            raise UnreadableRecord(message)
        message = f"{FOREIGN}: no object"
        raise UnreadableRecord(message)

    @cached_property
    def _ways(self) -> dict[tuple[Generation, Generation], tuple[Step, ...]]:
        return {(source, target): way for source in self.generations.values() for target, way in self._from(source)}

    def _from(self, source: Generation) -> list[tuple[Generation, tuple[Step, ...]]]:
        ways: dict[Generation, tuple[Step, ...]] = {source: ()}
        queue = deque([source])
        while queue:
            here = queue.popleft()
            for step in self.steps:
                if step.source is here and step.target not in ways:
                    ways[step.target] = (*ways[here], step)
                    queue.append(step.target)
        return list(ways.items())

    def way(self, source: Generation, target: Generation) -> tuple[Step, ...]:
        """Return the fewest steps from one generation to another. Raises CannotMigrate where there is no way."""
        if (way := self._ways.get((source, target))) is None:
            message = f"there is no step that leads from {source} to {target}"
            raise CannotMigrate(message)
        return way

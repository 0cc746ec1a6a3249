"""Judges task records: one of another generation than the target becomes one of the target, if it can be read then."""

from __future__ import annotations

import json
import pkgutil
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, Final

import msgspec

from tasks.changes.errors import BadInput
from tasks.changes.plan_file import Counts
from tasks.changes.protocols import Keep, Key, Problem, Replace, Verdict
from tasks.datashare import steps
from tasks.datashare.edits import CannotMigrate
from tasks.datashare.records import FOREIGN, UnreadableRecord, decoded
from tasks.datashare.registry import Context, Generation, Registry

TARGETS: Final[Mapping[str, str]] = {"plain": "G4", "typed": "G3"}
"""What an operator calls the generations that a Datashare of 20.2.1 or newer reads."""


def _number(lexeme: str) -> msgspec.Raw:
    return msgspec.Raw(lexeme.encode())


_decode: Final = msgspec.json.Decoder(float_hook=_number).decode
_encode: Final = msgspec.json.Encoder().encode


def all_steps() -> Registry:
    """Return the steps of all files in tasks/datashare/steps."""
    files = (import_module(f"{steps.__name__}.{found.name}") for found in pkgutil.iter_modules(steps.__path__))
    return Registry(step for file in files for step in file.STEPS)


class ToGeneration:
    """Judges task records by what the target's reader accepts.

    `target` is "plain" (G4, what today's Datashare reads), "typed" (G3) or a generation's name. `undated` stands in
    for the date of a record that has none. Raises BadInput for an unknown target, or a fallback without a timezone.
    """

    def __init__(
        self,
        target: str = "plain",
        undated: datetime | None = None,
        registry: Registry | None = None,
        remarks: Sequence[str] = (),
    ) -> None:
        self._registry = registry or all_steps()
        self._target = _generation(self._registry, target)
        if undated and undated.tzinfo is None:
            message = f"The fallback date {undated} needs a timezone: {undated.isoformat()}Z."
            raise BadInput(message)
        self._undated, self._remarks = undated, remarks
        self._check = self._target.reader.check
        self._current = Keep(f"already {self._target}")

    def __call__(self, key: Key, value: bytes) -> Verdict:  # noqa: ARG002
        """Judge one record by its JSON."""
        try:
            self._check(value)
        except UnreadableRecord as refusal:
            try:
                return self._migrated(value, refusal)
            except (UnreadableRecord, CannotMigrate) as problem:
                return Problem(str(problem))
            except RecursionError:
                return Problem("it is nested too deep to be migrated")
        return self._current

    def remarks(self, _counts: Counts) -> Sequence[str]:
        """Return what was known before the scan."""
        return self._remarks

    def _migrated(self, value: bytes, refusal: UnreadableRecord) -> Replace:
        record = read(value)
        source = self._registry.recognise(record)
        if source is self._target:
            message = f"{source}, but Datashare would not read it: {refusal}"
            raise UnreadableRecord(message)
        context = Context(self._undated)
        for step in self._registry.way(source, self._target):
            record = step(record, context)
        after = _written(record)
        self._check_result(after, source)
        return Replace(after, ", ".join((f"{source} to {self._target}", *context.notes)))

    def _check_result(self, after: bytes, source: Generation) -> None:
        try:
            self._check(after)
        except UnreadableRecord as error:
            message = f"{source}, and as {self._target} Datashare would not read it: {error}"
            raise UnreadableRecord(message) from error


def _generation(registry: Registry, name: str) -> Generation:
    try:
        return registry.generations[TARGETS.get(name, name)]
    except KeyError:
        message = f"There is no generation {name}, only {', '.join((*TARGETS, *registry.generations))}."
        raise BadInput(message) from None


def read(value: bytes) -> Any:
    """Decode a record so that writing it loses nothing. Raises UnreadableRecord where a key is given twice."""
    try:
        record = decoded(value, _decode)
    except msgspec.ValidationError as error:
        message = f"{FOREIGN}: {error}"
        raise UnreadableRecord(message) from error
    if _written(record) != value:  # so it is not in Datashare's own form: look what would be lost
        return json.loads(value, object_pairs_hook=_without_doubles, parse_float=_number, parse_int=_whole)
    return record


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        message = f"it has the key {twice} twice in one object"
        raise UnreadableRecord(message)
    return found


def _whole(lexeme: str) -> int | msgspec.Raw:
    return _number(lexeme) if lexeme == "-0" else int(lexeme)


def _written(record: Any) -> bytes:
    return _encode(record)

"""Which objects in the quarantine may go for good: those past their grace that no row references, now as then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.changes.plan_file import Counts
from tasks.changes.protocols import Action, Key, Remove, Verdict, text_of
from tasks.datajoint.doubts import FOREIGN_REFERENCED, REFERENCED
from tasks.datajoint.orphans import Unreferenced
from tasks.stores.listing import Object
from tasks.stores.quarantine import PastGrace


class Waiting:
    """Judges what a location's quarantine holds, by its age there and by what references it at its old place.

    `unreferenced` is a judge of the same location without a grace of its own.
    """

    fresh_seconds = 0.0

    def __init__(self, quarantine: str, past_grace: PastGrace, unreferenced: Unreferenced) -> None:
        self._inside = len(quarantine) + 1
        self._past_grace, self._unreferenced = past_grace, unreferenced

    @property
    def sources(self) -> Sequence[str]:
        """Return the databases whose rows are read."""
        return self._unreferenced.sources

    def __call__(self, key: Key, value: Object) -> Verdict:
        """Judge one object by its key, QUARANTINE/TIME/KEY, and by when it was moved there."""
        waits = self._past_grace(key, value)
        return self._unreferenced(self._old_key(key), value) if isinstance(waits, Remove) else waits

    def _old_key(self, key: Key) -> str:
        return text_of(key)[self._inside :].partition("/")[2]

    def look_again(self, actions: Sequence[Action]) -> Mapping[Key, str]:
        """Ask whether a row references one of these objects now."""
        stays = self._unreferenced.look_again([Action(self._old_key(one.key), None, None) for one in actions])
        return {one.key: stays[old] for one in actions if (old := self._old_key(one.key)) in stays}

    def doubt(self, counts: Counts) -> str | None:
        """Doubt references that are none."""
        return self._unreferenced.doubt_empty(counts)

    def remarks(self, counts: Counts) -> list[str]:
        """Say how many objects were moved aside and are referenced."""
        missed = sum(n for reason, n in counts.kept.items() if reason.startswith(REFERENCED))
        missed += counts.ignored.get(FOREIGN_REFERENCED.reason, 0)
        if not missed:
            return []
        return [
            f"{missed:,} objects in the quarantine are referenced, and stay there. Where one is missing at its place, "
            "put it back: steward undo with the plan that moved it."
        ]

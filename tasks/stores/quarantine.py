"""The quarantine: a folder of the store itself, where removed objects wait to be put back by undo, or purged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from tasks.changes.protocols import Ignore, Keep, Key, Remove, Verdict, text_of
from tasks.stores.listing import Object

QUARANTINE: Final = ".steward-quarantine"
STAMP: Final = "%Y%m%dT%H%M%SZ"
WAITS: Final = Keep("in quarantine, younger than its grace period")
STRANGE: Final = Ignore("in quarantine, but not by a run")
OVER: Final = Remove("its grace period in quarantine is over")


def stamped(now: datetime) -> str:
    """Name the part of the quarantine for what a run moves there."""
    return now.astimezone(UTC).strftime(STAMP)


class PastGrace:
    """Judges what a store finds under its quarantine's prefix: what has lain there for the grace period goes for good.

    Age counts from the move: from when the run began to plan, or, where its copy is newer, as after a crash, from that.
    """

    def __init__(self, quarantine: str = QUARANTINE, *, now: datetime, grace: timedelta) -> None:
        self._inside = len(quarantine.strip("/")) + 1
        self._newest = now - grace

    def __call__(self, key: Key, value: Object) -> Verdict:
        """Judge one object by its key, QUARANTINE/TIME/KEY, and by when it was written there."""
        stamp = text_of(key)[self._inside :].partition("/")[0]
        try:
            begun = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
        except ValueError:
            return STRANGE
        return OVER if max(begun, value.modified) < self._newest else WAITS

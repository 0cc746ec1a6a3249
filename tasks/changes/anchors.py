"""Anchors: a few records that a plan leaves alone, by which its store can be recognised later."""

from __future__ import annotations

from typing import Final, Generic

from tasks.changes.protocols import Ignore, Judge, Keep, Key, V_contra, Verdict

ANCHORS: Final = 20
LONGEST: Final = 1000
LOOKED_AT: Final = 10_000
"""Records after which no more are looked for."""


def anchor_of(key: Key) -> str | None:
    """Return a key as an anchor, None where it is none that a plan keeps: too long, or no text."""
    if len(key) > LONGEST:
        return None
    try:
        return key if isinstance(key, str) else key.decode()
    except UnicodeDecodeError:
        return None


class Anchoring(Generic[V_contra]):
    """A judge that notes the keys of the first records that stay; the one that it asks is asked once for each."""

    def __init__(self, judge: Judge[V_contra], anchors: list[str]) -> None:
        """Note them in `anchors`."""
        self._judge, self._anchors = judge, anchors

    def __call__(self, key: Key, value: V_contra, /) -> Verdict:
        """Judge one record."""
        verdict = self._judge(key, value)
        if len(self._anchors) < ANCHORS and isinstance(verdict, Keep | Ignore):
            anchor = anchor_of(key)
            if anchor is not None:
                self._anchors.append(anchor)
        return verdict

    def enough(self, scanned: int) -> bool:
        """Whether it need not be asked any more, so that a long scan costs nothing."""
        return len(self._anchors) >= ANCHORS or scanned >= LOOKED_AT

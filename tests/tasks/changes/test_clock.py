"""What is measured runs on while a machine sleeps; a batch that had to wait so long is looked at again."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tasks.changes.clock import elapsed
from tasks.changes.protocols import Action, Key, Remove, Verdict


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has a clock that stops")
def test_n14_the_clock_runs_on_while_the_machine_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= elapsed() <= time.clock_gettime(time.CLOCK_BOOTTIME)


class Looking:
    """A judge that removes everything, and counts its looks."""

    def __init__(self) -> None:
        self.looked: list[list[Key]] = []

    def __call__(self, _key: Key, _value: bytes) -> Verdict:
        return Remove("gone")

    def look_again(self, actions: Sequence[Action]) -> Mapping[Key, str]:
        self.looked.append([one.key for one in actions])
        return {}


@pytest.mark.parametrize(("slept", "looks"), [(0.0, 2), (3600.0, 3)])
def test_n14_a_batch_that_slept_for_longer_than_what_was_seen_holds_is_looked_at_again(
    toys: Any, monkeypatch: pytest.MonkeyPatch, slept: float, looks: int
) -> None:
    """The machine sleeps while batch 1 is on its way, and batch 2 has been looked at."""
    now = [0.0]
    monkeypatch.setattr("tasks.changes.apply.elapsed", lambda: now[0])

    class Sleeping(toys.Store):  # type: ignore[misc,name-defined]
        def apply(self, actions: Sequence[Action]) -> Any:
            outcomes = super().apply(actions)
            now[0] += slept
            return outcomes

    store, judge = Sleeping({f"k{n}": b"x" for n in range(6)}), Looking()
    toys.apply(toys.plan(store, judge), store, judge)
    assert len(judge.looked) == looks

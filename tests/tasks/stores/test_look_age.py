"""A batch that stood still is looked at again before any more of it goes: what was seen of it may not hold any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError

from blocks.object_store_retries import RETRIES
from tasks.changes.clock import elapsed
from tasks.changes.errors import LookExpired
from tasks.changes.protocols import Action, Key, Remove
from tasks.stores.look_age import LookAge
from tests.tasks.stores.conftest import InBucket, Place

OBJECTS = 60
REFERENCED = "referenced since the plan was made"


class ReferencedLater:
    """A judge to whom every object is an orphan at first, and none once it looks a second time."""

    fresh_seconds = 0.0

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self, _key: Key, _value: Any) -> Remove:
        return Remove("orphan")

    def look_again(self, actions: Sequence[Action]) -> Mapping[Key, str]:
        self.looks += 1
        return {} if self.looks == 1 else {action.key: REFERENCED for action in actions}


def fill(place: Place) -> None:
    for number in range(OBJECTS):
        place[f"{place.base}{number:02}"] = b"content"


@pytest.mark.parametrize("mode", ["delete", "quarantine", "purge-versions"])
@pytest.mark.parametrize("steps", [0, 4])
def test_n14_what_is_referenced_while_a_batch_stands_still_stays(
    toys: Any, place: Place, monkeypatch: pytest.MonkeyPatch, mode: Any, steps: int
) -> None:
    if mode == "purge-versions" and not isinstance(place, InBucket):
        pytest.skip("a disk has no versions")
    fill(place)
    judge, store = ReferencedLater(), place.store(mode)
    plan = toys.plan(store, judge)
    calls = count()
    monkeypatch.setattr("tasks.stores.look_age.elapsed", lambda: elapsed() + (10 if next(calls) >= steps else 0))

    tally = toys.apply(plan, store, judge)
    assert tally.kept == {REFERENCED: len(place)}
    assert tally.applied == OBJECTS - len(place)
    assert tally.applied < OBJECTS
    assert len(place.quarantined()) == (tally.applied if mode == "quarantine" else 0)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_b3_a_deletion_is_not_sent_by_itself_to_a_server_that_comes_back(method: str) -> None:
    """A page of a listing may be asked for again, for as long as it takes."""
    pool = HTTPConnectionPool("127.0.0.1", 1)
    refused = NewConnectionError(pool, "refused")
    assert RETRIES.increment("GET", "/", error=refused, _pool=pool).total == 5
    with pytest.raises(MaxRetryError, match="refused"):
        RETRIES.increment(method, "/", error=refused, _pool=pool)


def test_steps_that_go_on_may_take_as_long_as_they_like(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("tasks.stores.look_age.elapsed", lambda: now[0])
    age = LookAge("here", 0.0)
    for _ in range(10):
        now[0] += 4
        age.check()
    now[0] += 60
    age.went_on()
    age.check()
    now[0] += 6
    with pytest.raises(LookExpired, match=r"here stood still for 6 s, and the rest may have changed\."):
        age.check()

"""A few records that stay are noted, and no more."""

import pytest

from tasks.changes.anchors import ANCHORS, LOOKED_AT, Anchoring
from tasks.changes.protocols import Ignore, Keep, Key, Problem, Remove, Verdict


def judged(verdict: Verdict, *keys: Key) -> list[str]:
    anchors: list[str] = []
    anchoring = Anchoring[None](lambda _key, _value: verdict, anchors)
    assert {anchoring(key, None) for key in keys} == {verdict}
    return anchors


@pytest.mark.parametrize("verdict", [Keep("fine"), Ignore("other")])
def test_what_stays_is_noted_where_its_key_is_a_short_text(verdict: Verdict) -> None:
    assert judged(verdict, "a", b"b\xc3\xa9", b"\xff", "x" * 1001) == ["a", "bé"]
    assert len(judged(verdict, *map(str, range(50)))) == ANCHORS


def test_what_goes_is_not_noted() -> None:
    anchors: list[str] = []
    for verdict in (Remove("gone"), Problem("odd")):
        Anchoring[None](lambda _key, _value, one=verdict: one, anchors)("a", None)
    assert anchors == []


def test_it_is_soon_enough() -> None:
    assert Anchoring[None](lambda _key, _value: Keep(""), []).enough(LOOKED_AT)
    assert not Anchoring[None](lambda _key, _value: Keep(""), []).enough(9)
    assert Anchoring[None](lambda _key, _value: Keep(""), ["a"] * ANCHORS).enough(9)

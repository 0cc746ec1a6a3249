"""Applying twice equals applying once, undo gives every byte back, and what others changed stays theirs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.changes import apply
from tasks.changes.apply import CONFLICTS_NAMED, Application
from tasks.changes.errors import SourceUnreadable, StoreUnavailable
from tasks.changes.progress import Phase
from tasks.changes.protocols import Action, Outcome, Problem, Remove, Replace
from tests.tasks.conftest import DictStore

RECORDS = {f"k{n}": b"x" * n for n in range(10)}
ALL_GO = dict.fromkeys(RECORDS, Remove("gone"))


@settings(deadline=None)  # each example writes plans to disk
@given(st.data())
def test_the_invariant_for_any_records_and_any_verdicts(toys: Any, worlds: Any, data: st.DataObject) -> None:
    world, _, _ = data.draw(worlds(st.text(max_size=4)))
    store = toys.Store()
    toys.prove(store, store.records, world)


@settings(deadline=None)  # each example writes plans to disk
@given(st.data())
def test_c14_what_others_changed_meanwhile_stays_theirs_and_counts_as_a_conflict(
    toys: Any, worlds: Any, data: st.DataObject
) -> None:
    world, before_apply, before_undo = data.draw(worlds(st.text(max_size=4)))
    store = toys.Store()
    toys.prove(store, store.records, world, before_apply, before_undo)


def test_undo_frees_what_apply_filled(toys: Any) -> None:
    store = toys.Store({"a": b"123456", "b": b"1"})
    plan = toys.plan(store, {"a": Remove("gone"), "b": Replace(b"1234", "turned")})
    assert (plan.counts.frees, toys.apply(plan, store).freed, toys.undo(plan, store).freed) == (3, 3, -3)


def test_c15_the_second_run_has_nothing_to_do(toys: Any) -> None:
    store = toys.Store(RECORDS)
    plan = toys.plan(store, ALL_GO)
    assert toys.apply(plan, store).applied == 10
    assert toys.apply(plan, store).kept == {"already as planned": 10}
    assert toys.plan(store, ALL_GO).counts.planned == 0


@pytest.mark.parametrize("batches", range(4))
def test_c16_a_run_that_died_anywhere_is_finished_by_another(toys: Any, batches: int) -> None:
    store = toys.Store(RECORDS)
    plan = toys.plan(store, ALL_GO)
    Application(plan, store).advance(batches * store.batch_size, Phase("apply", None))
    assert len(store.records) == 10 - 3 * batches
    tally = toys.apply(plan, store)
    assert (tally.applied, tally.kept.total(), store.records) == (10 - 3 * batches, 3 * batches, {})


@pytest.mark.parametrize("breaks", [{0: 0}, {0: 3}, {1: 2}, {3: 1}, {0: 1, 1: 1, 2: 1}, {1: 3, 2: 3, 5: 0}], ids=str)
def test_it_goes_on_with_the_batch_that_broke_and_its_counts_are_exact(toys: Any, breaks: dict[int, int]) -> None:
    store = toys.Store(RECORDS, breaks)
    plan = toys.plan(store, ALL_GO)
    store.records["k9"] = b"changed"
    application = Application(plan, store)
    for _ in breaks:
        with pytest.raises(StoreUnavailable):
            toys.finish(application, plan)
    tally = toys.finish(application, plan)
    assert (tally.applied, tally.freed, tally.conflicts, tally.kept) == (9, sum(range(9)), 1, {})
    assert store.calls == 4 + len(breaks)
    assert store.records == {"k9": b"changed"}


class Telling(DictStore):
    """A store whose answers break off, and whose errors say what became of the actions answered before that."""

    def __init__(self, records: Mapping[str, bytes], breaks: Mapping[int, tuple[int, int]]) -> None:
        """`breaks`: in which calls of `apply`, after how many actions, and how many of those were answered."""
        super().__init__(records)
        self.answers = breaks

    def apply(self, actions: Sequence[Action]) -> list[Outcome]:
        done, answered = self.answers.get(self.calls, (len(actions), len(actions)))
        outcomes = super().apply(actions[:done]) if actions[:done] else self._nothing()
        if answered < len(actions):
            broken = StoreUnavailable("the answers broke off")
            broken.outcomes = {
                one.key: outcome for one, outcome in list(zip(actions, outcomes, strict=False))[:answered]
            }
            raise broken
        return outcomes

    def _nothing(self) -> list[Outcome]:
        self.calls += 1
        return []


@settings(deadline=None)  # each example writes plans to disk
@given(
    st.dictionaries(
        st.integers(0, 6), st.tuples(st.integers(0, 3), st.integers(0, 2)).map(lambda one: (max(one), one[1]))
    )
)
def test_b1_what_was_answered_before_a_break_is_counted_once_and_the_rest_is_bounded(
    toys: Any, breaks: dict[int, tuple[int, int]]
) -> None:
    store = Telling(RECORDS, breaks)
    plan = toys.plan(store, ALL_GO)
    application = Application(plan, store)
    for _ in range(20):
        try:
            toys.finish(application, plan)
            break
        except StoreUnavailable:
            gone = len(RECORDS) - len(store.records)
            assert application.tally.applied <= gone <= application.tally.applied + application.unknown
    assert (application.tally.applied, application.unknown, store.records) == (len(RECORDS), 0, {})


class Watcher:
    """A judge that removes everything, and keeps what `stays` says when it looks again."""

    def __init__(self, stays: Mapping[Any, str] = {}, failure: Exception | None = None) -> None:
        self.stays, self.failure, self.seen = dict(stays), failure, list[list[str]]()

    def __call__(self, _key: Any, _value: bytes) -> Remove:
        return Remove("gone")

    def look_again(self, actions: Sequence[Action]) -> Mapping[Any, str]:
        if self.failure and len(self.seen) == 2:
            raise self.failure
        self.seen.append([str(one.key) for one in actions])
        return {one.key: self.stays[one.key] for one in actions if one.key in self.stays}


def test_c18_what_came_back_stays(toys: Any) -> None:
    store, judge = toys.Store(RECORDS), Watcher({"k1": "came back", "k9": "came back", "k4": "other"})
    tally = toys.apply(toys.plan(store, judge), store, judge)
    assert store.records.keys() == {"k1", "k4", "k9"}
    assert (tally.applied, tally.kept) == (7, {"came back": 2, "other": 1})


def test_c18_a_batch_that_stays_as_a_whole_is_not_sent(toys: Any) -> None:
    store, judge = toys.Store(RECORDS), Watcher(dict.fromkeys(RECORDS, "came back"))
    toys.apply(toys.plan(store, judge), store, judge)
    assert (store.calls, store.records) == (0, RECORDS)


def test_c18_it_looks_again_before_each_batch_and_at_most_one_batch_ahead(toys: Any) -> None:
    store, judge = toys.Store(RECORDS), Watcher()
    application = Application(toys.plan(store, judge), store, judge)
    for batches in (1, 2, 3, 4):
        application.advance(1, Phase("apply", None))
        assert store.calls == batches
        assert batches <= len(judge.seen) <= batches + 1
    assert judge.seen == [["k0", "k1", "k2"], ["k3", "k4", "k5"], ["k6", "k7", "k8"], ["k9"]]


def test_a_judge_whose_sight_does_not_hold_is_asked_right_before_each_batch(toys: Any) -> None:
    store, judge = toys.Store(RECORDS), Watcher()
    judge.fresh_seconds = 0.0  # type: ignore[attr-defined]
    application = Application(toys.plan(store, judge), store, judge)
    for batches in (1, 2, 3, 4):
        application.advance(1, Phase("apply", None))
        assert len(judge.seen) == store.calls == batches


def test_c18_a_batch_that_had_to_wait_is_looked_at_once_more(toys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "FRESH_SECONDS", 0)
    store, judge = toys.Store(RECORDS, breaks={0: 0}), Watcher()
    plan = toys.plan(store, judge)
    application = Application(plan, store, judge)
    with pytest.raises(StoreUnavailable):
        toys.finish(application, plan)
    judge.stays["k0"] = "came back"
    toys.finish(application, plan)
    assert store.records.keys() == {"k0"}


@pytest.mark.parametrize("failure", [SourceUnreadable("the folder is gone"), StoreUnavailable("no answer")])
def test_it_stops_where_it_cannot_look_again_and_goes_on_from_there(toys: Any, failure: Exception) -> None:
    store, judge = toys.Store(RECORDS), Watcher(failure=failure)
    plan = toys.plan(store, judge)
    application = Application(plan, store, judge)
    with pytest.raises(type(failure)):
        toys.finish(application, plan)
    assert (application.tally.applied, len(store.records)) == (6, 4)
    judge.failure = None
    assert (toys.finish(application, plan).applied, store.records) == (10, {})


def test_advance_handles_at_least_what_it_is_asked_for_and_says_when_the_plan_ends(toys: Any) -> None:
    store = toys.Store(RECORDS)
    application, phase = Application(toys.plan(store, ALL_GO), store), Phase("apply", 10)
    handled = [(application.advance(4, phase), application.tally.handled) for _ in range(3)]
    assert handled == [(True, 6), (True, 10), (False, 10)]


def test_the_first_conflicts_are_named(toys: Any) -> None:
    store = toys.Store({f"k{n}": b"" for n in range(CONFLICTS_NAMED + 5)})
    plan = toys.plan(store, dict.fromkeys(store.records, Remove("gone")))
    store.records = dict.fromkeys(store.records, b"changed")
    tally = toys.apply(plan, store)
    assert tally.conflicts == CONFLICTS_NAMED + 5
    assert tally.conflicting == [f"k{n}" for n in range(CONFLICTS_NAMED)]


def test_a13_an_action_that_the_store_refuses_is_a_problem_and_the_rest_goes_on(toys: Any) -> None:
    store = toys.Store(RECORDS)
    change, held = store._change, {"k3", "k7"}
    store._change = lambda key, *images: Problem("held") if key in held else change(key, *images)
    plan = toys.plan(store, ALL_GO)
    tally = toys.apply(plan, store)
    assert (tally.applied, tally.problem_count, tally.handled) == (8, 2, 10)
    assert tally.problems == [{"record": "k3", "reason": "held"}, {"record": "k7", "reason": "held"}]
    assert set(store.records) == held
    held.clear()
    assert (toys.apply(plan, store).applied, store.records) == (2, {})

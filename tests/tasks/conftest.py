"""A toy store, a toy judge, and the whole way of a plan, without a Prefect server."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import strategies as st

from tasks.changes.apply import Application, Tally
from tasks.changes.errors import StoreUnavailable
from tasks.changes.plan import Plan, write_plan
from tasks.changes.plan_store import PlanStore
from tasks.changes.preview import preview
from tasks.changes.progress import Phase
from tasks.changes.protocols import Action, Image, Keep, Outcome, Previews, Problem, Remove, Replace, Verdict

Judgement = Callable[[Any, Any], Verdict]
World = Mapping[Any, tuple[bytes, Verdict]]
Meddling = Mapping[Any, bytes | None]
Wanted = Mapping[Any, tuple[bytes | None, bytes | None]]


def raw(image: Image | None) -> bytes | None:
    """Give an image as bytes again: those that are UTF-8 come back from a plan as text."""
    return image.encode() if isinstance(image, str) else image  # type: ignore[return-value]


class DictStore:
    """A store in memory. `breaks`: in which calls of `apply` the answer is lost, after how many of its actions."""

    location = "toy://memory"
    undoable = True
    batch_size = 3

    def __init__(self, records: Mapping[str, bytes] = {}, breaks: Mapping[int, int] = {}) -> None:
        self.records, self.breaks, self.calls = dict(records), breaks, 0

    def now(self) -> datetime:
        return datetime(2025, 1, 1, tzinfo=UTC)

    def count(self) -> int | None:
        return len(self.records)

    def scan(self) -> Iterator[Sequence[tuple[str, bytes]]]:
        records = list(self.records.items())
        for start in range(0, len(records), 2):
            yield records[start : start + 2]

    def image(self, value: bytes) -> bytes:
        return value

    def weigh(self, image: Image) -> int:
        return len(raw(image) or b"")

    def apply(self, actions: Sequence[Action]) -> list[Outcome]:
        assert 0 < len(actions) <= self.batch_size
        call, self.calls = self.calls, self.calls + 1
        done = actions[: self.breaks.get(call)]
        outcomes = [self._change(str(one.key), raw(one.before), raw(one.after)) for one in done]
        if call in self.breaks:
            raise StoreUnavailable("the answer was lost")
        return outcomes

    def _change(self, key: str, before: bytes | None, after: bytes | None) -> Outcome:
        stands = self.records.get(key)
        if stands != before:
            return Outcome.ALREADY if stands == after else Outcome.CONFLICT
        if after is None:
            del self.records[key]
        else:
            self.records[key] = after
        return Outcome.DONE


class Toys:
    """What the tests of `tasks` play with."""

    Store = DictStore

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self) -> Path:
        """Give a path where nothing is."""
        return self.folder / uuid4().hex

    def judge(self, verdicts: Mapping[Any, Verdict]) -> Judgement:
        """Make a judge that goes by a record's key."""
        return lambda key, _value: verdicts.get(key, Keep("not asked"))

    def plan(self, store: Any, verdicts: Mapping[Any, Verdict] | Judgement, job: str = "toy") -> Plan:
        """Make a plan in a plan store of its own."""
        judge = verdicts if callable(verdicts) else self.judge(verdicts)
        return write_plan(store, judge, PlanStore.at(str(self.path())), job, {})

    def apply(self, plan: Plan, store: Any, judge: Any = None) -> Tally:
        """Carry a plan out to its end."""
        return self.finish(Application(plan, store, judge), plan)

    def undo(self, plan: Plan, store: Any) -> Tally:
        """Take a plan back to its end."""
        return self.finish(Application(plan, store, undo=True), plan)

    def finish(self, application: Application, plan: Plan) -> Tally:
        """Bring an application to its end."""
        with Phase(application.name, plan.counts.planned) as phase:
            while application.advance(1, phase):
                pass
        return application.tally

    def prove(self, store: Any, records: MutableMapping[Any, bytes], world: World, *meddling: Meddling) -> None:
        """Prove the invariant for a store whose records are seen and changed through a mapping.

        `meddling`: what others write (None: delete) between plan and apply, and between apply and undo.
        """
        first, second = meddling or ({}, {})
        values = {key: value for key, (value, _) in world.items()}
        verdicts = {key: verdict for key, (_, verdict) in world.items()}
        wanted = {
            key: (values[key], after_of(one)) for key, one in verdicts.items() if isinstance(one, Remove | Replace)
        }
        records.clear()
        records.update(values)
        plan = self.plan(store, verdicts)
        assert dict(records) == values, "planning changes nothing"
        meddle(records, first)
        self._carry_out(Application(plan, store), plan, store, records, wanted)
        applied = dict(records)
        self.apply(plan, store)
        assert dict(records) == applied, "applying twice equals applying once"
        meddle(records, second)
        inverse = {key: (after, before) for key, (before, after) in wanted.items()}
        self._carry_out(Application(plan, store, undo=True), plan, store, records, inverse)
        if not meddling:
            assert dict(records) == values, "undo gives back every byte"

    def _carry_out(
        self, application: Application, plan: Plan, store: Any, records: Mapping[Any, bytes], wanted: Wanted
    ) -> None:
        """Where the record stands as planned it is changed; everything else stays exactly as it is."""
        found = dict(records)
        foreseen = foretold(application, plan, store)
        as_planned = {key for key, (before, _) in wanted.items() if found.get(key) == before}
        conflicts = {key for key in wanted.keys() - as_planned if found.get(key) != wanted[key][1]}
        meddle(found, {key: wanted[key][1] for key in as_planned})
        tally = self.finish(application, plan)
        assert dict(records) == found
        assert (tally.applied, tally.conflicts) == (len(as_planned), len(conflicts))
        assert tally.handled == len(wanted)
        if foreseen:
            assert (foreseen.applied, foreseen.conflicts, foreseen.kept) == (tally.applied, tally.conflicts, tally.kept)


def foretold(application: Application, plan: Plan, store: Any) -> Tally | None:
    """Give what a preview says of a plan, by a store that has one."""
    return preview(plan, store, undo=application.name == "undo") if isinstance(store, Previews) else None


def after_of(verdict: Remove | Replace) -> bytes | None:
    """Give what a verdict wants to stand there."""
    return raw(verdict.after) if isinstance(verdict, Replace) else None


def meddle(records: MutableMapping[Any, bytes], changes: Meddling) -> None:
    """Write to the records behind the plan's back."""
    for key, value in changes.items():
        if value is None:
            records.pop(key, None)
        else:
            records[key] = value


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    """The toys; for all tests alike, so that hypothesis may use them."""
    return Toys(tmp_path_factory.mktemp("toys"))


VERDICTS = st.sampled_from([Keep("fine"), Problem("odd"), Remove("gone")]) | st.builds(
    Replace, st.binary(max_size=6), st.just("turned")
)


@pytest.fixture(scope="session")
def worlds() -> Callable[[st.SearchStrategy[Any]], st.SearchStrategy[tuple[World, Meddling, Meddling]]]:
    """A strategy for any records and verdicts, and for what others write meanwhile, given one for the keys."""

    def worlds_of(names: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[World, Meddling, Meddling]]:
        records = st.dictionaries(names, st.tuples(st.binary(max_size=6), VERDICTS), max_size=12)
        return records.flatmap(
            lambda world: st.tuples(st.just(world), _meddling(world, names), _meddling(world, names))
        )

    return worlds_of


def _meddling(world: World, names: st.SearchStrategy[Any]) -> st.SearchStrategy[Meddling]:
    """Others also write just what was there, or what the plan would."""
    some = [value for value, _ in world.values()] + [
        after_of(one) for _, one in world.values() if hasattr(one, "after")
    ]
    values = st.none() | st.binary(max_size=6) | st.sampled_from([None, *some])
    return st.dictionaries(st.sampled_from(list(world)) | names if world else names, values, max_size=6)

"""A plan says what would change and why, and making it changes nothing."""

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks.redis_credentials import RedisCredentials
from tasks.changes.errors import PlanDamaged, StoreUnavailable, WrongStore
from tasks.changes.plan import BATCH_BYTES, check_store, open_plan, text_of, without_credentials, write_plan
from tasks.changes.plan_file import PROBLEMS_KEPT, Counts, Header
from tasks.changes.plan_store import PlanStore
from tasks.changes.protocols import Action, Identity, Keep, Problem, Remove, Replace

RECORDS = {f"k{n}": b"x" * n for n in range(10)}


def test_it_counts_what_it_saw_and_why(toys: Any) -> None:
    verdicts = {
        "k1": Remove("gone", "where k1 was"),
        "k2": Replace(b"\xff", "turned"),
        "k3": Remove("gone"),
        "k4": Problem("odd"),
        "k5": Keep("young"),
    }
    plan = toys.plan(toys.Store(RECORDS), verdicts)
    counts = plan.counts
    assert (counts.scanned, counts.planned, counts.frees) == (10, 3, 1 + (2 - 1) + 3)
    assert (counts.because, counts.kept) == ({"gone": 2, "turned": 1}, {"young": 1, "not asked": 5})
    assert (counts.problem_count, counts.problems) == (1, [{"record": "k4", "reason": "odd"}])
    assert plan.first(9) == [
        Action("k1", "x", None, 1, "gone", "where k1 was"),
        Action("k2", "xx", b"\xff", 1, "turned"),
        Action("k3", "xxx", None, 3, "gone"),
    ]


def test_c12_the_first_problems_are_listed_and_all_are_counted(toys: Any) -> None:
    store = toys.Store({f"k{n:03}": b"" for n in range(PROBLEMS_KEPT + 5)})
    counts = toys.plan(store, lambda _key, _value: Problem("odd")).counts
    assert (counts.problem_count, len(counts.problems)) == (PROBLEMS_KEPT + 5, PROBLEMS_KEPT)
    assert counts.problems[-1] == {"record": f"k{PROBLEMS_KEPT - 1:03}", "reason": "odd"}


def test_its_header_says_what_made_it_for_which_store(toys: Any, tmp_path: Path) -> None:
    plan = write_plan(toys.Store(), toys.judge({}), PlanStore.at(str(tmp_path)), "toy", {"min_age": "P1D"})
    header = open_plan(plan.name).header
    assert (header.job, header.store, header.undoable) == ("toy", "toy://memory", True)
    assert (header.parameters, header.format) == ({"min_age": "P1D"}, 1)
    assert header.version
    assert header.created.endswith("+00:00")


@pytest.mark.parametrize("failure", [StoreUnavailable("gone"), KeyboardInterrupt()])
def test_a_scan_that_fails_leaves_nothing_behind(toys: Any, tmp_path: Path, failure: BaseException) -> None:
    class Failing(toys.Store):  # type: ignore[misc,name-defined]
        def scan(self) -> Iterator[Sequence[tuple[str, bytes]]]:
            yield from super().scan()
            raise failure

    with pytest.raises(type(failure)):
        write_plan(Failing(RECORDS), toys.judge({}), PlanStore.at(str(tmp_path)), "toy", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("size", "lengths"), [(3, [3, 3, 3, 1]), (10, [10]), (100, [10]), (1, [1] * 10)])
def test_batches_are_as_long_as_the_store_takes(toys: Any, size: int, lengths: list[int]) -> None:
    plan = toys.plan(toys.Store(RECORDS), dict.fromkeys(RECORDS, Remove("gone")))
    batches = list(plan.batches(size))
    assert [len(batch) for batch in batches] == lengths
    assert [action.key for batch in batches for action in batch] == list(RECORDS)


def test_batches_of_big_records_are_shorter(toys: Any) -> None:
    store = toys.Store({f"k{n}": b"x" * (BATCH_BYTES // 2) for n in range(5)})
    plan = toys.plan(store, dict.fromkeys(store.records, Remove("gone")))
    assert [len(batch) for batch in plan.batches(100)] == [2, 2, 1]


def test_the_first_actions_are_given_however_big_they_are(toys: Any) -> None:
    store = toys.Store({f"k{n}": b"x" * BATCH_BYTES for n in range(4)})
    plan = toys.plan(store, dict.fromkeys(store.records, Remove("gone")))
    assert [len(plan.first(n)) for n in range(6)] == [0, 1, 2, 3, 4, 4]


def test_a_plan_is_opened_by_path_and_by_name(toys: Any) -> None:
    plan = toys.plan(toys.Store(RECORDS), {"k1": Remove("gone")})
    assert open_plan(plan.name) == plan
    by_name = open_plan(plan.path.name, str(plan.path.parent))
    assert (by_name.path, by_name.hash, by_name.counts) == (plan.path, plan.hash, plan.counts)


def test_a_damaged_plan_is_not_opened(toys: Any) -> None:
    plan = toys.plan(toys.Store(RECORDS), {"k1": Remove("gone")})
    plan.path.write_bytes(plan.path.read_bytes()[:-20])
    with pytest.raises(PlanDamaged):
        open_plan(plan.name)


def test_two_plans_of_the_same_never_share_a_hash_with_different_actions(toys: Any) -> None:
    store = toys.Store(RECORDS)
    hashes = {toys.plan(store, {key: Remove("gone")}).hash for key in RECORDS}
    assert len(hashes) == len(RECORDS)


def test_a_plan_for_another_store_is_refused(toys: Any) -> None:
    store = toys.Store(RECORDS)
    plan = toys.plan(store, {})
    check_store(plan, store)
    store.location = "toy://elsewhere"
    with pytest.raises(WrongStore, match=r"for toy://memory, not for toy://elsewhere. Nothing has changed"):
        check_store(plan, store)


def test_credentials_stay_out_of_the_header() -> None:
    parameters = {"redis": RedisCredentials(password="s3cret"), "min_age": timedelta(hours=36), "states": ("DONE",)}
    assert without_credentials(parameters) == {"min_age": "P1DT12H", "states": ["DONE"]}


@pytest.mark.parametrize(("key", "text"), [("é", "é"), ("é".encode(), "é"), (b"\xffid", r"\xffid")])
def test_a_key_as_text(key: str | bytes, text: str) -> None:
    assert text_of(key) == text


def test_the_inverse_of_an_action_swaps_its_images() -> None:
    action = Action("k", b"before", None, 6, "gone", "detail")
    assert action.inverse() == Action("k", None, b"before", -6, "gone", "detail")
    assert action.inverse().inverse() == action


def test_a_judge_may_remark_on_what_it_saw(toys: Any) -> None:
    class Remarking:
        def __call__(self, _key: str, _value: bytes) -> Keep:
            return Keep("fine")

        def remarks(self, counts: Counts) -> list[str]:
            return [f"{counts.scanned} seen"]

    plan = toys.plan(toys.Store(RECORDS), Remarking())
    assert plan.counts.remarks == open_plan(str(plan.path)).counts.remarks == ["10 seen"]


def test_it_holds_a_descriptor_and_cannot_be_pickled(toys: Any) -> None:
    plan = toys.plan(toys.Store(RECORDS), {"k1": Remove("gone")})
    with pytest.raises(TypeError, match="held open, so that only what was read can be applied"):
        pickle.dumps(plan)


@pytest.mark.parametrize("gone", [Path.unlink, lambda path: path.write_bytes(b"another")])
def test_it_is_read_whatever_lies_under_its_name_or_not_at_all(toys: Any, gone: Callable[[Path], object]) -> None:
    plan = toys.plan(toys.Store(RECORDS), dict.fromkeys(RECORDS, Remove("gone")))
    draft = plan.path.with_name("draft")
    draft.write_bytes(plan.path.read_bytes())
    draft.replace(plan.path)
    gone(plan.path)
    assert [action.key for action in plan.first(10)] == list(RECORDS)
    with pytest.raises(PlanDamaged):
        plan.opened.check()


def test_its_header_says_how_its_store_is_recognised(toys: Any) -> None:
    class Named(toys.Store):  # type: ignore[misc,name-defined]
        def identity(self) -> Identity:
            return Identity({"name": "first"}, changes_at_restart=True, place="/data")

    assert open_plan(toys.plan(Named(RECORDS), {}).name).header.identity == Named().identity()


def test_n27_a_plan_of_before_stores_were_recognised_is_read(toys: Any) -> None:
    plan = toys.plan(toys.Store(RECORDS), {"k1": Remove("gone")})
    line = json.loads(next(plan.opened.lines()))
    del line["identity"]
    assert Header.model_validate(line).identity == Identity()

"""What holds for every record: user data is not touched, twice is once, and what loses nothing can be undone."""

import json
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.changes.protocols import Keep, Replace
from tasks.datashare.edits import CannotMigrate
from tasks.datashare.model_migration import ToGeneration, all_steps, read
from tasks.datashare.registry import Context, Step
from tasks.datashare.steps.g2_to_g4 import g4_to_g2

REGISTRY = all_steps()
JUDGES = {target: ToGeneration(target, datetime(2024, 1, 1, tzinfo=UTC), REGISTRY) for target in ("plain", "typed")}
LOSSLESS = [step for step in REGISTRY.steps if step.inverse]
SEARCH = "org.icij.datashare.tasks.BatchSearchRunner"
USER = {"@type": "org.icij.datashare.user.User", "id": "a", "details": {"groups_by_applications": {"datashare": ["a"]}}}
SEARCHED = {"projects": ["a"], "date": 5, "user": {"id": "b"}}

keys = st.text(max_size=6).filter(lambda key: key != "@type") | st.sampled_from(
    ["properties", "@class", "user", "args"]
)
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("java.util.Date")
data = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
own = st.dictionaries(keys, data, max_size=4)
lexemes = st.sampled_from(["1.0", "1.10", "1E5", "-0.0", "1e-7", "1" + "0" * 40, "18446744073709551616"])


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


def marked(value: Any, marker: str) -> Any:
    """Write user data as the typed mapper does."""
    if isinstance(value, dict):
        return {marker: "java.util.LinkedHashMap", **{k: marked(v, marker) for k, v in value.items() if k != marker}}
    return ["java.util.ArrayList", [marked(one, marker) for one in value]] if isinstance(value, list) else value


def without(value: Any, marker: str) -> Any:
    """Leave out of user data what its typed form could not hold."""
    if isinstance(value, dict):
        return {k: without(v, marker) for k, v in value.items() if k != marker}
    return [without(one, marker) for one in value] if isinstance(value, list) else value


def records(mine: dict[str, Any], extra: dict[str, Any]) -> dict[str, tuple[dict[str, Any], Any]]:
    """Make a record of each generation with the user's data in it, and say how that should read as G4."""
    task = {"@type": "Task", "id": "a", "name": "n", "state": "DONE", "progress": 0.5, "extra": extra}
    hash_map = {"@type": "java.util.LinkedHashMap"}
    args, search = {"mine": {**hash_map, **mine}, "user": USER}, {"result": {"value": 5}, "name": SEARCH}
    view = {"@class": "org.icij.datashare.tasks.TaskView", "properties": {"mine": marked(mine, "@class")}}
    return {
        "G0": ({**view, **{k: v for k, v in task.items() if k != "@type"}}, {**hash_map, **without(mine, "@class")}),
        "G1": ({**task, "createdAt": 5, "args": args}, {**hash_map, **mine}),
        "G2": (
            {"task": {**task, "createdAt": 5, "args": args, **search}, "group": {"id": "Java"}},
            {**hash_map, **mine},
        ),
        "G3": (
            {
                "task": {**task, "createdAt": ["java.util.Date", 5], "args": marked(args, "@type")},
                "group": {"id": "Java"},
            },
            {**hash_map, **mine},
        ),
    }


@pytest.mark.parametrize("generation", ["G0", "G1", "G2", "G3"])
@settings(deadline=None)
@given(mine=own, extra=own)
def test_m11_m12_user_data_and_unknown_keys_are_preserved(
    generation: str, mine: dict[str, Any], extra: dict[str, Any]
) -> None:
    record, expected = records(mine, extra)[generation]
    verdict = JUDGES["plain"](b"key", encode(record))
    assert isinstance(verdict, Replace), verdict
    assert isinstance(verdict.after, bytes)
    task = json.loads(verdict.after)["task"]
    assert encode(task["args"]["mine"]) == encode(expected)
    assert encode(task["extra"]) == encode(extra)
    assert JUDGES["plain"](b"key", verdict.after) == Keep("already G4")


@settings(deadline=None)
@given(mine=own, lexeme=lexemes)
def test_m11_numbers_keep_their_digits_on_the_way_there_and_back(mine: dict[str, Any], lexeme: str) -> None:
    record = records({**mine, "number": "LEXEME"}, {})["G2"][0]
    before = encode(record).replace(b'"LEXEME"', lexeme.encode())
    plain = JUDGES["plain"](b"key", before)
    assert isinstance(plain, Replace)
    typed = JUDGES["typed"](b"key", bytes(plain.after))
    assert isinstance(typed, Replace), typed
    again = JUDGES["plain"](b"key", bytes(typed.after))
    assert isinstance(again, Replace), again
    assert again.after == plain.after
    assert b":" + lexeme.encode() in before
    assert b":" + lexeme.encode() in bytes(typed.after)


@settings(deadline=None)
@given(mine=own, extra=own, generation=st.sampled_from(["G1", "G2", "G3"]), target=st.sampled_from(["plain", "typed"]))
def test_m10_migrating_twice_is_migrating_once(
    mine: dict[str, Any], extra: dict[str, Any], generation: str, target: str
) -> None:
    judge = JUDGES[target]
    verdict = judge(b"key", encode(records(mine, extra)[generation][0]))
    if isinstance(verdict, Replace):
        assert isinstance(judge(b"key", bytes(verdict.after)), Keep)


def test_every_step_that_loses_nothing_is_known() -> None:
    assert {step.name for step in LOSSLESS} == {"g2_to_g4", "g2_to_g3"}


@pytest.mark.parametrize("step", LOSSLESS, ids=lambda step: step.name)
@settings(deadline=None)
@given(mine=own, extra=own, number=st.integers(-(2**31), 2**31 - 1), search=st.booleans(), failed=st.booleans())
def test_what_loses_nothing_can_be_undone(
    step: Step, mine: dict[str, Any], extra: dict[str, Any], number: int, search: bool, failed: bool
) -> None:
    record = records(mine, extra)["G2"][0]
    record["task"]["result"] = {"value": number}
    if search:
        record["task"]["args"]["batchRecord"] = {"@type": "org.icij.datashare.batch.BatchSearchRecord", **SEARCHED}
    if failed:
        record["task"]["error"] = {"@type": "TaskError", "stacktrace": [{"file": None, "lineno": 1, "name": "a"}]}
    before = encode(record)
    assert step.inverse
    there = step(deepcopy(record), Context())
    assert encode(there) != before
    assert encode(step.inverse(there, Context())) == before


@pytest.mark.parametrize("step", LOSSLESS, ids=lambda step: step.name)
def test_samples_that_took_a_lossless_step_come_back_byte_by_byte(lines: dict[str, list[bytes]], step: Step) -> None:
    assert step.inverse
    for line in lines["g2-20.2.0"]:
        assert encode(step.inverse(step(read(line), Context()), Context())) == line


def test_an_inverse_refuses_what_its_step_never_made() -> None:
    record = records({}, {})["G2"][0]
    counts = {"@type": "BatchSearchRunnerResult", "nbResults": 10, "nbQueriesWithoutResults": 2}
    record["task"]["result"] = {"value": counts}
    with pytest.raises(CannotMigrate, match="only the number of results can be kept"):
        g4_to_g2(record, Context())

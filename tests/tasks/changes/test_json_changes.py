"""The listed changes, made in `before`, give `after`; nothing else is listed."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.changes.json_changes import ABSENT, LONGEST, Change, Number, changes_between, container, same

NUMBERS = st.integers() | st.floats(allow_nan=False)
PLAIN = st.none() | st.booleans() | NUMBERS | st.text(max_size=4)
KEYS = st.text(max_size=3) | st.sampled_from(["a", "b", "a.b", "0", "[0]"])


def _nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    inside = st.lists(children, max_size=4) | st.dictionaries(KEYS, children, max_size=4)
    return inside | inside.map(json.dumps)


VALUES = st.recursive(PLAIN, _nested, max_leaves=12)
RECORDS = st.dictionaries(KEYS, VALUES, max_size=4) | st.lists(VALUES, max_size=5)


@st.composite
def edited(draw: st.DrawFn) -> tuple[Any, Any]:
    """A record, and what somebody made of it."""
    before = draw(RECORDS)
    after = deepcopy(before)
    for _ in range(draw(st.integers(0, 3))):
        part = after
        while isinstance(part, dict | list) and part and draw(st.booleans()):
            part = part[draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))]
        if isinstance(part, dict):
            part[draw(KEYS)] = draw(VALUES)
        elif isinstance(part, list):
            part.insert(draw(st.integers(0, len(part))), draw(VALUES))
    return before, after


def make(changes: list[Change], value: Any) -> Any:
    """Make the changes in a value, in their order."""
    for change in changes:
        value = _made(value, change.path, change)
    return value


def _made(value: Any, path: tuple[str | int, ...], change: Change) -> Any:
    if not path:
        assert same(value, change.old)
        return change.new
    if isinstance(value, str):
        return json.dumps(_with_numbers(_made(container(value), path, change)))
    step: Any = path[0]
    if len(path) > 1:
        value[step] = _made(value[step], path[1:], change)
    elif change.old is ABSENT:
        value.insert(step, change.new) if isinstance(value, list) else value.setdefault(step, change.new)
    else:
        assert same(value[step], change.old), "the old value is what stands there"
        if change.new is ABSENT:
            del value[step]
        else:
            value[step] = change.new
    return value


def _with_numbers(value: Any) -> Any:
    """Turn numbers that are kept as they are written into numbers, so that they are written so again."""
    if isinstance(value, Number):
        return json.loads(value)
    if isinstance(value, dict):
        return {key: _with_numbers(one) for key, one in value.items()}
    return [_with_numbers(one) for one in value] if isinstance(value, list) else value


def inside(value: Any) -> Any:
    """Open every text that holds JSON, so that it does not matter how that is written."""
    opened = container(value) if isinstance(value, str) and not isinstance(value, Number) else ABSENT
    if opened is not ABSENT:
        return inside(opened)
    if isinstance(value, dict):
        return {key: inside(one) for key, one in value.items()}
    return [inside(one) for one in value] if isinstance(value, list) else value


@given(st.tuples(RECORDS, RECORDS) | edited(), st.sampled_from([json.dumps, lambda one: json.dumps(one).encode()]))
def test_the_changes_made_in_before_give_after(records: tuple[Any, Any], write: Any) -> None:
    before, after = map(write, records)
    changes = changes_between(before, after)
    if changes is None:
        assert type(records[0]) is not type(records[1]) or same(container(before), container(after))
    else:
        assert same(inside(make(changes, container(before))), inside(container(after)))


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.dictionaries(KEYS, VALUES, max_size=4))
def test_rows_are_gone_into_as_texts_are(before: dict[str, Any], after: dict[str, Any]) -> None:
    changes = changes_between(before, after) or []
    assert same(inside(make(changes, deepcopy(before))), inside(after))


@given(RECORDS)
def test_a_record_has_no_changes_against_itself_however_it_is_written(record: Any) -> None:
    assert changes_between(json.dumps(record), json.dumps(record, indent=1, ensure_ascii=False)) is None


def test_one_value_is_one_change() -> None:
    assert changes_between('{"a":{"b":[1,2]},"c":0}', '{"a":{"b":[1,3]},"c":0}') == [
        Change(("a", "b", 1), Number("2"), Number("3"))
    ]


def test_an_item_more_at_the_beginning_of_a_list_is_one_change() -> None:
    assert changes_between('{"a":[1,2,3]}', '{"a":[0,1,2,3]}') == [Change(("a", 0), ABSENT, Number("0"))]
    assert changes_between('{"a":[0,1,2,3]}', '{"a":[1,2,3]}') == [Change(("a", 0), Number("0"), ABSENT)]


@pytest.mark.parametrize(
    ("before", "after"), [("1", "true"), ("1", "1.0"), ("1.10", "1.1"), ("null", "0"), ('"1"', "1")]
)
def test_values_that_python_takes_for_the_same_are_not(before: str, after: str) -> None:
    changes = changes_between(f'{{"a":{before}}}', f'{{"a":{after}}}')
    assert changes is not None
    assert [change.path for change in changes] == [("a",)]


def test_null_is_not_absent() -> None:
    assert changes_between('{"a":null}', "{}") == [Change(("a",), None, ABSENT)]


def test_json_in_a_column_is_gone_into() -> None:
    before, after = {"result": '{"value":["Long",5]}'}, {"result": '{"value":["Long",6]}'}
    assert changes_between(before, after) == [Change(("result", "value", 1), Number("5"), Number("6"))]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\xff{", b"{}"),
        ("text", "other"),
        ("{", "{}"),
        ("[]", "{}"),
        ("1", "2"),
        ('{"a":1,"a":2}', '{"a":2}'),
        ('{"a":1}', '{ "a" : 1 }'),
        ("[" * 100_000, "[]"),
        (f'["{"x" * LONGEST}"]', "[]"),
    ],
)
def test_what_is_no_json_or_only_written_otherwise_has_no_list(before: str | bytes, after: str | bytes) -> None:
    assert changes_between(before, after) is None


def test_what_lies_too_deep_has_no_list() -> None:
    before: Any = {"a": 1}
    after: Any = {"a": 2}
    for _ in range(5000):
        before, after = {"a": before}, {"a": after}
    assert changes_between(before, after) is None

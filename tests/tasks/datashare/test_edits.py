"""The small edits do what they say, keep the order of keys, and refuse to guess."""

from collections.abc import Callable
from typing import Any

import pytest

from tasks.datashare.edits import (
    Absent,
    CannotMigrate,
    Clash,
    NotAnObject,
    add,
    change,
    has,
    move,
    remove,
    rename,
    rename_value,
)

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def record() -> dict[str, Any]:
    return {"a": {"one": 1, "two": 2, "three": 3}, "list": [{"x": "old"}, {"x": "other", "y": None}], "empty": []}


def test_a_renamed_field_keeps_its_place(record: dict[str, Any]) -> None:
    rename(record, "a.two", "zwei")
    assert list(record["a"].items()) == [("one", 1), ("zwei", 2), ("three", 3)]


def test_fields_of_all_items_of_a_list_are_renamed(record: dict[str, Any]) -> None:
    rename(record, "list[].x", "z")
    assert record["list"] == [{"z": "old"}, {"z": "other", "y": None}]


def test_only_the_named_values_are_renamed(record: dict[str, Any]) -> None:
    rename_value(record, "list[].x", {"old": "new"})
    assert [item["x"] for item in record["list"]] == ["new", "other"]
    rename_value(record, "a.one", {"1": "one"})
    assert record["a"]["one"] == 1


def test_a_field_is_added_moved_removed(record: dict[str, Any]) -> None:
    add(record, "a.four", 4)
    move(record, "list", "a.list")
    assert list(record["a"]) == ["one", "two", "three", "four", "list"]
    assert list(record) == ["a", "empty"]
    assert remove(record, "a.one") == 1
    assert "one" not in record["a"]


def test_values_and_items_are_changed(record: dict[str, Any]) -> None:
    change(record, "a.one", lambda value: value + 1)
    change(record, "list[]", lambda item: item["x"])
    change(record, "empty[]", lambda item: item["x"])
    assert (record["a"]["one"], record["list"], record["empty"]) == (2, ["old", "other"], [])


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("a", True),
        ("a.one", True),
        ("list[].y", True),
        ("list[]", True),
        ("empty", True),
        ("empty[]", False),
        ("b", False),
        ("a.one.deeper", False),
        ("b.one", False),
        ("a[]", False),
        ("list.x", False),
        ("empty[].x", False),
    ],
)
def test_has_never_raises(record: dict[str, Any], path: str, there: bool) -> None:
    assert has(record, path) is there


@pytest.mark.parametrize(
    ("edit", "error", "text"),
    [
        (lambda r: rename(r, "a.four", "five"), Absent, "a.four"),
        (lambda r: rename(r, "b.one", "two"), Absent, "b.one"),
        (lambda r: rename(r, "list[].y", "z"), Absent, "list"),
        (lambda r: rename(r, "a.one", "two"), Clash, "two"),
        (lambda r: rename(r, "a.one.deeper", "x"), NotAnObject, "deeper"),
        (lambda r: rename(r, "list[]", "x"), NotAnObject, "item"),
        (lambda r: rename(r, "a[].one", "x"), NotAnObject, "no list"),
        (lambda r: rename(r, "list.x", "y"), NotAnObject, "no object"),
        (lambda r: rename_value(r, "a.four", {}), Absent, "a.four"),
        (lambda r: add(r, "a.one", 1), Clash, "a.one"),
        (lambda r: add(r, "b.one", 1), Absent, "b.one"),
        (lambda r: add(r, "a.one.deeper", 1), NotAnObject, "deeper"),
        (lambda r: remove(r, "a.four"), Absent, "a.four"),
        (lambda r: move(r, "a.four", "four"), Absent, "a.four"),
        (lambda r: move(r, "a.one", "list"), Clash, "list"),
        (lambda r: move(r, "a.one", "b.one"), Absent, "b.one"),
        (lambda r: move(r, "a.one", "empty.one"), NotAnObject, "no object"),
        (lambda r: change(r, "a.four", str), Absent, "a.four"),
        (lambda r: change(r, "a.one[]", str), NotAnObject, "no list"),
    ],
)
def test_an_edit_that_would_have_to_guess_is_refused(
    record: dict[str, Any], edit: Edit, error: type[CannotMigrate], text: str
) -> None:
    with pytest.raises(error, match=text):
        edit(record)


@pytest.mark.parametrize("to", ["list", "b.one", "empty.one", "list.one"])
def test_a_refused_move_moves_nothing(record: dict[str, Any], to: str) -> None:
    before = str(record)
    with pytest.raises(CannotMigrate):
        move(record, "a.one", to)
    assert str(record) == before

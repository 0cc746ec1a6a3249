"""Durations as people write them."""

import re
from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.changes.options import Duration, PlanHash

DURATION = TypeAdapter(Duration)
PLAN_HASH: TypeAdapter[str | None] = TypeAdapter(PlanHash)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("36h", timedelta(hours=36)),
        ("1d12h", timedelta(hours=36)),
        ("2w", timedelta(weeks=2)),
        ("5m", timedelta(minutes=5)),
        ("P1DT12H", timedelta(hours=36)),
        (90, timedelta(seconds=90)),
        (timedelta(days=1), timedelta(days=1)),
    ],
)
def test_a_duration(text: object, expected: timedelta) -> None:
    assert DURATION.validate_python(text) == expected


@pytest.mark.parametrize("text", ["", "h", "36", "36 h", "36x", "1.5h", "-36h", "99999999999d", None, "soon"])
def test_not_a_duration(text: object) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(text)


def test_a_plan_keeps_it_in_a_form_that_is_read_back() -> None:
    written = DURATION.dump_python(timedelta(hours=36), mode="json")
    assert DURATION.validate_python(written) == timedelta(hours=36)


@pytest.mark.parametrize(
    ("text", "right"), [("0s", True), ("1d12h", True), ("P1DT12H", True), ("soon", False), ("36", False), ("", False)]
)
def test_the_form_in_the_ui_takes_it_as_text_of_that_form(text: str, right: bool) -> None:
    schema = DURATION.json_schema()
    assert schema["type"] == "string"
    assert bool(re.search(schema["pattern"], text)) is right


@pytest.mark.parametrize("text", ["0" * 16, "aB" * 32, None])
def test_a_plans_hash_or_enough_of_it(text: str | None) -> None:
    assert PLAN_HASH.validate_python(text) == text


@pytest.mark.parametrize("text", ["", "e146db58", "0" * 65, "g" * 16, "0" * 16 + "\n"])
def test_what_is_no_hash_is_told_so_in_a_sentence(text: str) -> None:
    with pytest.raises(ValidationError, match="is not 16 to 64 hex digits of the plan's hash; the 8 in its name"):
        PLAN_HASH.validate_python(text)


def test_the_form_takes_a_hash_or_none() -> None:
    kinds = PLAN_HASH.json_schema()["anyOf"]
    assert [kind["type"] for kind in kinds] == ["string", "null"]

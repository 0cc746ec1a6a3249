"""What comes from records never acts on a terminal; sizes have a unit beside the number."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.changes.texts import BAR, bars, clipped, clipped_pair, freeing, printable, sized


@given(st.text(st.characters()))
def test_no_character_is_left_that_a_terminal_acts_on(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert (shown == text) == text.isprintable()
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("ü ñ 漢 €", "ü ñ 漢 €"),
    ],
)
def test_what_acts_is_escaped_and_the_rest_stays(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1000, "1,000 (1.0 kB)"), (75_370, "75,370 (75.4 kB)")]
)
def test_a_size_is_exact_and_from_a_thousand_on_in_human_units_too(count: int, text: str) -> None:
    assert sized(count) == text


def test_a_store_that_grows_is_told_of_as_such() -> None:
    assert freeing(8000) == "freeing 8,000 bytes (8.0 kB)"
    assert freeing(-9) == "adding 9 bytes"


def test_a_long_text_is_clipped_and_says_so() -> None:
    assert clipped("x" * 10, 10) == "x" * 10
    assert clipped("x" * 1011, 10) == "xxxxxxxxxx… (1,011 characters)"


@given(st.text("ab", max_size=300), st.text("ab", max_size=300))
def test_two_texts_are_clipped_where_they_differ(old: str, new: str) -> None:
    shown_old, shown_new = clipped_pair(old, new, 50)
    assert max(map(len, (shown_old, shown_new))) <= 52
    assert (shown_old == shown_new) == (old == new)


def test_bars_are_in_proportion_and_the_smallest_is_seen() -> None:
    assert bars({"all": 4800, "half": 2400, "one": 1, "none": 0}) == [
        *("all", f"{'█' * BAR} 4,800", "half", f"{'█' * (BAR // 2)} 2,400", "one", "▏ 1", "none", " 0")
    ]
    assert bars({}) == []

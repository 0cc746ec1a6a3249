"""Every key under a prefix has exactly one reader, however many share it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.changes.errors import BadInput
from tasks.stores.key_ranges import BASE32, HEX, MOST, WHOLE, Prefix, Shard, folder_of, ranges_of

TEXTS = st.text("a0fz9-./~é/", max_size=6)
PREFIXES = st.lists(st.builds(Prefix, TEXTS, st.sampled_from(["", HEX, BASE32])), max_size=4)


@given(PREFIXES, TEXTS, st.integers(1, MOST), st.integers(1, 5))
def test_each_key_has_one_reader(prefixes: list[Prefix], key: str, of: int, pieces: int) -> None:
    readers = [part for number in range(1, of + 1) for part in ranges_of(prefixes, Shard(number, of), pieces)]
    assert sum(part.holds(key) for part in readers) == any(key.startswith(prefix.text) for prefix in prefixes)


@given(PREFIXES, TEXTS, TEXTS, st.integers(1, 9))
def test_no_folder_is_passed_over_that_holds_a_key(prefixes: list[Prefix], folder: str, name: str, of: int) -> None:
    for part in (part for number in range(1, of + 1) for part in ranges_of(prefixes, Shard(number, of))):
        if part.holds(f"{folder}/{name}"):
            assert part.may_hold_some_of(f"{folder}/")


@pytest.mark.parametrize(("digits", "of"), [(HEX, 4), (HEX, 7), (HEX, 256), (BASE32, 4), (BASE32, 10)])
def test_hashes_are_shared_evenly(digits: str, of: int) -> None:
    twos = [one + other for one in digits for other in digits]
    counts = [
        sum(part.holds(f"p/{two}rest") for part in ranges_of([Prefix("p/", digits)], Shard(number, of)) for two in twos)
        for number in range(1, of + 1)
    ]
    assert max(counts) - min(counts) <= 1


def test_a_prefix_with_digits_is_read_in_pieces() -> None:
    pieces = ranges_of([Prefix("p/", HEX), Prefix("q/")], Shard(2, 2), 4)
    assert [part.first for part in pieces] == ["p/80", "p/a0", "p/c0", "p/e0", "q/"]
    assert [part.end for part in pieces] == ["p/a0", "p/c0", "p/e0", None, None]


def test_prefixes_without_digits_are_dealt_out_whole() -> None:
    prefixes = [Prefix(f"{name}/") for name in "abcde"]
    dealt = [[part.prefix for part in ranges_of(prefixes, Shard(number, 2))] for number in (1, 2)]
    assert dealt == [["a/", "c/", "e/"], ["b/", "d/"]]


def test_a_prefix_within_another_is_read_once() -> None:
    assert [part.prefix for part in ranges_of([Prefix("a/b/"), Prefix("a/"), Prefix("ab"), Prefix("a/")])] == [
        "a/",
        "ab",
    ]


def test_a_shard_is_read_from_text() -> None:
    assert (Shard.parse("1/1"), Shard.parse("256/256")) == (WHOLE, Shard(256, 256))


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "1/257", "-1/4", "1/4/4", "a/b", "1 / 4", "01/4"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="it has the form NUMBER/OF, such as 1/4"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("texts", "folder"),
    [(["a/b/"], "a/b/"), (["a/b"], "a/"), (["a/bc/", "a/bd/"], "a/"), (["a", "b"], ""), ([""], ""), (["a/", ""], "")],
)
def test_the_folder_that_texts_share(texts: list[str], folder: str) -> None:
    assert folder_of(*texts) == folder

"""The next item is fetched by a thread, and nothing else changes."""

import threading
from collections.abc import Iterator

import pytest

from tasks.changes.plan import read_ahead


def test_everything_comes_in_order() -> None:
    assert list(read_ahead(iter(range(100)))) == list(range(100))
    assert list(read_ahead(iter([]))) == []


def test_items_that_are_false_do_not_end_it() -> None:
    assert list(read_ahead(iter([None, 0, [], False]))) == [None, 0, [], False]


def test_an_exception_comes_in_its_turn() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    items = read_ahead(failing())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_one_item_is_fetched_ahead_and_no_more() -> None:
    fetched = [threading.Event() for _ in range(4)]

    def noting() -> Iterator[int]:
        for number, event in enumerate(fetched):
            event.set()
            yield number

    threads = threading.active_count()
    items = read_ahead(noting())
    assert next(items) == 0
    assert fetched[1].wait(5)
    assert not fetched[2].wait(0.05)
    items.close()  # type: ignore[attr-defined]
    assert not fetched[2].is_set()
    assert threading.active_count() == threads


def test_it_reads_in_another_thread() -> None:
    def threads() -> Iterator[int]:
        yield threading.get_ident()

    assert list(read_ahead(threads())) != [threading.get_ident()]

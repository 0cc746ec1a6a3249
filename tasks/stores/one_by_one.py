"""Changing things each with a request of its own, so that one that fails is not taken for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tasks.changes.errors import StoreUnavailable
from tasks.changes.protocols import Outcome, Problem

T = TypeVar("T")
Results = Iterator[tuple[T, Outcome | Problem]]


def one_by_one(things: Iterable[T], change: Callable[[T], Outcome | Problem]) -> Results[T]:
    """Change things in turn, and yield what became of each as soon as it is known.

    One for which the store does not answer is tried again after the others, and is then a Problem.

    Raises:
        StoreUnavailable: the store did not answer for two in a row, or for any.
    """
    left: list[T] = []
    answers = True
    for thing in things:
        try:
            result = change(thing)
        except StoreUnavailable:
            if not answers:
                raise
            answers = False
            left.append(thing)
        else:
            answers = True
            yield thing, result
    yield from _again(left, change, answers)


def _again(things: list[T], change: Callable[[T], Outcome | Problem], answers: bool) -> Results[T]:
    for thing in things:
        try:
            result = change(thing)
        except StoreUnavailable as error:
            if not answers:
                raise
            result = Problem(str(error))
        yield thing, result

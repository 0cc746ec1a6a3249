"""The border to a client library: whatever it raises becomes one of our errors, with its own words in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.changes.errors import StewardError, StoreFailed

Meaning = Callable[[Exception], StewardError | None]
"""Turns a library's exception into our error, or returns None for one that it does not know."""


@contextmanager
def border(location: str, meaning: Meaning, *, chained: bool = True) -> Iterator[None]:
    """Turn whatever a client raises into the family of errors.

    `location` names the store in messages, without secrets. Where a library's own text may hold a record's content it
    is not `chained`: a log shows the whole chain.

    Raises:
        StewardError: what `meaning` makes of the exception, else a StoreFailed with its type and text.
    """
    try:
        yield
    except StewardError:
        raise
    except Exception as error:  # noqa: BLE001  # this is what the border is for
        known = meaning(error) or StoreFailed(f"{location}: {type(error).__name__}: {error}")
        raise known from (error if chained else None)

"""Only what trying again may help is tried again."""

from typing import Any

import pytest
from prefect.states import Failed

from tasks.changes.errors import PlanRefused, SourceUnreadable, StoreDenied, StoreUnavailable
from tasks.changes.retrying import may_help


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (StoreUnavailable("no answer"), True),
        (StoreDenied("no rights"), False),
        (SourceUnreadable("no folder"), False),
        (PlanRefused("too much"), False),
        (ValueError("a bug"), False),
    ],
)
def test_only_a_store_that_did_not_answer_is_asked_again(error: Exception, again: bool) -> None:
    nothing: Any = None
    assert may_help(nothing, nothing, Failed(data=error)) is again

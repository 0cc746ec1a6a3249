"""How tasks retry: only what trying again may help."""

from __future__ import annotations

from typing import Any, Final

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from tasks.changes.errors import StoreUnavailable


def may_help(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Say whether a failed task is worth another try: the store did not answer."""
    return isinstance(state.data, StoreUnavailable)


RETRYING: Final[dict[str, Any]] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": may_help,
}

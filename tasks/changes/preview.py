"""Telling what a plan would meet, without changing anything: the same judge and the same comparisons, no write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.changes.apply import Tally
from tasks.changes.errors import BadInput
from tasks.changes.identity import objection
from tasks.changes.plan import Plan
from tasks.changes.progress import Phase
from tasks.changes.protocols import Action, Judge, Key, LooksAgain, Outcome, Previews, Store
from tasks.changes.retrying import RETRYING


def preview(plan: Plan, store: Store[Any], judge: Judge[Any] | None = None, *, undo: bool = False) -> Tally:
    """Return what carrying a plan out, or taking it back, would come to now; `applied` is what would be done.

    Raises BadInput where the store cannot tell.
    """
    if not isinstance(store, Previews):
        message = f"What would be done in {store.location} cannot be told without doing it."
        raise BadInput(message)
    tally = Tally()
    with Phase("preview", plan.counts.planned) as phase:
        for batch in plan.batches(store.batch_size):
            _preview_batch(batch, store, judge, tally, undo=undo)
            phase.at(tally.handled)
    return tally


def _preview_batch(batch: list[Action], store: Previews, judge: Judge[Any] | None, tally: Tally, *, undo: bool) -> None:
    stays: Mapping[Key, str] = judge.look_again(batch) if isinstance(judge, LooksAgain) else {}
    tally.kept.update(stays.values())
    actions = [one.inverse() if undo else one for one in batch if one.key not in stays]
    outcomes: Sequence[Outcome | None] = store.preview(actions) if actions else []
    tally.add(actions, [one or Outcome.CONFLICT for one in outcomes])


@task(name="preview", cache_policy=NO_CACHE, **RETRYING)
def preview_plan(
    plan: Plan, store: Store[Any], judge: Judge[Any] | None = None, *, undo: bool = False, other_store: bool = False
) -> Tally:
    """Preview a plan, and remark where it would be refused for its store."""
    tally = preview(plan, store, judge, undo=undo)
    if not other_store and plan.counts.planned and (reason := objection(plan, store, undo=undo)):
        tally.remarks.append(f"This would be refused, without --other-store: {reason}")
    return tally

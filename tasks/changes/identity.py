"""Recognising a store: whether what answers at a plan's address is what it was made for, and holds what it should.

Asked right before the first change, in a few requests: a server at an address may be another since the plan was made,
and an emptied one takes everything that an undo gives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from math import ceil
from typing import Any, Final, NamedTuple

from tasks.changes.errors import OtherStore, PlanDamaged, PlanRefused
from tasks.changes.next_steps import command
from tasks.changes.plan import Plan
from tasks.changes.plan_file import action_of
from tasks.changes.protocols import (
    Action,
    Holds,
    Identified,
    Identity,
    Judge,
    Outcome,
    Previews,
    ReadsSources,
    Store,
)
from tasks.changes.report import publish

SAMPLE: Final = 20
"""Records of the plan, spread over it, that are looked at."""
TELLING: Final = 10
"""So many of them have to be looked at before it means anything that they all hold something else."""


class Seen(NamedTuple):
    """A record of the plan, and what it would be to apply its action: None where the record is gone."""

    action: Action
    outcome: Outcome | None


def check_target(
    plan: Plan,
    store: Store[Any],
    judge: Judge[Any] | None = None,
    *,
    undo: bool = False,
    other_store: bool = False,
) -> None:
    """Raise PlanRefused right before the first change, if the plan's file or its store is not what it was.

    OtherStore where the store is another, or holds less than half of what it should, or where the judge reads
    elsewhere, unless `other_store`.
    """
    if not plan.counts.planned:
        return
    try:
        plan.opened.check()
    except PlanDamaged as error:
        message = f"{error} It was replaced or altered while this run waited, and nothing has changed."
        raise _reported(PlanRefused(message), plan) from error
    if not other_store and (reason := _elsewhere(plan, judge) or objection(plan, store, undo=undo)):
        anyway = command("undo" if undo else "apply", plan.name, "STORE", "--other-store")
        raise _reported(OtherStore(f"{reason} Nothing has changed. If this is the store that is meant: {anyway}"), plan)


def _elsewhere(plan: Plan, judge: Judge[Any] | None) -> str | None:
    """Return which sources of the plan a judge does not read: what they would say, it cannot know."""
    if not isinstance(judge, ReadsSources):
        return None
    missing = sorted(set(plan.header.sources) - set(judge.sources))
    if not missing:
        return None
    return f"The plan was made by what {', '.join(missing)} says, and this run asks {', '.join(judge.sources)} instead."


def check_again(plan: Plan, store: Store[Any], *, undo: bool = False, other_store: bool = False) -> None:
    """Raise OtherStore where the store that answers after a break is another one, or lost what it should hold."""
    if not other_store and (reason := objection(plan, store, undo=undo)):
        message = f"{reason} It was replaced or emptied while it was changed: see what it holds before you go on."
        raise OtherStore(message)


def _reported(refusal: PlanRefused, plan: Plan) -> PlanRefused:
    refusal.report = publish(plan, stage="refused")
    return refusal


def objection(plan: Plan, store: Store[Any], *, undo: bool = False) -> str | None:
    """Return why this is not the store that the plan was made for, or does not hold what it should."""
    found = store.identity() if isinstance(store, Identified) else Identity()
    same = is_same(plan.header.identity, found)
    if same is False:
        ids = plan.header.identity.ids
        told = ", ".join(f"its {name} is {now}, not {ids[name]}" for name, now in found.ids.items() if name in ids)
        return f"At {store.location} is another store than the one that the plan was made for: {told}."
    return next(_lacks(plan, store, undo=undo, proven=same is True), None)


def is_same(planned: Identity, found: Identity) -> bool | None:
    """Return whether two identities are of one store; None where they cannot tell, and what it holds decides.

    One id in common proves it: after a failover the new server knows the old one's. Other ids are those of another
    store, unless a plain restart changes them and the data are kept in the same place, or nobody knows where.
    """
    if any(_is_one(old, new) for old in planned.ids.values() for new in found.ids.values()):
        return True
    if not planned.ids or not found.ids:
        return None
    if planned.changes_at_restart and found.changes_at_restart:
        elsewhere = planned.place and found.place and planned.place != found.place
        return False if elsewhere else None
    return False


def _is_one(planned: str, found: str) -> bool:
    """Whether two ids are one; that of an older plan may lack the last part of today's, the schema of a database."""
    return planned == found or (planned.count("/") == 1 and found.startswith(f"{planned}/"))


def _lacks(plan: Plan, store: Store[Any], *, undo: bool, proven: bool) -> Iterator[str]:
    """Yield what a store lacks; what it should hold depends on how much of the plan is done, which a sample shows.

    That records of the plan are gone means nothing in a store that is proven to be the same: somebody removed them, and
    each is a conflict of its own.
    """
    actions, holds = sample(plan), store.count()
    tells = undo or holds is not None or any(one.after is not None for one in actions)
    seen = look(store, actions, undo=undo) if tells else []
    expected = plan.counts.scanned + plan.counts.planned * _growth(seen or [Seen(one, None) for one in actions])
    if holds is not None and 2 * holds < expected:
        yield f"{store.location} holds {holds:,} records, less than half of the {expected:,.0f} that it should."
    if proven:
        return
    yield from _lost(plan, store)
    gone = sum(one.outcome is None for one in seen)
    others = sum(one.outcome is Outcome.CONFLICT for one in seen)
    if 2 * gone > len(seen):
        yield f"{gone} of {len(seen)} records of the plan that were looked at are gone from {store.location}."
    if len(seen) >= TELLING and 2 * (gone + others) > len(seen):
        yield (
            f"{gone + others} of {len(seen)} records of the plan that were looked at in {store.location} hold neither "
            "what they held when it was made nor what it wants there."
        )


def _lost(plan: Plan, store: Store[Any]) -> Iterator[str]:
    """Yield that most of the few records that the plan left alone, and noted, are gone."""
    anchors = plan.counts.anchors
    if not anchors or not isinstance(store, Holds):
        return
    gone = store.holds(anchors).count(False)
    if 2 * gone > len(anchors):
        yield f"{gone} of {len(anchors)} records that the plan left alone are gone from {store.location}."


def sample(plan: Plan) -> list[Action]:
    """Read a few actions, spread evenly over the plan."""
    planned = plan.counts.planned
    return [action_of(line) for line in islice(plan.opened.lines(), 1, 1 + planned, max(1, ceil(planned / SAMPLE)))]


def look(store: Store[Any], actions: Sequence[Action], *, undo: bool) -> list[Seen]:
    """Look at the records of actions, where the store can do that; an outcome is that of carrying the action out."""
    if not isinstance(store, Previews):
        return []
    outcomes = store.preview([one.inverse() for one in actions] if undo else actions)
    turned = {Outcome.DONE: Outcome.ALREADY, Outcome.ALREADY: Outcome.DONE} if undo else {}
    return [Seen(one, outcome and turned.get(outcome, outcome)) for one, outcome in zip(actions, outcomes, strict=True)]


def _growth(seen: Sequence[Seen]) -> float:
    """Return how many records more a store has than at first for each action of the plan, going by these."""
    return sum(map(_grown, seen)) / len(seen)


def _grown(seen: Seen) -> int:
    by = (seen.action.after is not None) - (seen.action.before is not None)
    if seen.outcome is Outcome.DONE:  # it is still to be done
        return 0
    return by if seen.outcome is Outcome.ALREADY else min(0, by)

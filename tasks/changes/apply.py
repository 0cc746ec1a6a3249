"""Carrying a plan out, or taking it back: batches in order, each a compare-and-set, resumed where they broke."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks.changes.clock import elapsed
from tasks.changes.errors import ApplyStopped, LookExpired, PlanRefused, StewardError, StoreError
from tasks.changes.identity import check_again, check_target
from tasks.changes.next_steps import Stage
from tasks.changes.plan import Plan
from tasks.changes.plan_file import PROBLEMS_KEPT
from tasks.changes.progress import Phase
from tasks.changes.protocols import (
    Action,
    ChecksSource,
    Judge,
    Key,
    LooksAgain,
    Outcome,
    Problem,
    Store,
    WorksAhead,
    text_of,
)
from tasks.changes.report import announce, publish
from tasks.changes.retrying import RETRYING
from tasks.changes.texts import printable

CONFLICTS_NAMED: Final = 20
SEGMENT: Final = 100_000
SEGMENTS: Final = 50
EXPIRED_IN_A_ROW: Final = 5
"""How often a batch may be looked at again without anything of it being done."""
FRESH_SECONDS: Final = 1.0
"""How long what a judge saw holds, unless its `fresh_seconds` say so; what had to wait longer is looked at again."""


@dataclass
class Tally:
    """What became of a plan's actions so far."""

    applied: int = 0
    conflicts: int = 0
    freed: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    conflicting: list[str] = field(default_factory=list)
    problem_count: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def handled(self) -> int:
        """Count the actions that are behind us, whatever became of them."""
        return self.applied + self.conflicts + self.problem_count + self.kept.total()

    def add(self, batch: Sequence[Action], outcomes: Sequence[Outcome | Problem]) -> None:
        """Count a batch's outcomes."""
        for action, outcome in zip(batch, outcomes, strict=True):
            if outcome is Outcome.DONE:
                self.applied += 1
                self.freed += action.frees
            elif outcome is Outcome.ALREADY:
                self.kept[outcome.value] += 1
            elif isinstance(outcome, Problem):
                self.problem_count += 1
                if self.problem_count <= PROBLEMS_KEPT:
                    self.problems.append({"record": text_of(action.key), "reason": outcome.reason})
            else:
                self.conflicts += 1
                if len(self.conflicting) < CONFLICTS_NAMED:
                    self.conflicting.append(text_of(action.key))


class Batch(NamedTuple):
    """A batch of the plan, what the judge left of it, and when it looked."""

    planned: list[Action]
    actions: list[Action]
    stays: Mapping[Key, str]
    looked: float


class Application:
    """A plan on its way into a store; calling `advance` again after an exception goes on where it broke off."""

    def __init__(
        self,
        plan: Plan,
        store: Store[Any],
        judge: Judge[Any] | None = None,
        *,
        undo: bool = False,
        check_again: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin at the plan's first action; `check_again` raises where, after a break, the store is another one."""
        self.name = "undo" if undo else "apply"
        self.tally = Tally()
        self.sent = False
        """Whether a change was sent to the store: from then on nobody may say that nothing has changed."""
        self.unknown = 0
        """Changes that were sent and whose answers are not known."""
        self._store, self._undo = store, undo
        self._judge = judge if isinstance(judge, LooksAgain) else None
        self._source = judge if isinstance(judge, ChecksSource) else None
        self._fresh: float = getattr(judge, "fresh_seconds", FRESH_SECONDS)
        self._planned = plan.batches(store.batch_size)
        self._batch: Batch | None = None
        self._ahead: Batch | None = None
        self._tried = False
        self._check_again, self._broke = check_again, False
        self._expired = 0

    def advance(self, actions: int, phase: Phase) -> bool:
        """Handle at least so many actions; return False once the plan is at its end."""
        goal = self.tally.handled + actions
        if self._broke:
            self._check_again()
            self._broke = False
        while self.tally.handled < goal:
            if self._batch is None:
                self._batch, self._ahead, self._tried = self._ahead or self._get_ready(), None, False
            if self._batch is None:
                return False
            if elapsed() - self._batch.looked > self._fresh:
                self._batch = self._look(self._batch.planned)
            if self._source:  # what was not found in it is only sent while it is there
                self._source.check_source()
            try:
                self._apply(self._batch)
            except LookExpired as expired:
                self._expired = 0 if expired.outcomes else self._expired + 1
                if self._expired == EXPIRED_IN_A_ROW:
                    raise
            phase.at(self.tally.handled)
        return True

    def _get_ready(self) -> Batch | None:
        planned = next(self._planned, None)
        if planned is None:
            return None
        if not self._fresh:
            return Batch(planned, planned, {}, -math.inf)
        try:
            return self._look(planned)
        except StewardError:  # this batch may not be the next yet: it is looked at again in its turn
            return Batch(planned, planned, {}, -math.inf)

    def _look(self, planned: list[Action]) -> Batch:
        """Ask the judge which of these actions still stand."""
        looked = elapsed()
        stays: Mapping[Key, str] = self._judge.look_again(planned) if self._judge else {}
        return Batch(planned, [one for one in planned if one.key not in stays] if stays else planned, stays, looked)

    def _apply(self, batch: Batch) -> None:
        actions = [one.inverse() for one in batch.actions] if self._undo else batch.actions
        retried, self._tried = self._tried, True
        self.sent = self.sent or bool(actions)
        self.unknown = len(actions)
        try:
            outcomes_of = self._begin(actions)
            try:
                self._ahead = self._ahead or self._get_ready()
            finally:  # whatever becomes of the next batch, this one is under way
                self._count(actions, outcomes_of(), retried=retried)
                self.tally.kept.update(batch.stays.values())
                self._batch = None
        except StoreError as failure:
            self._count_known(batch, actions, failure.outcomes, retried=retried)
            self.unknown -= sum(action.key in failure.untouched for action in actions)
            self._tried = retried if self.unknown == 0 else True
            self._broke = not isinstance(failure, LookExpired)
            raise

    def _count(self, actions: Sequence[Action], outcomes: Sequence[Outcome | Problem], *, retried: bool) -> None:
        if retried:  # what is as planned now was done by the try whose answer was lost
            outcomes = [Outcome.DONE if outcome is Outcome.ALREADY else outcome for outcome in outcomes]
        self.tally.add(actions, outcomes)
        self.unknown -= len(actions)

    def _count_known(
        self, batch: Batch, actions: Sequence[Action], outcomes: Mapping[Key, Outcome | Problem], *, retried: bool
    ) -> None:
        """Count what is known of a batch that broke; only the rest of it is tried again."""
        known = [action for action in actions if action.key in outcomes]
        self._count(known, [outcomes[action.key] for action in known], retried=retried)
        planned = [action for action in batch.planned if action.key not in outcomes]
        rest = [action for action in batch.actions if action.key not in outcomes]
        self._batch = Batch(planned, rest, batch.stays, batch.looked)

    def _begin(self, actions: list[Action]) -> Callable[[], Sequence[Outcome | Problem]]:
        if actions and isinstance(self._store, WorksAhead):
            return self._store.begin(actions)
        return lambda: self._store.apply(actions) if actions else []


@task(name="apply", cache_policy=NO_CACHE, **RETRYING)
def apply_segment(application: Application, actions: int, phase: Phase) -> bool:
    """Handle the plan's next actions; a retry goes on with the batch that broke."""
    return application.advance(actions, phase)


def carry_out(application: Application, plan: Plan) -> Tally:
    """Run an application to its end in few task runs; on failure the error carries the report so far.

    Raises:
        ApplyStopped: what went wrong after the first change was sent would else end with another status than 1.
    """
    segment = max(SEGMENT, math.ceil(plan.counts.planned / SEGMENTS))
    tally = application.tally
    announce(plan)
    try:
        with Phase(application.name, plan.counts.planned) as phase:
            while tally.handled < plan.counts.planned and apply_segment(application, segment, phase):
                pass
    except Exception as failure:
        stopped = ended(failure, application, plan)
        if stopped is failure:
            raise
        raise stopped from failure
    if tally.conflicts:
        get_run_logger().warning(
            "%s records changed since the plan was made and were left alone, such as: %s",
            tally.conflicts,
            printable(", ".join(tally.conflicting)),
        )
    return tally


def ended(failure: Exception, application: Application, plan: Plan) -> Exception:
    """Return the error that an application ends with: it says what was changed, and carries the report of that."""
    status = failure.exit_status if isinstance(failure, StewardError) else None
    if application.sent and status != ApplyStopped.exit_status:
        failure = ApplyStopped(str(failure) if status else f"{type(failure).__name__}: {failure}")
    if isinstance(failure, StewardError):
        failure.so_far = so_far(application, plan)
        stage: Stage = "stopped" if application.sent else "refused" if status == PlanRefused.exit_status else "planned"
        failure.report = publish(plan, application.tally, stage=stage)
    return failure


def so_far(application: Application, plan: Plan) -> str:
    """Return in a sentence what was changed."""
    applied, unknown = application.tally.applied, application.unknown
    if not application.sent:
        return "Nothing has changed."
    made = f"{applied:,} of {plan.counts.planned:,} changes were made before that"
    return f"{made}, and up to {unknown:,} more whose answers were lost." if unknown else f"{made}."


def apply_plan(plan: Plan, store: Store[Any], judge: Judge[Any], *, other_store: bool = False) -> Tally:
    """Carry out a plan where the store still holds what it held; the rest is left alone and counted."""
    check_target(plan, store, judge, other_store=other_store)
    again = partial(check_again, plan, store, other_store=other_store)
    return carry_out(Application(plan, store, judge, check_again=again), plan)


def undo_plan(plan: Plan, store: Store[Any], *, other_store: bool = False) -> Tally:
    """Put back what a plan changed, where it has not changed since."""
    check_target(plan, store, undo=True, other_store=other_store)
    again = partial(check_again, plan, store, undo=True, other_store=other_store)
    return carry_out(Application(plan, store, undo=True, check_again=again), plan)

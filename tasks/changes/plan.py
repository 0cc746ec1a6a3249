"""Making a plan: the store streamed past the judge, the verdicts that change something written down."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Any

from prefect import task
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from pydantic_core import to_jsonable_python

from tasks.changes.anchors import Anchoring
from tasks.changes.errors import PlanDamaged, ScanBroken, WrongStore
from tasks.changes.groups import GroupCounts
from tasks.changes.plan_file import (
    PROBLEMS_KEPT,
    Counts,
    Header,
    PlanWriter,
    action_of,
)
from tasks.changes.plan_store import BLOCK, PlanStore
from tasks.changes.progress import Phase
from tasks.changes.protocols import (
    Action,
    Groups,
    Holds,
    Identified,
    Identity,
    Ignore,
    Judge,
    Keep,
    Key,
    Problem,
    ReadsSources,
    Remarks,
    Remove,
    Replace,
    Store,
    V,
    text_of,
)
from tasks.changes.reading import Shown, shown
from tasks.changes.retrying import RETRYING
from tasks.changes.sealed_file import SealedFile, check_hash, open_file
from tasks.changes.texts import printable
from tasks.changes.version import own_version

LOGGER = logging.getLogger(__name__)

SCANS = 3
"""How often a scan that breaks is begun at most."""
BATCH_BYTES = 4 << 20
EXAMPLES = 5
UNSAVED = object()
_counted = attrgetter("reason", "group")


@dataclass(frozen=True)
class Plan:
    """A sealed plan: nothing in it will change, and it is what apply, undo and a reader go by."""

    path: Path
    name: str
    header: Header
    counts: Counts
    hash: str
    examples: Sequence[Shown] = ()
    """The first changes, for people; read once, so that a report needs no file."""
    file: SealedFile | None = field(default=None, compare=False, repr=False)
    """The file, held open: what was approved is what is read from it, whatever lies at `path` by then."""

    def batches(self, size: int) -> Iterator[list[Action]]:
        """Read the actions in order, in batches of at most `size` actions and about 4 MiB."""
        lines = self.opened.lines()
        next(lines)
        batch: list[Action] = []
        weight = 0
        for line in islice(lines, self.counts.planned):
            batch.append(action_of(line))
            weight += len(line)
            if len(batch) >= size or weight >= BATCH_BYTES:
                yield batch
                batch, weight = [], 0
        if batch:
            yield batch

    @property
    def opened(self) -> SealedFile:
        """Return the plan's file; raises PlanDamaged where it has none that is open."""
        if self.file is None:
            message = f"{self.name} is not open; nothing can be read from it."
            raise PlanDamaged(message)
        return self.file

    def first(self, n: int) -> list[Action]:
        """Give the first `n` actions."""
        return list(islice(chain.from_iterable(self.batches(n or 1)), n))

    def with_examples(self, *, undo: bool = False) -> Plan:
        """Return the plan with its first changes read, for an undo as it makes them."""
        first = self.first(EXAMPLES)
        return replace(self, examples=[shown(action.inverse() if undo else action) for action in first])


def open_plan(plan: str, plans: str | None = None, wanted: str | None = None, *, undo: bool = False) -> Plan:
    """Open a sealed plan by path or name, to carry it out or to undo it; see `open_file`."""
    file = open_file(plan, plans, wanted)
    return _plan_of(file, plan if plan.startswith(BLOCK) else str(file.path), undo=undo)


def _plan_of(file: SealedFile, name: str, *, undo: bool = False) -> Plan:
    return Plan(file.path, name, file.header, file.counts, file.hash, file=file).with_examples(undo=undo)


def check_store(plan: Plan, store: Store[Any]) -> None:
    """Raise WrongStore unless the plan was made for this store."""
    if plan.header.store != store.location:
        message = f"The plan is for {plan.header.store}, not for {store.location}. Nothing has changed."
        raise WrongStore(message)


def action_for(store: Store[V], key: Key, value: V, verdict: Remove | Replace) -> Action:
    """Write a verdict as an action, with what stands there now."""
    before = store.image(value)
    if isinstance(verdict, Remove):
        return Action(key, before, None, store.weigh(before), verdict.reason, verdict.detail)
    frees = store.weigh(before) - store.weigh(verdict.after)
    return Action(key, before, verdict.after, frees, verdict.reason, verdict.detail)


def survey(store: Store[V], judge: Judge[V], writer: PlanWriter, phase: Phase) -> None:
    """Stream the store past the judge into the plan."""
    counts = writer.counts
    kept: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    groups = GroupCounts()
    anchoring = Anchoring(judge, counts.anchors)
    judging: Judge[V] = anchoring if isinstance(store, Holds) else judge
    for records in store.scan():
        stay: list[Keep] = []  # counted by the page, which takes half as long as one by one
        go: list[str] = []
        for key, value in records:
            verdict = judging(key, value)
            if isinstance(verdict, Keep):
                stay.append(verdict)
            elif isinstance(verdict, Ignore):
                ignored[verdict.reason] += 1
            elif isinstance(verdict, Problem):
                counts.problem_count += 1
                if counts.problem_count <= PROBLEMS_KEPT:
                    counts.problems.append({"record": text_of(key), "reason": verdict.reason})
            else:
                writer.write(action_for(store, key, value, verdict))
                go.append(verdict.group)
        for (reason, group), number in Counter(map(_counted, stay)).items():
            kept[reason] += number
            groups.add(group, number, planned=False)
        for group, number in Counter(go).items():
            groups.add(group, number, planned=True)
        if anchoring.enough(counts.scanned):
            judging = judge
        counts.scanned += len(records)
        phase.at(counts.scanned)
    counts.kept = dict(kept)
    counts.ignored = dict(ignored)
    if isinstance(judge, Groups):
        counts.grouped_by = judge.grouped_by
        counts.groups = dict(groups.changed())
    if isinstance(judge, Remarks):
        counts.remarks = list(judge.remarks(counts))


def write_plan(store: Store[V], judge: Judge[V], plans: PlanStore, job: str, parameters: Mapping[str, Any]) -> Plan:
    """Plan a job: read the whole store, change nothing, and seal the plan in the plan store.

    Memory does not depend on the store's size. `parameters` are what the job was called with, without secrets. A scan
    that broke begins again with a plan of its own, so that a record seen twice is planned once; raises ScanBroken
    where that happens too often.
    """
    for _ in range(SCANS - 1):
        try:
            return _write_plan(store, judge, plans, job, parameters)
        except ScanBroken as broken:
            LOGGER.warning("%s It is read again from its beginning.", printable(str(broken)))
    try:
        return _write_plan(store, judge, plans, job, parameters)
    except ScanBroken as broken:
        message = f"{broken} That happened {SCANS} times in a row: see to the store, and run the command again."
        raise ScanBroken(message) from broken


def _write_plan(store: Store[V], judge: Judge[V], plans: PlanStore, job: str, parameters: Mapping[str, Any]) -> Plan:
    created = datetime.now(UTC)
    header = Header(
        job=job,
        version=own_version(),
        store=store.location,
        undoable=store.undoable,
        parameters=dict(parameters),
        created=created.isoformat(timespec="seconds"),
        identity=store.identity() if isinstance(store, Identified) else Identity(),
        sources=list(judge.sources) if isinstance(judge, ReadsSources) else [],
    )
    partial = plans.new_path(job)
    with plans.with_room():
        with Phase("plan", store.count()) as phase, PlanWriter(partial, header) as writer:
            survey(store, judge, writer, phase)
            seal = writer.seal()
        path, name = plans.keep(partial, job, created, seal)
    return _own(path, name, seal)


def _own(path: Path, name: str, seal: str) -> Plan:
    """Open the plan that this run has just written."""
    file = SealedFile(path)
    check_hash(file, seal)
    return _plan_of(file, name)


def without_credentials(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give a flow's parameters as JSON values; of its blocks only references, where a server keeps them."""
    plain = {name: _references(value) if _has_blocks(value) else value for name, value in parameters.items()}
    return dict(to_jsonable_python({name: value for name, value in plain.items() if value != UNSAVED}))


def _has_blocks(value: object) -> bool:
    return isinstance(value, Block) or (isinstance(value, list) and any(isinstance(one, Block) for one in value))


def _references(value: Block | list[Any]) -> Any:
    if isinstance(value, list):
        found = [_references(one) for one in value]
        return UNSAVED if UNSAVED in found else found
    name = value._block_document_name  # Prefect has no other way to ask
    return {"$ref": {"block_document_slug": f"{value.get_block_type_slug()}/{name}"}} if name else UNSAVED


@task(name="plan", cache_policy=NO_CACHE, **RETRYING)
def make_plan(store: Store[V], judge: Judge[V], plans: str | None = None) -> Plan:
    """Plan the job of the flow that runs; see `write_plan`."""
    parameters = without_credentials(flow_run.parameters)
    return write_plan(store, judge, PlanStore.at(plans), flow_run.flow_name, parameters)

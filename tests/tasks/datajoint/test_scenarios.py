"""Small stores, random inserts, deletes, re-inserts and crashes, on the real judge: no referenced object is ever lost.

`STEWARD_SCENARIOS=10000 pytest tests/tasks/datajoint/test_scenarios.py` plays more of them; each is told by its seed.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tasks.changes.apply import Application
from tasks.changes.errors import StoreUnavailable
from tasks.changes.plan import Plan, write_plan
from tasks.changes.plan_store import PlanStore
from tasks.changes.progress import Phase
from tasks.changes.protocols import Key, Outcome
from tasks.datajoint.catalogs import Place
from tasks.datajoint.grammar import Grammar, identities, owner_of
from tasks.datajoint.namespaces import Namespace
from tasks.datajoint.opening import quarantine_of
from tasks.datajoint.orphans import Unreferenced
from tasks.datajoint.references import Known, encoded
from tasks.datajoint.rows import reference_in
from tasks.datajoint.waiting import Waiting
from tasks.stores.files import Names
from tasks.stores.key_ranges import Prefix, Range
from tasks.stores.listing import Object, Page
from tasks.stores.object_store import Mode, ObjectStore, Results, Way, aside_of, object_of, same_content
from tasks.stores.quarantine import PastGrace

SCENARIOS = int(os.environ.get("STEWARD_SCENARIOS", "300"))
AT_ONCE = 50
"""Scenarios of a test, so that all workers have some."""
GRACE = timedelta(seconds=60)
START = datetime(2026, 1, 1, tzinfo=UTC)
LAB = Namespace(schemas=("lab",), location="dj")
GRAMMAR = Grammar(LAB)
PLACES = {
    "legacy": Place("lab", "~external_main", "hash", "hash", declared=True),
    "2": Place("lab", "session", "value", "json", declared=True),
    "beside": Place("lab_v2", "~external_main", "hash", "hash", declared=True),
}
Row = tuple[str, tuple[Any, ...]]


class Killed(Exception):
    """The run dies here."""


class World:
    """A store and the rows that reference its objects, as DataJoint keeps them; time passes when it is told to."""

    def __init__(self, random: Random, mode: Mode) -> None:
        self.random, self.mode = random, mode
        self.time = START
        self.objects: dict[str, Object] = {}
        self.rows: dict[Row, tuple[str, ...]] = {}  # and the keys of their objects
        self.made: dict[str, str] = {}  # keys of DataJoint's making, and what they belong to
        self.open: list[tuple[datetime, Row, tuple[str, ...]]] = []  # transactions, and when they must have ended
        self.written = 0
        self.crash: Callable[[], None] = lambda: None

    # ------------------------------------------------------------------------------------------- what the lab does

    def upload(self, key: str) -> None:
        self.written += 1
        size = self.random.randrange(1, 9)
        self.objects[key] = Object(size, f"e{self.written}", self.time.replace(microsecond=0))

    def insert(self, row: Row, *keys: str, again: bool) -> None:
        """Upload, where it is not there or DataJoint always does, and then write the row, now or a while later."""
        fresh = True
        for key in keys:
            self.made[key] = row[0]
            if again or key not in self.objects:
                self.upload(key)
            else:
                fresh = False
        if self.random.random() < 0.1:
            return  # the insert fails
        if self.random.random() < 0.3 and (fresh or self.mode == "quarantine"):
            ends = self.time + self.random.random() * GRACE * 0.9
            self.open.append((ends, row, keys))  # the grace protects what was uploaded, not what was there
        else:
            self.rows[row] = keys

    def store_blob(self, schema: str = "lab") -> None:
        hash_ = md5(b"%d" % self.random.randrange(8)).digest()
        name = hash_.hex()
        place = "legacy" if schema == "lab" else "beside"
        self.insert((place, (hash_, None)), f"dj/{schema}/{name[:2]}/{name[2:4]}/{name}", again=True)

    def store_hashed(self, *, may_be_there: bool = True) -> None:
        digest = "abcdefgh"[self.random.randrange(8)] * 26
        key = f"_hash/lab/{digest}"
        if may_be_there or f"dj/{key}" not in self.objects:
            self.insert(("2", (f'{{"path": "{key}"}}',)), f"dj/{key}", again=False)

    def store_folder(self) -> None:
        path = f"_schema/lab/session/subject={self.random.randrange(3)}/scan_{self.random.randrange(10**8):08}"
        parts = [f"dj/{path}{part}" for part in ("/.zattrs", "/0/0.0", ".manifest.json")]
        self.insert(("2", (f'{{"path": "{path}"}}',)), *parts, again=False)

    def drop_row(self) -> None:
        if self.rows:
            del self.rows[self.random.choice(list(self.rows))]

    def drop_junk(self) -> None:
        self.upload(f"dj/lab/{self.random.choice(['README', 'ab/x', 'f' * 31])}{self.random.randrange(3)}")

    def wait(self) -> None:
        self.pass_time(self.random.random() * GRACE)

    def pass_time(self, much: timedelta) -> None:
        self.time += much
        self.commit()

    def commit(self) -> None:
        """End the transactions whose time has come."""
        for one in [one for one in self.open if one[0] <= self.time]:
            self.open.remove(one)
            self.rows[one[1]] = one[2]

    def live(self, *, between_look_and_change: bool = False) -> None:
        """Do something, as a lab does while a run is under way.

        Where an orphan is taken again without an upload, in the very moment between our look and its removal, only the
        quarantine keeps it; so that happens in quarantine mode alone.
        """
        takes = not between_look_and_change or self.mode == "quarantine"
        acts = [
            *(self.store_blob, self.store_blob, lambda: self.store_blob("lab_v2"), self.store_folder),
            *(lambda: self.store_hashed(may_be_there=takes), self.drop_row, self.drop_row, self.drop_junk),
        ]
        for _ in range(self.random.randrange(3)):
            self.random.choice(acts if between_look_and_change else [*acts, self.wait])()
        self.check()

    # ------------------------------------------------------------------------------------------------ what must be

    @property
    def referenced(self) -> set[str]:
        return {key for keys in self.rows.values() for key in keys}

    @property
    def orphans(self) -> set[str]:
        """What the run should remove in the end, by what the lab did and not by the names."""
        theirs = {key for key, place in self.made.items() if place == "beside"}
        return (self.objects.keys() & self.made.keys()) - self.referenced - theirs

    def check(self) -> None:
        aside = {key.split("/", 3)[3] for key in self.objects if key.startswith("dj/.steward-quarantine/")}
        lost = self.referenced - self.objects.keys() - (aside if self.mode == "quarantine" else set())
        assert not lost, f"lost: {lost}"


class Rows:
    """What `References` gives, from the rows of a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def read(self) -> Known:
        self.world.live()
        counts = Counter({("toy", owner_of(place.schema, str(place.generation))): 0 for place in PLACES.values()})  # type: ignore[arg-type]
        own: Counter[str | None] = Counter()
        names = []
        for name, row in self.world.rows:
            reference = reference_in(PLACES[name], row, GRAMMAR)
            counts["toy", owner_of(PLACES[name].schema, str(PLACES[name].generation))] += 1  # type: ignore[arg-type]
            own[reference.owner] += 1
            names += map(encoded, reference.identities)
        return Known(Names(names), counts, own)

    def still(self, paths: Collection[str]) -> set[str]:
        self.world.live()
        found = {one for name, row in self.world.rows for one in reference_in(PLACES[name], row, GRAMMAR).identities}
        return {path for path in paths if not found.isdisjoint(identities(path, GRAMMAR.read(path)))}


class Toy(ObjectStore):
    """The objects of a world, changed as a server does; with accidents."""

    batch_size = 3

    def __init__(self, world: World, prefixes: list[Prefix], mode: Mode) -> None:
        super().__init__("toy://bucket", prefixes, mode, quarantine=quarantine_of(LAB))
        self.world = world

    def now(self) -> datetime:
        return self.world.time

    def listed(self, keys: Range) -> Iterator[Page]:
        for begin in range(0, 1 + len(self.world.objects), 4):
            self.world.live()
            inside = sorted(key for key in self.world.objects if keys.holds(key))
            yield [(key, self.world.objects[key]) for key in inside[begin : begin + 4]]
        # What the pages passed by, because others were removed or came before it, a server would not show either.

    def look(self, keys: Collection[Key]) -> Mapping[Key, Object | None]:
        return {key: self.world.objects.get(str(key)) for key in keys}

    def change(self, way: Way, images: Mapping[Key, dict[str, Any]]) -> Iterator[Results]:
        self.world.live(between_look_and_change=True)
        for key, image in images.items():
            self.world.crash()
            yield {key: self._change(way, str(key), image)}
        self.world.crash()

    def _change(self, way: Way, key: str, image: dict[str, Any]) -> Outcome:
        objects, aside = self.world.objects, aside_of(key, image) if "aside" in image else ""
        if way is Way.PUT_BACK:
            if aside not in objects:
                there = objects.get(key)
                return Outcome.ALREADY if there and same_content(there, object_of(image)) else Outcome.CONFLICT
            if key in objects:
                return Outcome.CONFLICT
            objects[key] = objects.pop(aside)
            return Outcome.DONE
        if key not in objects:
            return Outcome.ALREADY
        if objects[key] != object_of(image):
            return Outcome.CONFLICT
        stands = objects.pop(key)
        if way is Way.SET_ASIDE:
            objects[aside] = stands
        return Outcome.DONE


def toy_of(world: World) -> Toy:
    return Toy(world, LAB.prefixes, world.mode)


def judge_of(store: Toy) -> Unreferenced:
    rows: Any = Rows(store.world)
    judge = Unreferenced(LAB, rows, now=store.now(), grace=GRACE)
    store.watch(judge.notice)
    return judge


def planned(store: ObjectStore, judge: Any, plans: PlanStore) -> Plan:
    return write_plan(store, judge, plans, "toy", {})


def carry_out(application: Application, plan: Plan) -> None:
    phase = Phase("apply", plan.counts.planned)
    for _ in range(100):
        try:
            while application.advance(1, phase):
                pass
        except StoreUnavailable:
            continue
        return
    pytest.fail("the store never came back")


def accidents(world: World, *, kill: bool) -> Callable[[], None]:
    def crash() -> None:
        chance = world.random.random()
        if kill and chance < 0.05:
            raise Killed
        if chance < 0.1:
            message = "busy"
            raise StoreUnavailable(message)

    return crash


def run_once(world: World, plans: PlanStore, *, kill: bool) -> None:
    """Plan and apply while the lab works; the run may be killed."""
    world.crash = accidents(world, kill=kill)
    store = toy_of(world)
    judge = judge_of(store)
    try:
        plan = planned(store, judge, plans)
        world.live()
        carry_out(Application(plan, store, judge), plan)
        world.check()
        if world.mode == "quarantine" and world.random.random() < 0.3:
            purge(world, plans)
    except Killed:
        world.crash = lambda: None
    world.check()


def purge(world: World, plans: PlanStore) -> None:
    rows: Any = Rows(world)
    aside = quarantine_of(LAB)
    store = Toy(world, [Prefix(f"{aside}/")], "delete")
    unreferenced = Unreferenced(LAB, rows, now=store.now(), grace=timedelta(0))
    store.watch(unreferenced.notice)
    judge = Waiting(aside, PastGrace(aside, now=store.now(), grace=GRACE), unreferenced)
    plan = planned(store, judge, plans)
    carry_out(Application(plan, store, judge), plan)


def play(seed: int, plans: PlanStore) -> None:
    """Play one scenario to its end."""
    random = Random(seed)
    world = World(random, random.choice(["delete", "quarantine"]))
    for _ in range(random.randrange(12)):
        world.live()
    for _ in range(random.randrange(1, 4)):
        run_once(world, plans, kill=True)
        world.live()
    settle(world, plans)


def settle(world: World, plans: PlanStore) -> None:
    """Once the lab sleeps, a run removes exactly the orphans; twice is once; undo gives everything back."""
    world.pass_time(2 * GRACE)
    world.live = lambda **_: None  # type: ignore[method-assign]
    world.crash = lambda: None
    before, orphans = dict(world.objects), world.orphans
    store = toy_of(world)
    judge = judge_of(store)
    plan = planned(store, judge, plans)
    carry_out(Application(plan, store, judge), plan)
    after = dict(world.objects)
    quarantine = quarantine_of(LAB)
    assert before.keys() - after.keys() == orphans
    assert world.mode == "quarantine" or after == {key: one for key, one in before.items() if key not in orphans}
    assert {key for key in after if not key.startswith(quarantine)} == {
        key for key in before if not key.startswith(quarantine) and key not in orphans
    }
    carry_out(Application(plan, store, judge), plan)
    assert world.objects == after, "applied twice is applied once"
    if world.mode == "quarantine":
        carry_out(Application(plan, store, undo=True), plan)
        assert world.objects == before, "undo gives everything back"


@pytest.fixture(autouse=True)
def _few_shelves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of names for a handful, which take a hundredth of the time."""
    monkeypatch.setattr("tasks.stores.files.SHELVES", 16)


def test_p9_a_batch_is_looked_at_once_the_one_before_is_done(tmp_path: Path) -> None:
    world = World(Random(1), "delete")
    world.live = lambda **_: None  # type: ignore[method-assign]
    gone, taken = (f"_hash/lab/{letter * 26}" for letter in "ab")
    for path in (gone, taken):
        world.upload(f"dj/{path}")
    world.pass_time(2 * GRACE)
    store = toy_of(world)
    store.batch_size = 1
    judge = judge_of(store)
    plan = planned(store, judge, PlanStore.at(str(tmp_path)))
    world.crash = lambda: world.rows.update({("2", (f'{{"path": "{taken}"}}',)): (f"dj/{taken}",)})
    carry_out(Application(plan, store, judge), plan)
    assert (plan.counts.planned, world.objects.keys()) == (2, {f"dj/{taken}"})


@pytest.mark.parametrize("first", range(0, SCENARIOS, AT_ONCE))
def test_a7_p3_p9_no_referenced_object_is_ever_lost(first: int, tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    folder = memory / f"steward-{os.getpid()}" if memory.is_dir() else tmp_path
    plans = PlanStore.at(str(folder))
    for seed in range(first, min(first + AT_ONCE, SCENARIOS)):
        try:
            play(seed, plans)
        except Exception as error:
            error.add_note(f"scenario {seed}")
            raise
        for path in folder.iterdir():
            path.unlink()
    if folder != tmp_path:
        folder.rmdir()

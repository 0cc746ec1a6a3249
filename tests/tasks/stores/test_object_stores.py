"""What holds for objects in a bucket and for files alike: only what is planned changes, and it can be taken back."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.changes.protocols import Keep, Outcome, Remove
from tasks.stores.key_ranges import HEX, Prefix, Shard

DONE, ALREADY, CONFLICT = Outcome.DONE, Outcome.ALREADY, Outcome.CONFLICT
REAL = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

FOLDERS = st.sampled_from(["", "ab/", "ab/cd/", "a b+c/", "%2F/", "é&<>/日本/", "x'y\"/"])
NAMES = st.text("az09.-_~ +%&<>'\"=;,()é日😀\n\t\r?#[]*", min_size=1, max_size=8).map("n{}".format)
KEYS = st.builds("{}{}".format, FOLDERS, NAMES)
WORLDS = st.dictionaries(KEYS, st.tuples(st.binary(max_size=3), st.booleans()), max_size=10)
BODIES = st.none() | st.binary(min_size=4, max_size=6)  # others write other content: none, or longer


@st.composite
def meddled_worlds(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    world = draw(WORLDS)
    meddling = st.dictionaries(st.sampled_from(sorted(world)) | KEYS if world else KEYS, BODIES, max_size=4)
    return world, draw(meddling), draw(meddling)


class Story:
    """Objects, the plan to remove some, and what others write meanwhile."""

    def __init__(self, toys: Any, place: Any, mode: str, world: Mapping[str, tuple[bytes, bool]]) -> None:
        self.toys, self.place, self.store = toys, place, place.store(mode)
        place.clear()
        self.bodies = {place.base + key: body for key, (body, _) in world.items()}
        self.doomed = {place.base + key for key, (_, goes) in world.items() if goes}
        place.update(self.bodies)
        self.plan = toys.plan(self.store, lambda key, _: Remove("orphan") if key in self.doomed else Keep("referenced"))
        assert self.plan.counts.planned == len(self.doomed)
        assert dict(place) == self.bodies, "planning changes nothing"

    def meddle(self, changes: Mapping[str, bytes | None]) -> None:
        for key, body in changes.items():
            if body is not None:
                self.place[self.place.base + key] = body
            else:
                self.place.pop(self.place.base + key, None)

    def apply(self) -> None:
        """Those that nobody touched go, everything else stays to the byte, and that is what is reported."""
        found = dict(self.place)
        self.gone = {key for key in self.doomed if found.get(key) == self.bodies[key]}
        tally = self.toys.apply(self.plan, self.store)
        assert dict(self.place) == {key: body for key, body in found.items() if key not in self.gone}
        conflicts = sum(found.get(key, self.bodies[key]) != self.bodies[key] for key in self.doomed)
        assert (tally.applied, tally.conflicts, tally.problem_count) == (len(self.gone), conflicts, 0)

    def apply_again(self) -> None:
        found = dict(self.place)
        tally = self.toys.apply(self.plan, self.store)
        assert (dict(self.place), tally.applied) == (found, 0), "applying twice equals applying once"

    def undo(self) -> None:
        """What the run moved comes back to where nothing stands now."""
        found = dict(self.place)
        back = {key: self.bodies[key] for key in self.gone if key not in found}
        tally = self.toys.undo(self.plan, self.store)
        assert dict(self.place) == found | back
        assert (tally.applied, tally.problem_count) == (len(back), 0)


@REAL
@given(world=WORLDS)
def test_the_invariant_for_odd_names(toys: Any, place: Any, world: Any) -> None:
    story = Story(toys, place, "delete", world)
    story.apply()
    story.apply_again()


@REAL
@given(world=WORLDS)
def test_undo_gives_back_what_was_moved_aside(toys: Any, place: Any, world: Any) -> None:
    story = Story(toys, place, "quarantine", world)
    story.apply()
    assert place.quarantined() == {key: story.bodies[key] for key in story.gone}
    assert {key for page in story.store.scan() for key, _ in page} == place.keys(), "the quarantine is out of sight"
    story.apply_again()
    story.undo()
    assert (dict(place), place.quarantined()) == (story.bodies, {})


@REAL
@given(story=meddled_worlds())
def test_what_others_changed_meanwhile_stays_theirs(toys: Any, place: Any, story: Any) -> None:
    world, before_apply, before_undo = story
    told = Story(toys, place, "quarantine", world)
    told.meddle(before_apply)
    told.apply()
    told.meddle(before_undo)
    told.undo()


@pytest.mark.parametrize("mode", ["delete", "quarantine"])
@pytest.mark.parametrize("cleaned", ["lab/", "a/b/", "lab-old/"])
def test_a1_what_lies_beside_or_around_the_prefix_stays_as_it_is(
    toys: Any, place: Any, cleaned: str, mode: str
) -> None:
    folders = ("lab/", "lab_v2/", "lab-old/", "lab.x/", "a/", "a/b/", "a/bc/", "labs/lab/", "")
    place.update({f"{place.base}{folder}{name}": f"{folder}{name}".encode() for folder in folders for name in "xy"})
    before = dict(place)
    store = place.store(mode, prefixes=[Prefix(f"{place.base}{cleaned}")])
    plan = toys.plan(store, lambda _key, _value: Remove("orphan"))
    assert toys.apply(plan, store).applied == 2
    assert dict(place) == {key: body for key, body in before.items() if not key.startswith(place.base + cleaned)}
    if mode == "quarantine":
        toys.undo(plan, store)
        assert dict(place) == before


def test_a1_two_shards_end_where_one_worker_does(toys: Any, place: Any) -> None:
    names = [f"{i:02x}/{i:04x}" for i in range(0, 256, 3)] + ["README", "zz/last", ".x"]
    place.update({place.base + name: b"content" for name in names})
    doomed = {place.base + name for name in names[::2]}
    shards = [place.store(prefixes=[Prefix(place.base, HEX)], shard=Shard(number, 2)) for number in (1, 2)]
    plans = [
        toys.plan(store, lambda key, _: Remove("orphan") if key in doomed else Keep("referenced")) for store in shards
    ]
    assert sum(plan.counts.scanned for plan in plans) == len(names)
    applied = [toys.apply(plan, store).applied for plan, store in zip(plans, shards, strict=True)]
    assert min(applied) > 10
    assert (sum(applied), place.keys()) == (len(doomed), {place.base + name for name in names} - doomed)

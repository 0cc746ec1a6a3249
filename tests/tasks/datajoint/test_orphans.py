"""What goes, what stays and for which reason; what is doubted; what is looked at again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from tasks.changes.errors import SourceUnreadable
from tasks.changes.plan_file import Counts
from tasks.changes.protocols import Action, Ignore, Keep, Key, Remove, Verdict
from tasks.datajoint.doubts import FOREIGN_REFERENCED, MISPLACED
from tasks.datajoint.namespaces import Namespace
from tasks.datajoint.orphans import NOT_OURS, OLD, OUTSIDE, REFERENCED_NOW, YOUNG, Unreferenced
from tasks.stores.listing import spooled

HASH = "0123456789abcdef0123456789abcdef"
GONE = "fedcba9876543210fedcba9876543210"
DIGEST = "wxoyolcva2d3ahestrwypvbmn4"
GONE_DIGEST = "abcdefghijklmnopqrstuvwxyz"
OLD_HASH = "Zt3n0vXq-4h0FQe_5cC0p9yOeGmX1sR7uJkLwA2bD8E"
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
FOREIGN = [
    Ignore("foreign: in none of the run's schemas"),
    Ignore("foreign: no name that DataJoint gives in the run's schemas"),
]


def key(schema: Any, name: str, folds: str | None = None) -> str:
    """Give the key of a blob or attachment."""
    return f"dj/{schema.name}/{f'{name[:2]}/{name[2:4]}/' if folds is None else folds}{name}"


def space(*schemas: Any, **options: Any) -> Namespace:
    return Namespace(schemas=tuple(one.name for one in schemas), **{"location": "dj"} | options)


def going(verdicts: dict[Key, Verdict]) -> set[Key]:
    return {key for key, verdict in verdicts.items() if isinstance(verdict, Remove)}


def test_what_is_tracked_stays_and_what_is_not_goes(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH, name="ab.c")
    verdicts = judging(space(lab), lab.source())(listing(key(lab, f"{HASH}.ab.c"), key(lab, GONE)))
    assert list(verdicts.values()) == [
        Keep(f"referenced by {lab.name} (legacy)"),
        Remove(f"no row of {lab.name} (legacy) references it", "blob"),
    ]


def test_a1_neighbours_are_left_alone(schemas: Any, mariadb: Engine, judging: Any, listing: Any) -> None:
    lab = schemas(mariadb)
    lab.track("main", HASH)
    beside = [f"dj/{lab.name}{rest}/fe/dc/{GONE}" for rest in ("_v2", "-old", "2", "/nested", "/../x")]
    beside += [f"dj/nested/{lab.name}/fe/dc/{GONE}", f"dj2/{lab.name}/fe/dc/{GONE}", f"{lab.name}/fe/dc/{GONE}"]
    verdicts = judging(space(lab), lab.source())(listing(*beside, key(lab, GONE)))
    assert going(verdicts) == {key(lab, GONE)}
    assert {verdicts[one] for one in beside} == {OUTSIDE, *FOREIGN}


@pytest.mark.parametrize("location", ["dj", "dj/", "/dj", "/dj/", "C:\\dj", "./dj//"])
def test_a2_the_same_goes_however_the_location_is_written(lab: Any, judging: Any, listing: Any, location: str) -> None:
    lab.track("main", HASH)
    listed = listing(key(lab, HASH), key(lab, GONE))
    assert going(judging(space(lab, location=location), lab.source())(listed)) == {key(lab, GONE)}


def test_a3_p5_foreign_names_are_kept_counted_and_do_not_stop_the_run(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH)
    lab.column("<object@main>")
    names = [
        "README.md",
        GONE.upper(),
        GONE[:31],
        f"{GONE}0",
        f"00/00/{GONE}",
        f"{GONE[:8]}-{GONE[8:]}",
        ".manifest.json",
    ]
    keys = [f"dj/{lab.name}/{name}" for name in names] + [f"dj/_schema/{lab.name}/session/subject=1/stray.txt"]
    assert set(judging(space(lab), lab.source())(listing(*keys)).values()) == {FOREIGN[1]}


def test_a4_odd_names_of_attachments(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH, name="x")
    odd = ["a.b.c.tar.gz", "a b", "été & <b>.txt", ".hidden", "100%", "新.txt", "'\";--"]
    verdicts = judging(space(lab), lab.source())(
        listing(*(key(lab, f"{one}.{name}") for one in (HASH, GONE) for name in odd))
    )
    assert going(verdicts) == {key(lab, f"{GONE}.{name}") for name in odd}


@pytest.mark.parametrize("folds", ["", "01/", "0/1/", "01/23/45/"])
def test_a5_another_subfolding_is_misplaced_and_kept(lab: Any, judging: Any, listing: Any, folds: str) -> None:
    lab.track("main", HASH)
    at = key(lab, HASH, folds)
    assert judging(space(lab), lab.source())(listing(at))[at] == MISPLACED
    gone = key(
        lab, GONE, "".join(f"{GONE[: len(fold)]}/" for fold in folds.split("/")[:-1]) if folds in ("", "01/") else ""
    )
    assert judging(space(lab), lab.source())(listing(gone))[gone] == MISPLACED


def test_a5_the_subfoldings_that_are_declared_are_judged(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH)
    space_ = space(lab, subfoldings=frozenset({(), (2,)}))
    at = [
        key(lab, name, folds)
        for name, folds in ((HASH, ""), (HASH, "01/"), (GONE, ""), (GONE, "fe/"), (GONE, "fe/dc/"))
    ]
    verdicts = judging(space_, lab.source())(listing(*at))
    assert going(verdicts) == set(at[2:4])
    assert verdicts[at[4]] == MISPLACED


def test_a6_filepath_objects_stay_unless_asked_for(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH, path="raw/1.dat")
    lab.track("main", GONE, path=f"raw/{HASH}")
    keys = ["dj/raw/1.dat", f"dj/raw/{HASH}", "dj/raw/2.dat", f"dj/raw/{GONE}", "dj/rawer/2.dat"]
    verdicts = judging(space(lab), lab.source())(listing(*keys))
    assert list(verdicts.values()) == [FOREIGN_REFERENCED] * 2 + [FOREIGN[0]] * 3
    asked = judging(space(lab, filepaths=("raw",)), lab.source())(listing(*keys))
    assert going(asked) == set(keys[2:4])


def test_a6_the_union_of_all_declared_schemas_says_which_filepaths_are_used(
    schemas: Any, mariadb: Engine, judging: Any, listing: Any
) -> None:
    lab, lab_v2 = schemas(mariadb), schemas(mariadb)
    lab.track("main", HASH, path="raw/1.dat")
    lab_v2.track("main", GONE, path="raw/2.dat")
    owned = space(lab, filepaths=("raw",))
    keys = ["dj/raw/1.dat", "dj/raw/2.dat", "dj/raw/3.dat"]
    assert going(judging(owned, lab.source(), lab_v2.source())(listing(*keys))) == {keys[2]}


def test_a6_blobs_of_0_11_are_never_removed(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH, path=f"{lab.name}/{OLD_HASH}")
    keys = [f"dj/{lab.name}/{OLD_HASH}", f"dj/{lab.name}/{OLD_HASH[::-1]}"]
    verdicts = judging(space(lab), lab.source())(listing(*keys))
    assert list(verdicts.values()) == [Keep(f"referenced by {lab.name} (legacy)"), OLD]


def test_a7_what_is_younger_than_the_grace_stays(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH)
    judged = judging(space(lab), lab.source(), grace=HOUR)
    at = key(lab, GONE)
    for age in (timedelta(0), HOUR - SECOND, HOUR + SECOND - timedelta(microseconds=1)):
        assert judged(listing(at, age=age)) == {at: YOUNG}
    assert going(judged(listing(at, age=HOUR + SECOND))) == {at}


def test_a7_without_a_grace_nothing_is_young(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH)
    assert going(judging(space(lab), lab.source(), grace=timedelta(0))(listing(key(lab, GONE), age=timedelta(0))))


class Watched:
    """A store of a few objects, listed in full before the first is given; `meanwhile` happens while it is listed."""

    location, batch_size, undoable = "toy://objects", 1000, False

    def __init__(self, records: list[Any], notice: Callable[..., None], meanwhile: Callable[[], None] = list) -> None:
        self.records, self.notice, self.meanwhile = records, notice, meanwhile

    def scan(self) -> Any:
        return spooled((0, page) for page in self.pages())

    def pages(self) -> Any:
        for record in self.records:
            self.notice([record])
            yield [record]
        self.meanwhile()

    def count(self) -> int:
        return len(self.records)

    def image(self, value: Any) -> Any:
        return {"size": value.size, "etag": value.etag}

    def weigh(self, image: Any) -> int:
        return int(image["size"])


def test_p3_a7_rows_written_while_the_store_is_listed_count(lab: Any, toys: Any, listing: Any, judging: Any) -> None:
    lab.track("main", HASH)
    judge = judging(space(lab), lab.source()).judge
    keys = (key(lab, HASH), key(lab, GONE))
    store = Watched(listing(*keys), judge.notice, meanwhile=lambda: lab.track("main", GONE))
    plan = toys.plan(store, judge)
    assert (plan.counts.planned, plan.counts.scanned) == (0, 2)


def test_p3_each_listing_is_judged_by_references_read_after_it(lab: Any, toys: Any, listing: Any, judging: Any) -> None:
    lab.track("main", HASH)
    judge = judging(space(lab), lab.source()).judge
    store = Watched(listing(key(lab, HASH), key(lab, GONE)), judge.notice)
    assert toys.plan(store, judge).counts.planned == 1
    lab.track("main", GONE)
    assert toys.plan(store, judge).counts.planned == 0


def test_p4_a9_an_emptied_tracking_table_is_doubted(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main")
    assert "has no reference" in doubt(judging(space(lab), lab.source()), listing(key(lab, GONE)))
    assert doubt(judging(space(lab), lab.source(), allow_empty=True), listing(key(lab, GONE))) is None
    assert doubt(judging(space(lab), lab.source()), listing(f"dj/{lab.name}/README")) is None


def test_p4_a9_an_emptied_column_is_doubted(schema: Any, judging: Any, listing: Any) -> None:
    schema.column("<blob@main>", None)
    listed = listing(f"dj/_hash/{schema.name}/{GONE_DIGEST}")
    assert "has no reference" in doubt(judging(space(schema), schema.source()), listed)


def test_a9_one_emptied_schema_is_doubted_beside_a_full_one(
    schemas: Any, mariadb: Engine, judging: Any, listing: Any
) -> None:
    lab, lab_v2 = schemas(mariadb), schemas(mariadb)
    lab.track("main", HASH)
    lab_v2.track("main")
    judged = judging(space(lab, lab_v2), lab.source(), lab_v2.source())
    assert f"{lab_v2.name} (legacy)" in doubt(judged, listing(key(lab, HASH), key(lab_v2, GONE)))


def test_a9_an_empty_table_of_another_store_is_none_to_doubt(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH)
    lab.track("never_used")
    assert doubt(judging(space(lab), lab.source("main", "never_used")), listing(key(lab, HASH), key(lab, GONE))) is None


def test_a11_references_none_of_which_is_listed_are_doubted(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH)
    judged = judging(space(lab), lab.source())
    assert "none of those" in doubt(judged, listing(key(lab, GONE)))
    assert doubt(judged, listing(key(lab, GONE), key(lab, HASH))) is None


def test_a11_a_plan_that_was_doubted_is_doubted_by_a_judge_made_anew(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH)
    judged = judging(space(lab), lab.source())
    counts = counted(judged(listing(key(lab, GONE))))
    assert judging(space(lab), lab.source()).judge.doubt(counts)


def counted(verdicts: dict[Key, Verdict]) -> Counts:
    """Count as a plan does."""
    counts = Counts(scanned=len(verdicts))
    for verdict in verdicts.values():
        where = counts.because if isinstance(verdict, Remove) else counts.kept
        where = counts.ignored if isinstance(verdict, Ignore) else where
        where[verdict.reason] = where.get(verdict.reason, 0) + 1
    return counts


def doubt(judged: Any, listed: Any) -> str | None:
    judge: Unreferenced = judged.judge
    return judge.doubt(counted(judged(listed)))


def test_a8_nothing_is_judged_by_a_source_that_cannot_be_read(schema: Any, judging: Any, listing: Any) -> None:
    with pytest.raises(SourceUnreadable):
        judging(space(schema), schema.source())(listing("dj/x"))


def test_p6_objects_of_a_generation_without_tables_stay(lab: Any, judging: Any, listing: Any) -> None:
    lab.column("<object@main>", f"{lab.name}/t/id=1/x_AbCdEfGh")
    keys = [key(lab, GONE), f"dj/{lab.name}/t/id=1/x_AbCdEfGh", f"dj/{lab.name}/t/id=1/x_00000000"]
    verdicts = judging(space(lab, schema_prefix=""), lab.source())(listing(*keys))
    assert verdicts[keys[0]] == Ignore(f"foreign: {lab.name} (legacy) has no tables here")
    assert going(verdicts) == {keys[2]}
    only_2 = space(lab, schema_prefix="", generations=frozenset({"2"}))
    assert judging(only_2, lab.source())(listing(*keys))[keys[0]] == FOREIGN[1]


def test_a15_both_generations_in_one_schema(lab: Any, judging: Any, listing: Any) -> None:
    lab.track("main", HASH)
    lab.column("<blob@main>", f"_hash/{lab.name}/{DIGEST}")
    keys = [key(lab, HASH), f"dj/_hash/{lab.name}/{DIGEST}", key(lab, GONE), f"dj/_hash/{lab.name}/{GONE_DIGEST}"]
    judged = judging(space(lab), lab.source())
    assert going(judged(listing(*keys))) == set(keys[2:])
    for generation, expected in (("legacy", keys[2:3]), ("2", keys[3:])):
        only = space(lab, generations=frozenset({generation}))
        assert going(judging(only, lab.source())(listing(*keys))) == set(expected)


def test_a15_p8_partitioned_orphans_go(schema: Any, judging: Any, listing: Any) -> None:
    used = f"_schema/subject=0/{schema.name}/session/day=1/spikes_HHGPrbtW.npy"
    gone = used.replace("HHGPrbtW", "00000000")
    schema.column("<npy@main>", used)
    assert going(judging(space(schema), schema.source())(listing(f"dj/{used}", f"dj/{gone}"))) == {f"dj/{gone}"}


PARTS = ["", "/.zattrs", "/chunks/0.0", ".manifest.json"]


def test_a15_a_folder_and_its_manifest_stay_or_go_together(schema: Any, judging: Any, listing: Any) -> None:
    used, gone = (f"_schema/{schema.name}/session/subject=4/scan_{token}" for token in ("BSdaNi6o", "00000000"))
    schema.column("<object@main>", used)
    keys = [f"dj/{path}{part}" for path in (used, gone) for part in PARTS[1:]]
    assert going(judging(space(schema), schema.source())(listing(*keys))) == set(keys[3:])


def test_a6_a15_whatever_lies_in_a_folder_that_a_row_references_stays(schema: Any, judging: Any, listing: Any) -> None:
    schema.column("<filepath@main>", "raw/used")
    keys = ["dj/raw/used/1.dat", "dj/raw/used/deep/2.dat", "dj/raw/unused/1.dat"]
    verdicts = judging(space(schema, filepaths=("raw",)), schema.source())(listing(*keys))
    assert going(verdicts) == {keys[2]}


@pytest.mark.parametrize("young", PARTS[1:])
def test_a15_a_folder_is_as_young_as_the_youngest_in_it(schema: Any, judging: Any, listing: Any, young: str) -> None:
    path = f"dj/_schema/{schema.name}/session/subject=4/scan_00000000"
    schema.column("<object@main>", "raw/x")
    listed = listing(*(path + part for part in PARTS[1:] if part != young)) + listing(path + young, age=2 * HOUR)
    for records in (listed, listed[::-1]):
        assert set(judging(space(schema), schema.source())(records).values()) == {YOUNG}
    judged = judging(space(schema), schema.source(), grace=HOUR)
    assert len(going(judged(listed))) == 3


def actions(*keys: str) -> list[Action]:
    return [Action(key, {"etag": "x"}, None) for key in keys]


def test_p9_a7_what_a_row_references_again_is_seen_before_it_goes(schema: Any, judging: Any) -> None:
    table = schema.column("<blob@main>")
    keys = [f"dj/_hash/{schema.name}/{DIGEST}", f"dj/_hash/{schema.name}/{GONE_DIGEST}"]
    judge = judging(space(schema), schema.source()).judge
    assert judge.look_again(actions(*keys)) == {}
    schema.store(table, f"_hash/{schema.name}/{DIGEST}")
    assert judge.look_again(actions(*keys)) == {keys[0]: REFERENCED_NOW}


def test_p9_what_is_tracked_again_is_seen_before_it_goes(lab: Any, judging: Any) -> None:
    lab.track("main")
    judge = judging(space(lab, filepaths=("raw",)), lab.source()).judge
    keys = [key(lab, HASH), key(lab, f"{GONE}.x"), "dj/raw/x"]
    assert judge.look_again(actions(*keys)) == {}
    lab.track("alias", HASH)
    assert judge.look_again(actions(*keys)) == {keys[0]: REFERENCED_NOW}


def test_a_plan_for_more_than_the_run_owns_is_not_followed(lab: Any, judging: Any) -> None:
    lab.track("main", HASH)
    keys = [key(lab, GONE), "x", f"dj/other/{GONE}", "dj/raw/x", key(lab, GONE, "")]
    assert judging(space(lab), lab.source()).judge.look_again(actions(*keys)) == dict.fromkeys(keys[1:], NOT_OURS)


def test_a8_a_batch_is_not_done_where_a_source_cannot_be_asked(lab: Any, judging: Any) -> None:
    lab.track("main")
    judge = judging(space(lab), lab.source()).judge
    lab.drop()
    with pytest.raises(SourceUnreadable):
        judge.look_again(actions(key(lab, GONE)))

"""datajoint-clean by its acceptance cases A1 to A15 and the collector's defects P1 to P9, on real servers."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Lock
from typing import Any

import pytest
from sqlalchemy import Engine

from flows.apply import apply
from flows.datajoint_clean import datajoint_clean
from sandbox.chaos import ChaosProxy
from tasks.changes.errors import ApplyStopped, PlanRefused, RecordsUnhandled, SourceUnreadable
from tasks.changes.plan import open_plan
from tasks.stores.objects import Objects
from tests.flows.external_store import ExternalStore, Stores, config_of, credentials_of
from tests.tasks.datajoint.conftest import engine_of
from tests.tasks.stores.conftest import InBucket, OnDisk

DIGEST = "wxoyolcva2d3ahestrwypvbmn4"
OTHER_DIGEST = "abcdefghijklmnopqrstuvwxyz"
BLOB_OF_ABC = "900150983cd24fb0d6963f7d28e17f72"
NOT_OURS = "foreign: no name that DataJoint gives in the run's schemas"


def test_only_what_no_row_references_goes(either: ExternalStore) -> None:
    orphans = set(either.blobs(tracked=5, orphans=3))
    before = either.everything
    report = either.clean()
    assert either.everything == {path: content for path, content in before.items() if path not in orphans}
    assert (report.scanned, report.planned, report.applied, report.problem_count) == (8, 3, 3, 0)
    assert report.kept == {f"referenced by {either.schema.name} (legacy)": 5}
    assert report.bytes_freed == sum(len(before[path]) for path in orphans)
    assert either.clean().planned == 0


def test_a1_neighbours_and_nested_locations_stay_byte_for_byte(lab: ExternalStore) -> None:
    (orphan,) = lab.blobs(tracked=2, orphans=1)
    name = lab.schema.name
    for beside in (f"{name}_v2", f"{name}-old", f"{name}2", f"{name}/nested", f"nested/{name}"):
        lab.put(orphan.replace(name, beside, 1), b"a neighbour's")
    before = lab.everything
    report = lab.clean()
    assert lab.everything == {path: content for path, content in before.items() if path != orphan}
    assert report.scanned == 4, "only what lies under the schema's name is listed"


@pytest.mark.parametrize("written", ["{}", "/{}", "{}/", "C:\\{}", "./{}//"])
def test_a2_the_location_may_be_written_in_any_way(lab: ExternalStore, written: str) -> None:
    lab.blobs(tracked=1, orphans=1)
    assert lab.clean(location=written.format(lab.place.base.strip("/")), max_fraction=1.0).applied == 1


def test_a3_p5_foreign_names_are_kept_counted_and_do_not_stop_the_run(lab: ExternalStore) -> None:
    (orphan,) = lab.blobs(tracked=2, orphans=1)
    folder, hash_ = orphan.rpartition("/")[::2]
    names = [
        *("README.md", hash_.upper(), hash_[:31], f"{hash_}0", ".manifest.json"),
        *(f"{hash_[:8]}-{hash_[8:]}", f"zz/{hash_}", f"{hash_}/x"),
    ]
    foreign = {lab.put(f"{folder}/{name}", b"somebody's") for name in names}
    report = lab.clean()
    assert report.applied == 1
    assert report.ignored[NOT_OURS] == len(foreign)
    assert foreign < lab.paths


def test_a4_attachments_of_any_name_go_or_stay_by_their_hash(lab: ExternalStore) -> None:
    names = ["notes.v4.tar.gz", "a b", "été & <b>.txt", ".hidden", "100%", "新.txt", "+"]
    kept = {lab.blob(f"kept {name}".encode(), tracked=True, name=name) for name in names}
    gone = {lab.blob(f"gone {name}".encode(), tracked=False, name=name) for name in names}
    assert lab.clean().applied == len(gone)
    assert lab.paths == kept


def test_a5_a_wrong_subfolding_makes_nothing_an_orphan(lab: ExternalStore) -> None:
    lab.blobs(tracked=3, orphans=2)
    before = lab.everything
    report = lab.clean(layout={"subfolding": [[3]]})
    assert (report.planned, report.ignored) == (0, {"misplaced: in the folders of another subfolding": 5})
    assert lab.everything == before


def test_a6_filepath_objects_go_only_where_they_are_asked_for(lab: ExternalStore, stores: Stores) -> None:
    beside = stores(place=lab.place, name=f"{lab.schema.name}_v2")
    lab.blobs(tracked=2, orphans=1)
    for one, path in ((lab, "raw/1.dat"), (beside, "raw/2.dat"), (None, "raw/3.dat")):
        lab.put(path, b"raw")
        if one:
            one.schema.track("main", f"{len(path):032x}" if one is lab else f"{7:032x}", path=path)
    migrated = lab.put(f"{lab.schema.name}/Zt3n0vXq-4h0FQe_5cC0p9yOeGmX1sR7uJkLwA2bD8E", b"0.11")
    databases = [credentials_of(lab.schema, beside.schema)]
    assert lab.clean(databases=databases).applied == 1
    assert {"raw/1.dat", "raw/2.dat", "raw/3.dat", migrated} <= lab.paths
    assert lab.clean(databases=databases, layout={"filepaths": ["raw"]}).applied == 1
    assert {"raw/1.dat", "raw/2.dat", migrated} <= lab.paths
    assert "raw/3.dat" not in lab.paths


def test_a7_what_is_younger_than_the_grace_by_the_server_s_clock_stays(
    lab: ExternalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphans = lab.blobs(tracked=2, orphans=1)
    young = {"younger than the grace period": 1}
    assert lab.clean(grace="1h").kept.items() >= young.items()
    now = Objects.now
    monkeypatch.setattr(Objects, "now", lambda store: now(store) + timedelta(minutes=59))
    assert lab.clean(grace="1h").kept.items() >= young.items()
    monkeypatch.setattr(Objects, "now", lambda store: now(store) + timedelta(minutes=61))
    assert lab.clean(grace="1h").applied == 1
    assert not set(orphans) & lab.paths


def test_p3_a7_an_open_transaction_keeps_its_objects(modern: ExternalStore) -> None:
    """The row is not to be seen yet: the grace period is what protects its object."""
    modern.hashed(OTHER_DIGEST, recorded=True)
    path = modern.hashed(DIGEST, recorded=False)
    with modern.schema.engine.begin() as transaction:
        insert = f"INSERT INTO {modern.schema.full(modern.column or '')} (value) VALUES (%s)"
        transaction.exec_driver_sql(insert, (f'{{"path": "{path}"}}',))
        report = modern.clean(grace="1h")
    assert (report.planned, report.kept["younger than the grace period"]) == (0, 1)
    assert modern.clean(max_fraction=1.0).planned == 0
    assert path in modern.paths


def test_p3_a_row_that_is_written_while_the_store_is_listed_counts(
    lab: ExternalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the listing is over before references are read; the old collector does it the other way round."""
    lab.blobs(tracked=2, orphans=1)
    path = lab.blob(b"abc", tracked=False)
    listed = Objects.listed

    def then_track(store: Objects, keys: Any) -> Any:
        yield from listed(store, keys)
        with at_once:
            if not tracked:
                lab.schema.track("main", BLOB_OF_ABC)
                tracked.append(BLOB_OF_ABC)

    at_once, tracked = Lock(), list[str]()
    monkeypatch.setattr(Objects, "listed", then_track)
    assert lab.clean().planned == 1
    assert path in lab.paths


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something happen once the plan is made, before it is applied."""
    return lambda act: monkeypatch.setattr("flows.datajoint_clean.guard", lambda *_, **__: act())


def test_p9_a7_an_old_object_that_a_new_row_takes_again_stays(
    modern: ExternalStore, between: Callable[[Callable[[], object]], None]
) -> None:
    """DataJoint 2 uploads nothing where the object is there, so that it does not look younger."""
    modern.hashed(OTHER_DIGEST, recorded=True)
    path = modern.hashed(DIGEST, recorded=False)
    between(lambda: modern.record(path))
    report = modern.clean()
    assert (report.planned, report.applied) == (1, 0)
    assert report.kept["referenced since the plan was made"] == 1
    assert path in modern.paths


UNREADABLE: dict[str, tuple[Any, str]] = {
    "a8 a schema that is not there": (
        lambda lab, _: {"databases": [credentials_of(lab.schema, schemas=["nowhere"])]},
        "There is no schema nowhere",
    ),
    "a8 a tracking table that is not there": (
        lambda lab, _: {"databases": [credentials_of(lab.schema, stores=["x"])]},
        "neither a tracking table nor a column of the store x",
    ),
    "a8 a wrong password": (
        lambda lab, _: {"databases": [credentials_of(lab.schema, user="x", password="s3cret")]},
        r"refuses: Access denied .* Correct the user, password or rights .* nothing may be deleted",
    ),
    "a8 a server that is not there": (
        lambda lab, _: {"databases": [credentials_of(lab.schema, port=1)]},
        r"does not answer: .* nothing may be deleted",
    ),
    "a8 one source of two": (
        lambda lab, _: {"databases": [credentials_of(lab.schema), credentials_of(lab.schema, schemas=["nowhere"])]},
        "There is no schema nowhere",
    ),
    "p1 a8 a table that may not be read": (
        lambda lab, user: {"databases": [one_with_rights(lab, user, f"SELECT ON {lab.schema.full('~external_main')}")]},
        "no SELECT on the whole of it",
    ),
    "p7 a8 a codec that nobody knows": (
        lambda lab, _: lab.schema.column("<zarr@main>", "x") and {},
        "a codec that Steward does not know",
    ),
    "a row that names no path": (
        lambda lab, _: lab.schema.column("<blob@main>", {"url": "s3://x"}) and {},
        "names no path",
    ),
}


def one_with_rights(lab: ExternalStore, user: Callable[..., Engine], *grants: str) -> Any:
    url = user(lab.schema, *grants).url
    return credentials_of(lab.schema, user=url.username, password=url.password)


@pytest.fixture
def user() -> Iterator[Callable[..., Engine]]:
    from tests.tasks.datajoint.conftest import user as users

    yield from users.__wrapped__()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("make_unreadable", "says"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_in_full_stops_the_run_and_nothing_goes(
    lab: ExternalStore, user: Callable[..., Engine], make_unreadable: Any, says: str
) -> None:
    lab.blobs(tracked=3, orphans=2)
    before = lab.everything
    with pytest.raises(SourceUnreadable, match=says) as refused:
        lab.clean(**make_unreadable(lab, user))
    assert lab.everything == before
    assert "s3cret" not in str(refused.value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # PyMySQL reads on while it is collected
def test_a8_a_database_that_goes_away_in_mid_read_stops_the_run(lab: ExternalStore) -> None:
    lab.blobs(tracked=3, orphans=2)
    table, source = lab.schema.full("~external_main"), "SELECT seq FROM seq_1_to_50000"
    lab.schema.run(f"INSERT INTO {table} (hash, size) SELECT unhex(md5(seq)), 1 FROM ({source}) AS many")
    before = lab.everything
    url = lab.schema.engine.url
    with ChaosProxy(url.host or "", url.port or 0) as proxy:
        through = credentials_of(lab.schema, host="127.0.0.1", port=proxy.port)
        assert lab.clean(databases=[through], dry_run=True).planned == 2
        for part in (0.2, 0.6, 0.95):
            proxy.cut_down = int(500_000 * part)
            with pytest.raises(SourceUnreadable, match="could not be read in full"):
                lab.clean(databases=[through])
        assert proxy.cuts == 3
    assert lab.everything == before


def test_a8_a_database_that_goes_away_between_batches_stops_the_run_there(
    lab: ExternalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphans = lab.blobs(tracked=10, orphans=9)
    tracked = lab.paths - set(orphans)
    monkeypatch.setattr(Objects, "batch_size", 3)
    change, url = Objects.change, lab.schema.engine.url
    with ChaosProxy(url.host or "", url.port or 0) as proxy:

        def then_leave(store: Objects, *arguments: Any) -> Any:
            proxy.refuse()
            proxy.drop_all()
            return change(store, *arguments)

        monkeypatch.setattr(Objects, "change", then_leave)
        with pytest.raises(ApplyStopped, match="changes were made before that") as stopped:
            lab.clean(databases=[credentials_of(lab.schema, host="127.0.0.1", port=proxy.port)])
        monkeypatch.undo()
    assert stopped.value.report
    assert 3 <= stopped.value.report.applied <= 6
    assert tracked < lab.paths
    lab.clean()
    assert lab.paths == tracked


def test_p4_a9_an_emptied_tracking_table_is_refused_unless_it_is_allowed(lab: ExternalStore) -> None:
    lab.schema.track("main")
    orphans = lab.blobs(tracked=0, orphans=3)
    with pytest.raises(PlanRefused, match=r"has no reference of .* at all"):
        lab.clean(max_fraction=1.0)
    assert lab.paths == set(orphans)
    assert lab.clean(max_fraction=1.0, allow_empty=True).applied == 3


def test_a9_a_tracking_table_that_was_merely_asked_for_is_no_proof_of_a_store(lab: ExternalStore) -> None:
    """DataJoint makes an empty `~external_STORE` when it is asked for one."""
    orphans = lab.blobs(tracked=0, orphans=3)
    lab.schema.track("merely_asked_for")
    with pytest.raises(PlanRefused, match=r"has no reference of .* at all"):
        lab.clean(databases=[credentials_of(lab.schema, stores=["merely_asked_for"])], max_fraction=1.0)
    assert lab.paths == set(orphans)


def test_p4_a10_too_large_a_plan_is_refused_before_the_first_deletion(lab: ExternalStore) -> None:
    lab.blobs(tracked=4, orphans=6)
    before = lab.everything
    for limits, message in (({}, "60%"), ({"max_fraction": 1.0, "max_changes": 5}, "more than the 5 allowed")):
        with pytest.raises(PlanRefused, match=message):
            lab.clean(**limits)
    assert lab.everything == before
    assert lab.clean(max_fraction=0.6, max_changes=6).applied == 6


def test_a10_a_dry_run_is_the_default_and_its_plan_is_what_is_done(either: ExternalStore) -> None:
    orphans = set(either.blobs(tracked=4, orphans=3))
    before = either.everything
    planned = datajoint_clean(**either.arguments)
    assert (planned.dry_run, planned.planned, planned.applied, either.everything) == (True, 3, 0, before)
    plan = open_plan(planned.plan)
    assert {str(one.key).removeprefix(either.place.base) for one in plan.first(10)} == orphans
    either.clean()
    assert before.keys() - either.everything.keys() == orphans


@pytest.mark.parametrize("orphans", [0, 2])
def test_a11_references_none_of_which_is_listed_are_refused(lab: ExternalStore, orphans: int) -> None:
    """A wrong location must not look like one where there is nothing to do."""
    lab.schema.track("main", BLOB_OF_ABC)
    lab.blobs(tracked=0, orphans=orphans)
    with pytest.raises(PlanRefused, match=r"none of those|None of the 1 objects"):
        lab.clean(max_fraction=1.0)
    assert len(lab.paths) == orphans
    assert lab.clean(max_fraction=1.0, allow_empty=True).applied == orphans


def test_a12_two_servers_share_one_location(lab: ExternalStore, stores: Stores, postgres_url: str) -> None:
    modern = stores(engine_of(postgres_url), lab.place, lab.schema.name)
    orphans = {*lab.blobs(tracked=3, orphans=2), modern.hashed(OTHER_DIGEST, recorded=False)}
    modern.hashed(DIGEST, recorded=True)
    both = [credentials_of(lab.schema), credentials_of(modern.schema)]
    before = lab.paths
    assert lab.clean(databases=both).applied == 3
    assert lab.paths == before - orphans


def test_p2_a12_rows_under_another_name_of_the_store_count(modern: ExternalStore) -> None:
    modern.hashed(OTHER_DIGEST, recorded=True)
    path = modern.hashed(DIGEST, recorded=False)
    modern.schema.column("<blob@alias>", {"path": path, "store": "alias"})
    assert modern.clean(max_fraction=1.0).planned == 0
    assert path in modern.paths


@pytest.fixture
def versioned(s3_url: str, stores: Stores) -> Iterator[ExternalStore]:
    """A store in a bucket that keeps versions, and takes legal holds."""
    place = InBucket(s3_url, "test-steward-locked", object_lock=True)
    yield stores(place=place)
    for one in list(place.client.list_objects(place.name, place.base, recursive=True, include_version=True)):
        if not one.is_delete_marker:
            place.client.disable_object_legal_hold(place.name, str(one.object_name), one.version_id)
        place.client.remove_object(place.name, str(one.object_name), one.version_id)


def versions(store: ExternalStore) -> int:
    assert isinstance(store.place, InBucket)
    found = store.place.client.list_objects(store.place.name, store.place.base, recursive=True, include_version=True)
    return sum(not one.is_delete_marker for one in found)


def test_a13_what_is_held_fails_the_run_the_rest_goes_and_a_rerun_converges(versioned: ExternalStore) -> None:
    held, *_ = versioned.blobs(tracked=4, orphans=3)
    assert isinstance(versioned.place, InBucket)
    client, bucket, key = versioned.place.client, versioned.place.name, versioned.place.base + held
    (version,) = (one.version_id for one in client.list_objects(bucket, key, include_version=True))
    time.sleep(1.1)  # SeaweedFS counts the hold as a change
    client.enable_object_legal_hold(bucket, key, version)
    with pytest.raises(RecordsUnhandled, match="1 of 7 records could not be handled") as failed:
        versioned.clean(mode="purge-versions")
    assert failed.value.report
    assert (failed.value.report.applied, failed.value.report.problem_count) == (2, 1)
    assert failed.value.report.problems[0]["record"] == key
    assert versions(versioned) == 5
    client.disable_object_legal_hold(bucket, key, version)
    again = apply(failed.value.report.plan, config_of(versioned))
    assert (again.applied, again.problem_count, versions(versioned)) == (1, 0, 4)


def test_a14_a_versioned_bucket_says_what_a_plain_deletion_does_not_free(versioned: ExternalStore) -> None:
    orphans = versioned.blobs(tracked=2, orphans=2)
    size = sum(len(versioned.everything[path]) for path in orphans)
    report = versioned.clean()
    assert (report.applied, report.bytes_freed, versions(versioned)) == (2, 0, 4)
    assert report.remarks == [
        f"{size} bytes of objects that go stay as old versions, for the bucket is versioned: mode purge-versions "
        "deletes those too."
    ]
    (gone,) = versioned.blobs(tracked=0, orphans=1, beginning="another ")
    report = versioned.clean(mode="purge-versions")
    assert (report.applied, report.bytes_freed, report.remarks) == (1, len(b"another orphan 0"), [])
    assert gone not in versioned.paths
    assert versions(versioned) == 4


def test_a15_p6_p8_both_generations_folders_and_partitions_in_one_schema(either: ExternalStore) -> None:
    lab, name = either, either.schema.name
    orphans = set(lab.blobs(tracked=2, orphans=2))
    lab.hashed(DIGEST, recorded=True)
    orphans.add(lab.hashed(OTHER_DIGEST, recorded=False))
    for token, recorded in (("BSdaNi6o", True), ("00000000", False)):
        folder, partitioned = (
            f"_schema/{name}/session/subject=4/scan_{token}",
            f"_schema/subject=4/{name}/session/spikes_{token}.npy",
        )
        objects = {
            lab.put(path, b"x")
            for path in (f"{folder}/.zattrs", f"{folder}/0/0.0", f"{folder}.manifest.json", partitioned)
        }
        if recorded:
            lab.record(folder, partitioned)
        else:
            orphans |= objects
    before = lab.paths
    assert lab.clean(max_fraction=1.0).applied == len(orphans) == 7
    assert lab.paths == before - orphans
    assert lab.clean(generation="2").planned == lab.clean(generation="legacy").planned == 0


def test_p6_a_schema_at_the_root_does_not_take_the_old_generation_s_objects(modern: ExternalStore) -> None:
    name = modern.schema.name
    legacy = modern.blob(b"of 0.14, whose tables are on another server", tracked=False)
    used, gone = (modern.put(f"{name}/t/id=1/x_{token}", b"x") for token in ("AbCdEfGh", "00000000"))
    modern.record(used)
    report = modern.clean(layout={"schema_prefix": ""})
    assert report.ignored[f"foreign: {name} (legacy) has no tables here"] == 1
    assert modern.paths == {legacy, used}
    assert gone not in modern.paths


def test_p8_partitioned_orphans_go(modern: ExternalStore) -> None:
    used, gone = (f"_schema/subject=0/{modern.schema.name}/t/day=1/x_{n}.npy" for n in ("HHGPrbtW", "00000000"))
    modern.put(used, b"x")
    modern.put(gone, b"x")
    modern.record(used)
    assert modern.clean().applied == 1
    assert modern.paths == {used}


def test_a15_a_folder_that_is_written_to_stays_whole(modern: ExternalStore) -> None:
    """Its oldest part may be old enough to go; it is as young as its youngest."""
    folder = f"_schema/{modern.schema.name}/session/subject=4/scan_00000000"
    modern.hashed(DIGEST, recorded=True)
    old = modern.put(f"{folder}/.zattrs", b"old")
    time.sleep(3.2)
    young = modern.put(f"{folder}/0/0.0", b"young")
    report = modern.clean(grace="2s")
    assert (report.planned, report.kept["younger than the grace period"]) == (0, 2)
    assert {old, young} < modern.paths


def test_a15_links_stay_and_empty_folders_go(stores: Stores) -> None:
    lab = stores(disk=True)
    (orphan,) = lab.blobs(tracked=2, orphans=1)
    assert isinstance(lab.place, OnDisk)
    at = lab.place.folder / lab.place.base / orphan
    outside = lab.place.folder / "outside"
    outside.write_bytes(b"not ours")
    link = at.parent.parent / "link"
    link.mkdir()
    (link / ("f" * 32)).symlink_to(outside)
    assert lab.clean().applied == 1
    assert not at.parent.exists()
    assert outside.read_bytes() == b"not ours"
    assert (link / ("f" * 32)).is_symlink()

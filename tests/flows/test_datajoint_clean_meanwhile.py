"""datajoint-clean's quarantine, its plans and shards, and what it makes of servers that fail or work meanwhile."""

import shutil
import time
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest

from blocks.object_store_credentials import RETRIES
from flows.apply import apply
from flows.undo import undo
from sandbox.busy import BusyProxy
from tasks.changes.errors import BadInput, OtherStore, PlanRefused, WrongStore
from tasks.changes.plan import open_plan
from tasks.changes.report import Report
from tasks.stores.objects import Objects
from tasks.stores.s3_talk import Bucket
from tests.flows.external_store import ExternalStore, Stores, config_of, credentials_of

BLOB_OF_ABC = "900150983cd24fb0d6963f7d28e17f72"


def test_a_run_in_quarantine_is_undone_byte_for_byte(either: ExternalStore) -> None:
    orphans = set(either.blobs(tracked=4, orphans=3))
    before = either.everything
    report = either.clean(mode="quarantine")
    assert either.paths == before.keys() - orphans
    assert (report.applied, report.bytes_freed) == (3, 0)
    assert "bytes of objects that go stay in the quarantine" in report.remarks[0]
    assert either.clean(mode="quarantine").scanned == 4, "the quarantine is not listed"
    undone = undo(report.plan, either.store)
    assert (undone.applied, undone.conflicts, either.everything) == (3, 0, before)


def test_what_lies_in_quarantine_is_purged_after_a_grace_of_its_own(
    either: ExternalStore,
) -> None:
    either.blobs(tracked=4, orphans=3)
    either.clean(mode="quarantine")
    waits = either.clean(purge_after="30d")
    assert (waits.planned, waits.kept) == (0, {"in quarantine, younger than its grace period": 3})
    time.sleep(1.1)
    purged = either.clean(purge_after="0s")
    assert (purged.applied, purged.bytes_freed) == (3, 3 * len(b"orphan 0"))
    assert len(either.everything) == 4


def test_what_is_referenced_again_is_not_purged(lab: ExternalStore) -> None:
    """Somebody took it between our last look and the move: it can still be put back."""
    lab.blobs(tracked=4, orphans=2)
    missed = lab.blob(b"abc", tracked=False)
    plan = lab.clean(mode="quarantine").plan
    lab.schema.track("main", BLOB_OF_ABC)
    time.sleep(1.1)
    report = lab.clean(purge_after="0s")
    assert (report.applied, report.kept) == (2, {f"referenced by {lab.schema.name} (legacy)": 1})
    assert "1 objects in the quarantine are referenced" in report.remarks[0]
    assert undo(plan, lab.store).applied == 1
    assert missed in lab.paths


def test_an_emptied_table_purges_nothing(lab: ExternalStore) -> None:
    lab.blobs(tracked=3, orphans=2)
    lab.clean(mode="quarantine")
    lab.schema.run(f"DELETE FROM {lab.schema.full('~external_main')}")
    time.sleep(1.1)
    with pytest.raises(PlanRefused, match="has no reference of"):
        lab.clean(purge_after="0s")
    assert len(lab.everything) == 5


def test_a_plan_is_applied_with_the_file_that_it_was_made_from(lab: ExternalStore, stores: Stores) -> None:
    beside = stores(place=lab.place, name=f"{lab.schema.name}_v2")
    for one in (lab, beside):
        one.blobs(tracked=4, orphans=2, beginning=one.schema.name)
    file = config_of(lab, beside, grace="0s")
    before = lab.paths
    databases = [credentials_of(lab.schema), credentials_of(beside.schema)]
    plan = beside.clean(dry_run=True, databases=databases).plan
    beside.record("raw/1")  # the judge reads all sources again, and that is fine
    report = apply(plan, file)
    assert (report.job, report.planned, report.applied) == ("apply", 2, 2)
    assert len(before - lab.paths) == 2
    assert all(beside.schema.name in path for path in before - lab.paths)
    assert apply(plan, file).kept == {"already as planned": 2}


def test_a_plan_is_for_one_store_and_needs_its_databases(lab: ExternalStore, stores: Stores) -> None:
    lab.blobs(tracked=4, orphans=2)
    other = stores()
    other.blobs(tracked=1, orphans=1)
    plan = lab.clean(dry_run=True).plan
    with pytest.raises(WrongStore, match="None of the runs in"):
        apply(plan, config_of(other))
    with pytest.raises(BadInput, match="does not tell the plan's databases"):
        apply(plan, lab.store)
    with pytest.raises(WrongStore):
        apply(plan, str(Path(config_of(lab)).parent))
    assert len(lab.paths) == 6


def test_a_plan_made_by_a_deployment_finds_its_databases_again(lab: ExternalStore) -> None:
    """Its header names the blocks that a server keeps, so that the store is all that `apply` asks for."""
    lab.blobs(tracked=4, orphans=2)
    name = lab.schema.name.replace("_", "-")
    credentials_of(lab.schema).save(name)
    lab.store.save(name)
    refs = [{"$ref": {"block_document_slug": f"{kind}-credentials/{name}"}} for kind in ("object-store", "datajoint")]
    plan = lab.clean(store=refs[0], databases=refs[1:], dry_run=True).plan
    assert open_plan(plan).header.parameters.items() >= {"store": refs[0], "databases": refs[1:]}.items()
    assert apply(plan, lab.store).applied == 2
    assert len(lab.paths) == 4


def test_shards_do_together_what_one_run_does(either: ExternalStore) -> None:
    orphans = set(either.blobs(tracked=40, orphans=30))
    before = either.everything
    reports = [either.clean(shard=f"{n}/3", max_fraction=1.0) for n in (1, 2, 3)]
    assert [sum(getattr(one, name) for one in reports) for name in ("scanned", "planned", "applied")] == [70, 30, 30]
    assert all(one.scanned > 10 for one in reports)
    assert either.everything == {path: content for path, content in before.items() if path not in orphans}
    with pytest.raises(BadInput, match="is no shard"):
        either.clean(shard="4/3")


def test_an_s3_that_is_busy_for_a_while_is_waited_for(
    lab: ExternalStore, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blocks.object_store_credentials.RETRIES", RETRIES.new(backoff_factor=0))
    orphans = set(lab.blobs(tracked=5, orphans=4))
    before, url = lab.paths, urlsplit(s3_url)
    with BusyProxy(url.hostname or "", url.port or 80) as proxy:
        proxy.busy = 6
        through = lab.store.model_copy(update={"endpoint": f"127.0.0.1:{proxy.port}"})
        assert lab.clean(store=through).applied == 4
        assert proxy.refused == 6
    assert lab.paths == before - orphans


def test_a_lab_that_works_meanwhile_loses_nothing(modern: ExternalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stores new objects, takes old ones again without a new upload, and drops rows, during three runs.

    Between our last look and the move there is a moment in which a row may take an orphan again: in quarantine mode
    even that one is not lost, and not purged.
    """
    paths = [f"_hash/{modern.schema.name}/{base26(number)}" for number in range(60)]
    for path in paths:
        modern.put(path, b"old")
    modern.record(*paths[::2])
    time.sleep(3.2)
    stop = Event()
    writer = Thread(target=work, args=(modern, paths, stop))
    monkeypatch.setattr(Objects, "batch_size", 5)
    writer.start()
    reports = [modern.clean(grace="2s", max_fraction=1.0, mode="quarantine") for _ in range(3)]
    stop.set()
    writer.join()
    assert sum(one.applied for one in reports) > 10
    table = modern.schema.full(modern.column or "")
    with modern.schema.engine.connect() as connection:
        referenced = set(connection.exec_driver_sql(f"SELECT value->>'path' FROM {table}").scalars())
    assert len(referenced) > 30
    modern.clean(purge_after="0s")
    for report in reports:
        undo(report.plan, modern.store)
    assert referenced <= modern.paths


def base26(number: int) -> str:
    return f"{chr(ord('a') + number // 26 % 26)}{chr(ord('a') + number % 26)}".rjust(26, "x")


def work(store: ExternalStore, paths: list[str], stop: Event) -> None:
    """Do as DataJoint 2: upload unless the object is there, then insert; and delete rows."""
    table = store.schema.full(store.column or "")
    for number in range(26 * 26 - 60):
        path = paths[number * 7 % len(paths)] if number % 3 else f"_hash/{store.schema.name}/{base26(60 + number)}"
        if store.place.base + path not in store.place:
            store.put(path, b"new")
        store.record(path)
        store.schema.run(f"DELETE FROM {table} WHERE id = {number * 5 % 400}")
        if stop.is_set():
            return


def test_an_undo_in_another_bucket_is_refused(lab: ExternalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.blobs(tracked=4, orphans=3)
    plan = lab.clean(mode="quarantine").plan
    before = lab.everything
    monkeypatch.setattr(Bucket, "created", lambda _: "2020-01-01T00:00:00+00:00")  # the tests share the real one
    with pytest.raises(OtherStore, match="its creation date is 2020-01-01T00:00:00"):
        undo(plan, lab.store)
    assert lab.everything == before
    assert undo(plan, lab.store, other_store=True).applied == 3


def test_an_undo_in_another_folder_is_refused(stores: Stores) -> None:
    """As where another disk is mounted, or a backup without the quarantine was restored."""
    lab = stores(disk=True)
    lab.blobs(tracked=4, orphans=3)
    plan = lab.clean(mode="quarantine").plan
    folder = lab.place.folder
    aside = folder.rename(folder.with_name("the first"))
    shutil.copytree(aside, folder, ignore=shutil.ignore_patterns(".steward-quarantine"))
    before = lab.everything
    with pytest.raises(OtherStore, match="3 of 3 records of the plan that were looked at are gone"):
        undo(plan, lab.store)
    assert lab.everything == before
    seen = undo(plan, lab.store, dry_run=True)
    assert (seen.planned, seen.conflicts) == (0, 3)


def test_an_undo_of_what_was_purged_in_part_puts_back_the_rest(either: ExternalStore) -> None:
    either.blobs(tracked=4, orphans=3)
    plan = either.clean(mode="quarantine").plan
    for key in [one for one in either.place.keys_there() if ".steward-quarantine/" in one][1:]:
        del either.place[key]
    assert numbers(undo(plan, either.store)) == (3, 1, 2)


def numbers(report: Report) -> tuple[int, int, int]:
    """Give what was planned, done, and left alone because somebody changed it."""
    return report.planned, report.applied, report.conflicts

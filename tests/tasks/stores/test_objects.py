"""A real S3 bucket: listed in full, changed only where an object looks as planned, whatever goes wrong."""

import io
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from minio.commonconfig import CopySource
from minio.versioningconfig import ENABLED, SUSPENDED, VersioningConfig

from blocks.object_store_credentials import RETRIES
from sandbox import ChaosProxy
from sandbox.busy import BusyProxy
from tasks.changes.apply import Application
from tasks.changes.errors import StoreDenied, StoreUnavailable
from tasks.changes.progress import Phase
from tasks.changes.protocols import Action, Keep, Outcome, Remove
from tasks.stores import s3_look
from tasks.stores.key_ranges import HEX, Prefix, Range, Shard
from tasks.stores.listing import Page
from tasks.stores.objects import Objects, retained
from tasks.stores.quarantine import PastGrace
from tasks.stores.s3_talk import Bucket

DONE, ALREADY, CONFLICT = Outcome.DONE, Outcome.ALREADY, Outcome.CONFLICT
ORPHAN = Remove("orphan")
QUICK = RETRIES.new(backoff_factor=0.001)


def everything(_key: Any, _value: Any) -> Remove:
    return ORPHAN


def half(key: Any, _value: Any) -> Remove | Keep:
    return ORPHAN if int(key[-1], 16) % 2 else Keep("referenced")


@pytest.fixture
def chaos(s3_url: str) -> Iterator[ChaosProxy]:
    url = urlsplit(s3_url)
    with ChaosProxy(url.hostname or "", url.port or 80) as proxy:
        yield proxy


@pytest.fixture
def versioned(s3_url: str, make_place: Any) -> Iterator[Any]:
    """A bucket that keeps versions, and takes legal holds."""
    place = make_place(s3_url, "test-steward-locked", object_lock=True)
    yield place
    for one in list(place.client.list_objects(place.name, place.base, recursive=True, include_version=True)):
        if not one.is_delete_marker:
            place.client.disable_object_legal_hold(place.name, one.object_name, one.version_id)
        place.client.remove_object(place.name, one.object_name, one.version_id)


@pytest.fixture
def suspended(s3_url: str, make_place: Any) -> Iterator[Any]:
    """A bucket that has kept versions, and then no more."""
    place = make_place(s3_url, f"test-steward-{uuid4().hex[:8]}")
    place.client.set_bucket_versioning(place.name, VersioningConfig(ENABLED))
    yield place
    for one in list(place.client.list_objects(place.name, recursive=True, include_version=True)):
        place.client.remove_object(place.name, one.object_name, one.version_id)
    place.client.remove_bucket(place.name)


def test_it_is_named_by_endpoint_bucket_and_folder(in_bucket: Any) -> None:
    bucket = in_bucket.bucket()
    location = Objects(bucket, [Prefix("loc/lab/"), Prefix("loc/lab_v2/")]).location
    assert location == f"http://{in_bucket.credentials.endpoint}/{in_bucket.name}/loc/"
    assert "testsecret" not in location


def test_a7_the_time_is_the_server_s(in_bucket: Any) -> None:
    assert abs(in_bucket.store().now() - datetime.now(UTC)) < timedelta(seconds=10)


def test_a_record_says_what_the_server_does(in_bucket: Any) -> None:
    in_bucket[f"{in_bucket.base}one"] = b"four"
    [[(key, value)]] = in_bucket.store().scan()
    told = in_bucket.client.stat_object(in_bucket.name, key)
    assert (value.size, value.etag, value.modified) == (4, told.etag, told.last_modified)


def test_several_pages_and_prefixes_each_object_once(in_bucket: Any) -> None:
    keys = in_bucket.fill(2_300)
    prefixes = [Prefix(f"{in_bucket.base}{digit}") for digit in HEX] + [Prefix(f"{in_bucket.base}a")]
    seen = [key for page in in_bucket.store(prefixes=prefixes).scan() for key, _ in page]
    assert sorted(seen) == sorted(keys)


def test_k6_where_the_server_tidies_keys_each_object_is_listed_once(in_bucket: Any) -> None:
    """SeaweedFS makes one slash of two: what lies under a prefix with two lies under one with one, too."""
    names = ["lab/01/object", "_hash/lab/object", "other", ".quarantine/20260101T000000Z/x"]
    keys = [f"{in_bucket.base}{name}" for name in names]
    in_bucket.update(dict.fromkeys(keys, b"x"))
    prefixes = [
        Prefix(f"{in_bucket.base}lab/", HEX),
        Prefix(f"{in_bucket.base}/_hash/lab/"),
        Prefix(f"{in_bucket.base}/"),
    ]
    seen = [key for page in in_bucket.store(prefixes=prefixes).scan() for key, _ in page]
    assert sorted(seen) == sorted(keys[:3])


def test_shards_share_the_listing_among_them(in_bucket: Any, busy: BusyProxy) -> None:
    keys = [*in_bucket.fill(2_300), f"{in_bucket.base}README", f"{in_bucket.base}.x", f"{in_bucket.base}zz/last"]
    for key in keys[-3:]:
        in_bucket[key] = b"foreign"
    prefixes, seen = [Prefix(in_bucket.base, HEX)], list[str]()
    for number in range(1, 6):
        bucket, before = in_bucket.bucket(busy.port), busy.passed
        store = in_bucket.store(prefixes=prefixes, shard=Shard(number, 5), bucket=bucket)
        seen += [key for page in store.scan() for key, _ in page]
        assert busy.passed - before <= 4, "no worker lists it all"
    assert sorted(seen) == sorted(keys)


def test_a7_the_listing_is_over_before_the_first_record_is_judged(in_bucket: Any) -> None:
    keys = in_bucket.fill(1_200)
    pages = in_bucket.store().scan()
    seen = [key for key, _ in next(pages)]
    in_bucket[f"{in_bucket.base}zz"] = b"written after the first record was given"
    del in_bucket[max(keys)]
    assert sorted(seen + [key for page in pages for key, _ in page]) == sorted(keys)


def test_an_object_that_was_written_anew_stays_even_if_it_is_the_same(toys: Any, in_bucket: Any) -> None:
    key = f"{in_bucket.base}blob"
    in_bucket[key] = b"same"
    plan = toys.plan(in_bucket.store(), everything)
    time.sleep(1.1)  # S3 tells seconds
    in_bucket[key] = b"same"
    tally = toys.apply(plan, in_bucket.store())
    assert (tally.conflicts, tally.applied, dict(in_bucket)) == (1, 0, {key: b"same"})


@pytest.mark.parametrize("mode", ["delete", "quarantine"])
def test_what_is_written_between_our_look_and_the_deletion_stays(
    toys: Any, in_bucket: Any, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    keys = in_bucket.fill(30)
    plan = toys.plan(in_bucket.store(mode), everything)
    remove = Bucket.remove

    def meddling(self: Bucket, *args: Any) -> Any:
        in_bucket[keys[7]] = b"new content"
        return remove(self, *args)

    monkeypatch.setattr(Bucket, "remove", meddling)
    tally = toys.apply(plan, in_bucket.store(mode))
    assert (tally.applied, tally.conflicts, dict(in_bucket)) == (29, 1, {keys[7]: b"new content"})


def test_objects_far_apart_are_looked_at_one_by_one(in_bucket: Any, busy: BusyProxy) -> None:
    keys = in_bucket.fill(1_500)
    bucket, some = in_bucket.bucket(busy.port), [min(keys), max(keys), f"{in_bucket.base}none"]
    found = {key: stands for part in s3_look.look(bucket, some) for key, stands in part.items()}
    assert [found[key] is not None for key in some] == [True, True, False]
    before = busy.passed
    assert len({key for part in s3_look.look(bucket, keys) for key in part}) == 1_500
    assert busy.passed - before == 2, "those close together take a page"


def test_keys_that_folders_put_in_another_order_are_found(in_bucket: Any) -> None:
    ends = ("-x", "/x", ".x", "0x", "/x-", "/y/x", " x", "!", "/!", "\t")
    names = [f"{name}{end}" for name in "abc" for end in ends]
    keys = [f"{in_bucket.base}{name}" for name in names]
    for key in keys:
        in_bucket[key] = b"x"
    for some in (keys, keys[::2], keys[3:8]):
        absent = [f"{key}?" for key in some]
        found = {key: one for part in s3_look.look(in_bucket.bucket(), [*some, *absent]) for key, one in part.items()}
        assert {key for key, one in found.items() if one} == set(some)
        assert found.keys() == {*some, *absent}


def test_a13_what_is_held_is_a_problem_and_the_rest_goes(toys: Any, versioned: Any) -> None:
    keys = versioned.fill(5)
    time.sleep(1.1)  # SeaweedFS counts the hold as a change, in its listing of versions only
    versioned.client.enable_object_legal_hold(versioned.name, keys[2])
    assert versioned.client.is_object_legal_hold_enabled(versioned.name, keys[2])
    store = versioned.store("purge-versions")
    plan = toys.plan(store, everything)
    tally = toys.apply(plan, store)
    assert (tally.applied, tally.problem_count) == (4, 1)
    held = "It is under a hold or retention, or the keys lack the right s3:DeleteObjectVersion for it."
    assert tally.problems == [{"record": keys[2], "reason": f"AccessDenied: Access Denied. {held}"}]
    assert versions_of(versioned).keys() == {keys[2]}
    assert list(versioned) == [], "it is deleted, and can be put back: remove its marker"
    versioned.client.disable_object_legal_hold(versioned.name, keys[2], versions_of(versioned)[keys[2]][-1])
    tally = toys.apply(plan, store)
    assert (tally.applied, tally.problem_count, versions_of(versioned)) == (1, 0, {})


def test_a13_a_held_old_version_does_not_become_the_object_again(toys: Any, versioned: Any) -> None:
    [key] = versioned.fill(1, b"old")
    versioned.client.enable_object_legal_hold(versioned.name, key, versions_of(versioned)[key][0])
    versioned.fill(1, b"new")
    store = versioned.store("purge-versions")
    assert toys.apply(toys.plan(store, everything), store).problem_count == 1
    assert (len(versions_of(versioned)[key]), list(versioned)) == (1, [])


def test_a13_only_the_batch_that_failed_is_tried_again(toys: Any, in_bucket: Any, busy: BusyProxy) -> None:
    in_bucket.fill(30)
    store = in_bucket.store(bucket=in_bucket.bucket(busy.port, retries=False))
    store.batch_size = 10
    application = Application(toys.plan(in_bucket.store(), everything), store)
    application.advance(20, Phase("apply", None))
    assert (busy.passed_with["POST"], len(in_bucket)) == (2, 10)
    busy.busy, busy.busy_with = 1, {"POST"}
    with pytest.raises(StoreUnavailable, match="is busy: SlowDown"):
        application.advance(10, Phase("apply", None))
    assert (application.tally.applied, len(in_bucket)) == (20, 10)
    application.advance(10, Phase("apply", None))
    assert (busy.passed_with["POST"], application.tally.applied, len(in_bucket)) == (3, 30, 0)


def versions_of(place: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in place.client.list_objects(place.name, place.base, recursive=True, include_version=True):
        if not one.is_delete_marker:
            found.setdefault(one.object_name, []).append(one.version_id)
    return found


def test_a14_a_plain_deletion_says_that_it_frees_nothing(toys: Any, versioned: Any, in_bucket: Any) -> None:
    keys = versioned.fill(3, b"12345")
    store = versioned.store()
    plan = toys.plan(store, everything)
    assert (store.versioned, plan.counts.frees, retained(plan)) == (True, 0, 15)
    tally = toys.apply(plan, store)
    assert (tally.applied, tally.freed, len(versioned), versions_of(versioned).keys()) == (3, 0, 0, set(keys))
    in_bucket.fill(3, b"12345")
    plan = toys.plan(in_bucket.store(), everything)
    assert (in_bucket.store().versioned, plan.counts.frees, retained(plan)) == (False, 15, 0)


def test_a14_versions_are_purged_on_request_all_of_them(toys: Any, versioned: Any) -> None:
    [one, other] = versioned.fill(2, b"old")
    versioned.fill(2, b"new")
    store = versioned.store("purge-versions")
    plan = toys.plan(store, lambda key, _: ORPHAN if key == one else Keep("referenced"))
    assert plan.counts.frees == 3
    assert toys.apply(plan, store).applied == 1
    assert {key: len(versions) for key, versions in versions_of(versioned).items()} == {other: 2}
    assert toys.apply(plan, store).kept == {ALREADY.value: 1}


def test_a14_more_versions_than_a_page_holds(toys: Any, versioned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.stores.s3_talk.PAGE", 2)
    for body in (b"1", b"22", b"333", b"4444", b"55555"):
        [key, _] = versioned.fill(2, body)
    assert [one.object.size for one in versioned.bucket().versions(key)] == [5, 4, 3, 2, 1]
    store = versioned.store("purge-versions")
    assert toys.apply(toys.plan(store, everything), store).applied == 2
    assert versions_of(versioned) == {}


def test_a14_a_purge_that_died_after_the_deletion_is_finished(toys: Any, versioned: Any) -> None:
    [key] = versioned.fill(1)
    store = versioned.store("purge-versions")
    plan = toys.plan(store, everything)
    del versioned[key]  # all that the run before got done
    toys.apply(plan, store)
    assert versions_of(versioned) == {}


def test_a14_what_was_uploaded_since_keeps_its_versions(toys: Any, versioned: Any) -> None:
    [key] = versioned.fill(1)
    store = versioned.store("purge-versions")
    plan = toys.plan(store, everything)
    versioned[key] = b"newer"
    assert toys.apply(plan, store).conflicts == 1
    del versioned[key]
    assert toys.apply(plan, store).conflicts == 1
    assert len(versions_of(versioned)[key]) == 2


def test_a14_a_bucket_that_keeps_no_more_versions_still_has_the_old(toys: Any, suspended: Any) -> None:
    [one, other] = suspended.fill(2, b"12345")
    suspended.client.set_bucket_versioning(suspended.name, VersioningConfig(SUSPENDED))
    time.sleep(1.1)  # in the same second nobody could say which of the two is the newer
    suspended.fill(2, b"67890")
    store = suspended.store("purge-versions")
    assert store.versioned
    plan = toys.plan(store, lambda key, _: ORPHAN if key == one else Keep("referenced"))
    assert toys.apply(plan, store).applied == 1
    assert {key: len(versions) for key, versions in versions_of(suspended).items()} == {other: 2}


def test_a15_what_is_already_gone_is_success(toys: Any, in_bucket: Any) -> None:
    keys = in_bucket.fill(60)
    plan = toys.plan(in_bucket.store(), everything)
    for key in keys[::3]:
        del in_bucket[key]
    tally = toys.apply(plan, in_bucket.store())
    assert (tally.applied, tally.kept, len(in_bucket)) == (40, {ALREADY.value: 20}, 0)


def test_a_run_that_died_between_copy_and_deletion_is_finished(toys: Any, in_bucket: Any) -> None:
    keys = in_bucket.fill(4)
    store = in_bucket.store("quarantine")
    plan = toys.plan(store, everything)
    [aside] = {action.before["aside"] for action in plan.first(4)}
    for key in keys[:2]:
        in_bucket.client.copy_object(in_bucket.name, f"{aside}/{key}", CopySource(in_bucket.name, key))
    assert toys.apply(plan, store).applied == 4
    assert (len(in_bucket), in_bucket.quarantined()) == (0, dict.fromkeys(keys, b"content"))


def test_an_undo_that_died_between_copy_and_deletion_is_finished(toys: Any, in_bucket: Any) -> None:
    keys = in_bucket.fill(4)
    store = in_bucket.store("quarantine")
    plan = toys.plan(store, everything)
    toys.apply(plan, store)
    [aside] = {action.before["aside"] for action in plan.first(4)}
    for key in keys[:2]:
        in_bucket.client.copy_object(in_bucket.name, key, CopySource(in_bucket.name, f"{aside}/{key}"))
    assert toys.undo(plan, store).applied == 4
    assert (dict(in_bucket), in_bucket.quarantined()) == (dict.fromkeys(keys, b"content"), {})
    assert toys.undo(plan, store).kept == {ALREADY.value: 4}


def test_undo_never_writes_over_what_came_meanwhile(toys: Any, in_bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    [key] = in_bucket.fill(1)
    store = in_bucket.store("quarantine")
    plan = toys.plan(store, everything)
    toys.apply(plan, store)
    copy = Bucket.copy

    def meddling(self: Bucket, *args: Any, **options: Any) -> Any:
        in_bucket[key] = b"new, between our look and the copy"
        return copy(self, *args, **options)

    monkeypatch.setattr(Bucket, "copy", meddling)
    assert toys.undo(plan, store).conflicts == 1
    assert in_bucket[key] == b"new, between our look and the copy"
    assert in_bucket.quarantined() == {key: b"content"}


def test_undo_knows_its_own_copy_whose_answer_was_lost(
    toys: Any, in_bucket: Any, chaos: ChaosProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = in_bucket.fill(3)
    store = in_bucket.store("quarantine")
    plan = toys.plan(store, everything)
    toys.apply(plan, store)
    copy = Bucket.copy

    def cutting(self: Bucket, key: str, *args: Any, **options: Any) -> Any:
        if chaos.cuts == 0:
            chaos.cut_down = 10
        return copy(self, key, *args, **options)

    monkeypatch.setattr(Bucket, "copy", cutting)
    monkeypatch.setattr("tasks.stores.objects.AT_ONCE", 1)
    tally = toys.undo(plan, in_bucket.store("quarantine", bucket=in_bucket.bucket(chaos.port, retries=QUICK)))
    assert (chaos.cuts, tally.applied, tally.conflicts) == (1, 3, 0)
    assert (dict(in_bucket), in_bucket.quarantined()) == (dict.fromkeys(keys, b"content"), {})


FAILED = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"


@pytest.mark.parametrize("body", [FAILED, b"", b"<html>", b"<CopyObjectResult"])
def test_a_copy_that_failed_behind_status_200_deletes_nothing(
    toys: Any, in_bucket: Any, busy: BusyProxy, body: bytes
) -> None:
    keys = in_bucket.fill(3)
    store = in_bucket.store("quarantine", bucket=in_bucket.bucket(busy.port))
    application = Application(toys.plan(in_bucket.store("quarantine"), everything), store)
    busy.answer, busy.busy, busy.busy_with = (200, body), 2, {"PUT"}
    with pytest.raises(StoreUnavailable, match=r"is busy: InternalError|does not answer as S3 does"):
        application.advance(3, Phase("apply", None))
    assert set(in_bucket) == set(keys)
    application.advance(3, Phase("apply", None))
    assert (application.tally.applied, len(in_bucket.quarantined())) == (3, 3)


BUSY_KEY = (
    b"<DeleteResult><Error><Key>%s</Key><Code>SlowDown</Code><Message>Slow down.</Message></Error></DeleteResult>"
)


@pytest.mark.parametrize("body", [FAILED, b"", b"<html>"])
def test_a13_a_deletion_that_failed_behind_status_200_is_tried_again(
    toys: Any, in_bucket: Any, busy: BusyProxy, body: bytes
) -> None:
    keys = in_bucket.fill(3)
    store = in_bucket.store(bucket=in_bucket.bucket(busy.port))
    application = Application(toys.plan(in_bucket.store(), everything), store)
    busy.answer = 200, body.replace(b"%s", keys[1].encode())
    busy.busy, busy.busy_with = 1, {"POST"}
    with pytest.raises(StoreUnavailable, match=r"is busy: |does not answer as S3 does"):
        application.advance(3, Phase("apply", None))
    assert (application.tally.handled, set(in_bucket)) == (0, set(keys))
    application.advance(3, Phase("apply", None))
    assert (application.tally.applied, len(in_bucket)) == (3, 0)


def test_what_is_written_between_our_look_and_the_copy_stays(
    toys: Any, in_bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    [one, other] = in_bucket.fill(2)
    store = in_bucket.store("quarantine")
    plan = toys.plan(store, everything)
    copy = Bucket.copy

    def meddling(self: Bucket, key: str, *args: Any, **options: Any) -> Any:
        if key == one:
            in_bucket[one] = b"new content"
        return copy(self, key, *args, **options)

    monkeypatch.setattr(Bucket, "copy", meddling)
    tally = toys.apply(plan, store)
    assert (tally.applied, tally.conflicts, dict(in_bucket)) == (1, 1, {one: b"new content"})
    assert in_bucket.quarantined() == {other: b"content"}


def test_what_was_purged_meanwhile_cannot_be_put_back(toys: Any, in_bucket: Any) -> None:
    in_bucket.fill(2)
    store = in_bucket.store("quarantine")
    plan = toys.plan(store, everything)
    toys.apply(plan, store)
    in_bucket.clear()
    assert toys.undo(plan, store).conflicts == 2


def test_what_was_changed_in_quarantine_stays_there(toys: Any, in_bucket: Any) -> None:
    keys = in_bucket.fill(2)
    store = in_bucket.store("quarantine")
    plan = toys.plan(store, everything)
    toys.apply(plan, store)
    [aside] = {action.before["aside"] for action in plan.first(2)}
    in_bucket[f"{aside}/{keys[0]}"] = b"something else"
    tally = toys.undo(plan, store)
    assert (tally.applied, tally.conflicts, dict(in_bucket)) == (1, 1, {keys[1]: b"content"})
    assert in_bucket.quarantined() == {keys[0]: b"something else"}


def test_the_kind_and_the_notes_of_an_object_come_back_too(toys: Any, in_bucket: Any) -> None:
    key, body = f"{in_bucket.base}noted", bytes(6 << 20)
    in_bucket.client.put_object(
        in_bucket.name, key, io.BytesIO(body), -1, "text/x-odd", {"colour": "red"}, part_size=5 << 20
    )
    store = in_bucket.store("quarantine")
    plan = toys.plan(store, everything)
    toys.apply(plan, store)
    assert toys.undo(plan, store).applied == 1
    told = in_bucket.client.stat_object(in_bucket.name, key)
    assert (told.size, told.content_type, told.metadata["x-amz-meta-colour"]) == (len(body), "text/x-odd", "red")


def test_the_quarantine_is_purged_after_a_grace_of_its_own(toys: Any, in_bucket: Any) -> None:
    in_bucket.fill(3)
    store = in_bucket.store("quarantine")
    toys.apply(toys.plan(store, everything), store)
    in_bucket[f"{in_bucket.base}.quarantine/by hand/x"] = b"strange"
    inside = in_bucket.store(prefixes=[Prefix(f"{in_bucket.base}.quarantine/")])
    for later, planned in ((59, 0), (61, 3)):
        now = inside.now() + timedelta(minutes=later)
        judge = PastGrace(f"{in_bucket.base}.quarantine", now=now, grace=timedelta(hours=1))
        plan = toys.plan(inside, judge)
        assert plan.counts.planned == planned
    assert toys.apply(plan, inside).applied == 3
    assert list(in_bucket.quarantined().values()) == [b"strange"]


def test_a_refused_copy_is_a_problem_and_its_object_stays(toys: Any, in_bucket: Any) -> None:
    in_bucket.fill(3)
    long = f"{in_bucket.base}{'/'.join(10 * ['x' * 90])}"  # where it would be moved to is longer than S3 takes
    in_bucket[long] = b"long"
    store = in_bucket.store("quarantine", quarantine=f"{in_bucket.base}{'y' * 60}")
    tally = toys.apply(toys.plan(store, everything), store)
    assert (tally.applied, tally.problem_count, [one["record"] for one in tally.problems]) == (3, 1, [long])
    assert in_bucket[long] == b"long"


@pytest.mark.parametrize("mode", ["delete", "quarantine"])
def test_503_for_a_while_is_waited_out_and_nothing_is_lost(
    toys: Any, in_bucket: Any, busy: BusyProxy, mode: str
) -> None:
    keys = in_bucket.fill(300)
    store = in_bucket.store(mode, bucket=in_bucket.bucket(busy.port, retries=QUICK))
    store.location = in_bucket.store(mode).location
    busy.busy = 4
    plan = toys.plan(store, half)
    assert (busy.refused, plan.counts.scanned) == (4, 300)
    application = Application(plan, store)
    failures = finish_despite_failures(application, busy, toys, plan)
    gone = {key for key in keys if half(key, None) is ORPHAN}
    assert failures > 0, "a deletion is not repeated blindly, its batch is looked at again"
    assert (application.tally.applied, application.tally.conflicts) == (len(gone), 0)
    assert set(in_bucket) == set(keys) - gone
    assert set(in_bucket.quarantined()) == (gone if mode == "quarantine" else set())


def finish_despite_failures(application: Application, busy: BusyProxy, toys: Any, plan: Any) -> int:
    failures = 0
    while True:
        busy.busy, busy.busy_with = (2, {"POST"}) if failures < 2 else (0, set())
        try:
            toys.finish(application, plan)
        except StoreUnavailable:
            failures += 1
        else:
            return failures


def test_503_without_end_is_unavailable(in_bucket: Any, busy: BusyProxy) -> None:
    store = in_bucket.store(bucket=in_bucket.bucket(busy.port, retries=QUICK))
    busy.busy = 1_000
    with pytest.raises(StoreUnavailable, match="is busy: SlowDown"):
        next(store.scan())
    assert busy.refused == 7


def test_a_listing_goes_on_after_its_connection_was_cut(in_bucket: Any, chaos: ChaosProxy) -> None:
    keys = in_bucket.fill(2_200)
    store = in_bucket.store(bucket=in_bucket.bucket(chaos.port, retries=QUICK))
    chaos.cut_down = 200_000
    assert sorted(key for page in store.scan() for key, _ in page) == sorted(keys)
    assert chaos.cuts == 1


@pytest.mark.parametrize("way", ["cut_up", "cut_down"])
def test_a_deletion_whose_request_or_answer_is_lost_is_looked_at_again(
    toys: Any, in_bucket: Any, chaos: ChaosProxy, way: str
) -> None:
    keys = in_bucket.fill(200)
    plan = toys.plan(in_bucket.store(), half)
    store = in_bucket.store(bucket=in_bucket.bucket(chaos.port, retries=False))
    application, remove = Application(plan, store), Bucket.remove

    def cutting(self: Bucket, *args: Any) -> Any:
        setattr(chaos, way, 100)
        return remove(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bucket, "remove", cutting)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            toys.finish(application, plan)
    tally = toys.finish(application, plan)
    gone = {key for key in keys if half(key, None) is ORPHAN}
    assert chaos.cuts > 0
    assert (tally.applied, tally.conflicts, tally.kept) == (len(gone), 0, {})
    assert set(in_bucket) == set(keys) - gone


def test_a_server_that_is_not_there_is_unavailable(in_bucket: Any, chaos: ChaosProxy) -> None:
    chaos.refuse()
    store = in_bucket.store(bucket=in_bucket.bucket(chaos.port, retries=False))
    for ask in (store.now, lambda: next(store.scan())):
        with pytest.raises(StoreUnavailable, match=r"does not answer: [^(]*Connection refused\. Run the command again"):
            ask()


def test_what_is_listed_at_once_is_given_in_the_order_of_keys(in_bucket: Any, monkeypatch: Any) -> None:
    keys = [f"{in_bucket.base}{digit}{other}/x" for digit in HEX for other in "08"]
    in_bucket.update(dict.fromkeys(keys, b"x"))
    listed = Objects.listed

    def slow_at_first(store: Objects, keys: Range) -> Iterator[Page]:
        time.sleep(0.3 if keys.first == keys.prefix else 0)
        return listed(store, keys)

    monkeypatch.setattr(Objects, "listed", slow_at_first)
    store = in_bucket.store(prefixes=[Prefix(in_bucket.base, HEX)])
    assert [key for page in store.scan() for key, _ in page] == keys


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"access_key": "nobody"}, "it does not know the access key"),
        ({"secret_key": "s3cret-wrong"}, "the secret key is wrong"),
        ({"bucket": "no-such-bucket"}, "there is no such bucket"),
    ],
)
def test_wrong_keys_and_buckets_are_denied_with_what_to_do(in_bucket: Any, wrong: Any, message: str) -> None:
    credentials = type(in_bucket.credentials)(**in_bucket.credentials.model_dump(exclude=set(wrong)) | wrong)
    store = Objects(Bucket(credentials.get_client(), credentials.bucket, credentials.location), [Prefix("x/")])
    action = Action("x/y", {"size": 1, "etag": "0", "modified": "2024-01-01T00:00:00+00:00"}, None)
    for ask in (store.now, lambda: next(store.scan()), lambda: store.apply([action])):
        with pytest.raises(StoreDenied, match=f"{message}. Correct the URL, block or file") as denied:
            ask()
        assert "s3cret" not in f"{denied.value!r} {denied.value.__cause__!r}"


def test_a8_a_listing_that_is_denied_is_no_empty_one(s3_url: str, make_place: Any) -> None:
    place = make_place(s3_url, "test-steward-denied")
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{place.name}"}
    place.client.set_bucket_policy(place.name, json.dumps({"Version": "2012-10-17", "Statement": [denied]}))
    try:
        with pytest.raises(StoreDenied, match=r"AccessDenied.*lack the right s3:ListBucket"):
            next(place.store().scan())
    finally:
        place.client.delete_bucket_policy(place.name)
        place.client.remove_bucket(place.name)


RUN = """
import sys
from blocks.object_store_credentials import ObjectStoreCredentials
from tasks.changes.apply import Application
from tasks.changes.plan import open_plan
from tasks.changes.progress import Phase
from tasks.stores.key_ranges import Prefix
from tasks.stores.objects import Objects
from tasks.stores.s3_talk import Bucket
url, prefix, plan, undo = sys.argv[1:]
credentials = ObjectStoreCredentials.from_argument(url)
bucket = Bucket(credentials.get_client(), credentials.bucket, credentials.location)
application = Application(open_plan(plan), Objects(bucket, [Prefix(prefix)]), undo=undo == "undo")
print("begins", flush=True)
application.advance(1_000_000, Phase("apply", None))
"""


def run_and_kill(url: str, place: Any, plan: Any, within: float, undo: str = "") -> None:
    command = [sys.executable, "-c", RUN, f"{url}/{place.name}", place.base, str(plan.path), undo]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"begins\n"
    time.sleep(random.uniform(0, within))
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("mode", ["delete", "quarantine"])
def test_killed_with_9_and_run_again_ends_where_one_run_does(toys: Any, in_bucket: Any, s3_url: str, mode: str) -> None:
    keys = in_bucket.fill(800)
    gone = {key for key in keys if half(key, None) is ORPHAN}
    store = in_bucket.store(mode)
    plan = toys.plan(store, half)
    for _ in range(3):
        run_and_kill(s3_url, in_bucket, plan, within=0.4)
        assert set(keys) - gone <= set(in_bucket), "nothing but what is planned"
    toys.apply(plan, store)
    assert set(in_bucket) == set(keys) - gone
    if mode == "quarantine":
        assert in_bucket.quarantined() == dict.fromkeys(gone, b"content")
        run_and_kill(s3_url, in_bucket, plan, within=0.4, undo="undo")
        toys.undo(plan, store)
        assert (dict(in_bucket), in_bucket.quarantined()) == (dict.fromkeys(keys, b"content"), {})

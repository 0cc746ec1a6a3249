"""hmap-clean end to end: the acceptance cases of the cleaner on a real Redis, where the flow is the point."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import orjson
import pytest

from sandbox.chaos import ChaosProxy
from tasks.changes.errors import ApplyStopped, BadInput, PlanRefused, RecordsUnhandled, SourceUnreadable, StoreDenied
from tasks.changes.protocols import Action
from tasks.changes.report import Report
from tasks.datashare.archives import ArchiveGone
from tasks.stores.redis_hash import RedisHash
from tests.flows.conftest import GENERATIONS, Command, Datashare, download, search


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have something happen between the plan and its first batch, or its nth."""
    monkeypatch.setattr("tasks.changes.apply.FRESH_SECONDS", 60)  # one look a batch, however slow the machine

    def do(act: Callable[[], object], batch: int = 1) -> None:
        looks, looked = ArchiveGone.look_again, [0]

        def then_look(judge: ArchiveGone, actions: list[Action]) -> Any:
            looked[0] += 1
            if looked[0] == batch:
                act()
            return looks(judge, actions)

        monkeypatch.setattr(ArchiveGone, "look_again", then_look)

    return do


def adds_up(report: Report) -> bool:
    """Say whether every record scanned, and every change planned, is accounted for."""
    handled = report.applied + report.conflicts if not report.dry_run else report.planned
    left = sum(report.kept.values()) + sum(report.ignored.values())
    return report.scanned == handled + left + report.problem_count


def test_c01_c02_the_downloads_whose_archive_is_gone_are_removed_and_the_others_stay(datashare: Datashare) -> None:
    datashare.present(3)
    stay = datashare.everything()
    sizes = [len(datashare.redis.hget(datashare.key, task)) for task in datashare.gone(3)]
    report = datashare.clean()
    assert datashare.everything() == stay
    assert (report.scanned, report.planned, report.applied, report.conflicts) == (6, 3, 3, 0)
    assert (report.kept, report.problem_count, report.bytes_freed) == ({"archive is there": 3}, 0, sum(sizes))


USERS = ("Anna.K@icij.org", "a+b", "JEAN_Paul", "Zo\u00eb", "o'brien", "a b", "fbar")


def archive(user: str) -> str:
    return f"archive_{user}_2024-11-07T14_53_47.192Z[GMT].zip"


def as_java_writes(record: bytes) -> bytes:
    """A record whose location has unescaped what a path in Java's URIs has so."""
    return record.replace(b"%40", b"@").replace(b"%2B", b"+").replace(b"%27", b"'")


def test_n37_archives_of_users_whom_datashare_s_own_cleaner_does_not_know_are_treated_alike(
    datashare: Datashare,
) -> None:
    for user in USERS:
        there, gone = archive(user), archive(f"{user}2")
        (datashare.folder / there).touch()
        for name in (there, gone):
            datashare.add(name, as_java_writes(download(name, name)))
    report = datashare.clean()
    assert datashare.tasks == {archive(user) for user in USERS}
    assert (report.applied, report.kept, report.problem_count) == (len(USERS), {"archive is there": len(USERS)}, 0)


def test_n37_their_age_is_read_in_their_names(datashare: Datashare) -> None:
    for user in USERS:
        record = orjson.loads(as_java_writes(download(user, archive(user))))
        del record["task"]["createdAt"], record["task"]["completedAt"]
        datashare.add(user, orjson.dumps(record))
    assert datashare.clean(min_age=timedelta(days=36500), allow_empty=True).kept == {
        "younger than the minimum age": len(USERS)
    }
    report = datashare.clean(min_age=timedelta(days=1), allow_empty=True, max_fraction=1.0)
    assert (report.applied, datashare.tasks) == (len(USERS), set())


@pytest.mark.parametrize("state", ["CREATED", "QUEUED", "RUNNING"])
def test_c03_a_task_that_is_not_finished_stays(datashare: Datashare, state: str) -> None:
    datashare.present(1)
    task = datashare.add("t", download("t", "t.zip", state=state))
    report = datashare.clean(states=["DONE", "ERROR", "CANCELLED"], max_fraction=1)
    assert task in datashare.tasks
    assert report.ignored["not finished"] == 1


@pytest.mark.parametrize("state", ["ERROR", "CANCELLED"])
def test_c04_failed_and_cancelled_tasks_go_only_when_asked(datashare: Datashare, state: str) -> None:
    datashare.present(1)
    task = datashare.add("t", download("t", "t.zip", state=state))
    assert datashare.clean().ignored[f"state {state} is not to be removed"] == 1
    assert task in datashare.tasks
    assert datashare.clean(states=["DONE", state]).applied == 1
    assert task not in datashare.tasks


def test_c05_c06_c07_every_generation_is_cleaned_in_one_go(datashare: Datashare) -> None:
    for generation in GENERATIONS:
        (datashare.folder / f"there-{generation}.zip").touch()
        for name in ("there", "gone"):
            task = f"{name}-{generation}"
            datashare.add(task, download(task, f"{task}.zip", generation=generation))
    assert datashare.clean().applied == 5
    assert datashare.tasks == {f"there-{generation}" for generation in GENERATIONS}


def test_c08_c09_c21_archives_with_odd_names_are_found(datashare: Datashare) -> None:
    names = ["a#b.zip", "a?b.zip", "x%41.zip", "archive_local_2021-07-07T14:53:47Z[GMT].zip", "ü ñ.zip"]
    for name in names:
        (datashare.folder / name).touch()
        datashare.add(name, download(name, name))
    assert datashare.clean().kept == {"archive is there": len(names)}


def test_c10_c12_one_broken_record_stops_no_other_and_fails_the_run_at_its_end(datashare: Datashare) -> None:
    datashare.present(9)
    broken = {"json": b"{", "null": b"null", "array": b"[]", "latin": b'"\xe9"', "up": download("up", "..")}
    for task, value in broken.items():
        datashare.add(task, value)
    datashare.gone(2)
    with pytest.raises(RecordsUnhandled, match=r"5 of 16 records could not be handled, the rest was") as failed:
        datashare.clean()
    report = failed.value.report
    assert report
    assert {problem["record"] for problem in report.problems} == broken.keys()
    assert (report.applied, report.problem_count) == (2, 5)
    assert adds_up(report)
    assert datashare.tasks == broken.keys() | {f"present-{i}" for i in range(9)}


def test_c11_the_field_is_what_is_removed_whatever_the_id_says(datashare: Datashare) -> None:
    datashare.present(2)
    datashare.add("field", download("present-1", "no.zip"))
    assert datashare.clean().applied == 1
    assert datashare.tasks == {"present-0", "present-1"}


def no_folder(folder: Path) -> None:
    folder.rmdir()


def a_file(folder: Path) -> None:
    folder.rmdir()
    folder.touch()


@pytest.mark.parametrize("make", [no_folder, a_file])
def test_c13_refuses_when_the_archive_folder_is_not_there(datashare: Datashare, make: Callable[[Path], None]) -> None:
    datashare.gone(3)
    make(datashare.folder)
    with pytest.raises(SourceUnreadable, match="cannot be read in full"):
        datashare.clean(max_fraction=1, allow_empty=True)
    assert len(datashare.tasks) == 3


@pytest.mark.parametrize(("others", "why"), [([], "is empty"), (["lost+found"], "holds none of the archives")])
def test_c13_refuses_when_the_folder_holds_none_of_the_archives(
    datashare: Datashare, others: list[str], why: str
) -> None:
    datashare.gone(3)
    for name in others:
        (datashare.folder / name).touch()
    with pytest.raises(PlanRefused, match=why):
        datashare.clean(max_fraction=1)
    assert len(datashare.tasks) == 3
    assert datashare.clean(max_fraction=1, allow_empty=True).applied == 3


def test_c13_stops_when_the_folder_is_exchanged_between_plan_and_apply(
    datashare: Datashare, between: Callable[..., None], tmp_path: Path
) -> None:
    datashare.present(3)
    datashare.gone(3)

    def unmount() -> None:
        datashare.folder.rename(tmp_path / "elsewhere")
        datashare.folder.mkdir()

    between(unmount)
    with pytest.raises(PlanRefused, match="not the folder it was"):
        datashare.clean()
    assert len(datashare.tasks) == 6


def test_c14_a_record_changed_between_plan_and_apply_stays(datashare: Datashare, between: Callable[..., None]) -> None:
    datashare.present(3)
    datashare.gone(3)
    between(lambda: datashare.add("gone-1", b"newer"))
    report = datashare.clean()
    assert (report.applied, report.conflicts) == (2, 1)
    assert datashare.redis.hget(datashare.key, "gone-1") == b"newer"


def test_c15_a_second_run_removes_nothing(datashare: Datashare) -> None:
    datashare.present(3)
    datashare.gone(3)
    datashare.clean()
    stands = datashare.everything()
    second = datashare.clean()
    assert (second.planned, second.applied) == (0, 0)
    assert datashare.everything() == stands


def test_c16_killed_at_random_moments_and_run_again_the_end_is_the_same(
    datashare: Datashare, proxy: ChaosProxy, command: Command
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    datashare.present(1000)
    stay = datashare.everything()
    for _ in range(5):
        datashare.gone(1000)
        left = moments.randrange(1000, 2000)  # killed once no more records than this are left
        proxy.latency = 0.01  # so that there are moments between a run's batches
        run = command.start("hmap-cleaner", *datashare.arguments)
        while datashare.redis.hlen(datashare.key) > left:
            assert run.poll() is None, run.communicate()
            time.sleep(0.001)
        run.kill()
        run.communicate()
        proxy.latency = 0
        datashare.clean()
        assert datashare.everything() == stay


def test_c16_killed_while_it_plans_nothing_has_changed_and_the_next_run_does_it_all(
    datashare: Datashare, proxy: ChaosProxy, command: Command, plans: Path
) -> None:
    datashare.present(1000)
    stay = datashare.everything()
    datashare.gone(1000)
    stands = datashare.everything()
    proxy.latency = 0.1  # so that planning takes a while
    run = command.start("hmap-cleaner", *datashare.arguments)
    while not list(plans.glob("*.partial")):
        assert run.poll() is None, run.communicate()
        time.sleep(0.001)
    run.kill()
    run.communicate()
    assert datashare.everything() == stands
    assert [path.suffix for path in plans.iterdir()] == [".partial"]
    proxy.latency = 0
    assert datashare.clean().applied == 1000
    assert datashare.everything() == stay


def test_c17_what_is_no_batch_download_stays(datashare: Datashare) -> None:
    datashare.present(1)
    datashare.add("s", search("s"))
    report = datashare.clean()
    assert (report.kept, report.ignored) == ({"archive is there": 1}, {"not a batch download": 1})


def test_c18_an_archive_that_appears_between_plan_and_apply_keeps_its_record(
    datashare: Datashare, between: Callable[..., None]
) -> None:
    datashare.present(3)
    datashare.gone(3)
    between((datashare.folder / "gone-2.zip").touch)
    report = datashare.clean()
    assert (report.applied, report.conflicts, report.kept["archive came back"]) == (2, 0, 1)
    assert "gone-2" in datashare.tasks


def test_c19_no_hash_at_all_is_nothing_to_do(datashare: Datashare) -> None:
    report = datashare.clean()
    assert (report.scanned, report.planned, report.applied) == (0, 0, 0)


def test_c19_the_other_known_key_is_named(datashare: Datashare, monkeypatch: pytest.MonkeyPatch) -> None:
    datashare.present(1)
    monkeypatch.setattr("tasks.datashare.hash_keys.KNOWN", ("ds:task:manager", datashare.key))
    with pytest.raises(BadInput, match=f"give --hash-key {datashare.key}"):
        datashare.clean(hash_key="test:no-such-hash")


def test_c19_another_type_is_left_alone(datashare: Datashare) -> None:
    datashare.redis.lpush(datashare.key, "queued")
    with pytest.raises(StoreDenied, match="is a list, not a hash"):
        datashare.clean()
    assert datashare.redis.lrange(datashare.key, 0, -1) == [b"queued"]


def test_c20_a_dry_run_changes_nothing_and_needs_no_right_to(datashare: Datashare, login: Callable[..., str]) -> None:
    datashare.present(3)
    datashare.gone(3)
    stands = datashare.everything()
    datashare.url = login("secret", "+@read", "+@connection", "+time")
    report = datashare.plan()
    assert (report.dry_run, report.planned, report.applied, report.bytes_freed) == (True, 3, 0, 0)
    assert datashare.everything() == stands
    with pytest.raises(StoreDenied, match="no permissions"):
        datashare.clean()


def test_a_young_record_stays(datashare: Datashare) -> None:
    datashare.present(1)
    datashare.gone(1)  # the sample is of 2024-11-07
    assert datashare.clean(min_age=timedelta(days=36500)).kept["younger than the minimum age"] == 1
    assert datashare.clean(min_age="30d").applied == 1


def test_more_than_half_is_refused(datashare: Datashare) -> None:
    datashare.present(3)
    datashare.gone(4)
    with pytest.raises(PlanRefused, match=r"4 of 7 records \(57%\), more than the 50% allowed") as refused:
        datashare.clean()
    assert len(datashare.tasks) == 7
    assert refused.value.report
    assert (refused.value.report.planned, refused.value.report.applied) == (4, 0)
    assert datashare.clean(max_fraction=0.6).applied == 4


def test_more_changes_than_allowed_are_refused(datashare: Datashare) -> None:
    datashare.present(9)
    datashare.gone(4)
    with pytest.raises(PlanRefused, match="4 changes, more than the 3 allowed"):
        datashare.clean(max_changes=3)
    assert datashare.clean(max_changes=4).applied == 4


def test_the_numbers_add_up(datashare: Datashare, between: Callable[..., None]) -> None:
    datashare.present(9)
    datashare.gone(5)
    datashare.add("s", search("s"))
    datashare.add("r", download("r", "r.zip", state="RUNNING"))
    assert adds_up(datashare.plan())

    def meanwhile() -> None:
        datashare.add("gone-0", b"newer")
        datashare.redis.hdel(datashare.key, "gone-1")
        (datashare.folder / "gone-2.zip").touch()

    between(meanwhile)
    report = datashare.clean()
    assert (report.applied, report.conflicts, report.kept["already as planned"]) == (2, 1, 1)
    assert adds_up(report)


@contextmanager
def writer(datashare: Datashare, work: Iterator[tuple[str, bytes | None]]) -> Iterator[None]:
    """Another client at work at the same time: it writes values, or removes where there is None."""

    def write() -> None:
        for task, value in work:
            if value is None:
                datashare.redis.hdel(datashare.key, task)
            else:
                datashare.redis.hset(datashare.key, task, value)
            time.sleep(0.003)

    thread = Thread(target=write)
    thread.start()
    yield
    thread.join()


def test_a_writer_at_work_loses_no_update_and_no_record_is_brought_back(
    datashare: Datashare, proxy: ChaosProxy
) -> None:
    datashare.present(3000)
    tasks = datashare.gone(3000)
    chosen = random.Random(7).sample(tasks, 200)
    updated, deleted = chosen[:100], chosen[100:]
    newer = {task: download(task, f"{task}.zip", state="RUNNING") for task in updated}
    work: list[tuple[str, bytes | None]] = [*newer.items(), *((task, None) for task in deleted)]
    random.Random(8).shuffle(work)
    proxy.latency = 0.01
    with writer(datashare, iter(work)):
        report = datashare.clean()
    after = datashare.everything()
    assert [task for task in updated if after.get(task.encode()) != newer[task]] == []
    assert [task for task in deleted if task.encode() in after] == []
    assert len(after) == 3000 + len(updated)
    assert report.planned == report.applied + report.conflicts + report.kept.get("already as planned", 0)


def test_stopped_half_way_the_run_says_how_far_it_came_and_the_next_one_goes_on(
    datashare: Datashare, between: Callable[..., None], tmp_path: Path
) -> None:
    batch = RedisHash.batch_size
    stay = set(datashare.present(3 * batch))
    datashare.gone(3 * batch)
    between(lambda: datashare.folder.rename(tmp_path / "elsewhere"), batch=2)
    with pytest.raises(ApplyStopped, match=f"{batch:,} of {3 * batch:,} changes were made before that") as stopped:
        datashare.clean()
    assert stopped.value.report
    assert stopped.value.report.applied == batch
    assert len(datashare.tasks) == 5 * batch
    (tmp_path / "elsewhere").rename(datashare.folder)
    assert datashare.clean().applied == 2 * batch
    assert datashare.tasks == stay


def test_a_plan_of_many_segments_is_carried_out_whole(datashare: Datashare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.changes.apply.SEGMENT", 1)
    monkeypatch.setattr("tasks.changes.apply.SEGMENTS", 3)
    datashare.present(1800)
    datashare.gone(1800)
    assert datashare.clean().applied == 1800

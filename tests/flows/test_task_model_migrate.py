"""task-model-migrate by its acceptance cases, on a real Redis, as a flow on a real Prefect server."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from redis import Redis

from blocks.redis_credentials import RedisCredentials
from flows.jobs import judge_of
from flows.task_model_migrate import open_store, task_model_migrate
from flows.undo import undo
from sandbox.chaos import ChaosProxy
from tasks.changes.errors import BadInput, RecordsUnhandled, StoreDenied, StoreUnavailable
from tasks.changes.plan import open_plan
from tasks.changes.report import Report
from tasks.datashare.model_migration import ToGeneration
from tests.flows.conftest import SAMPLES, Command, Datashare

NEW = b'{"task":{"@type":"Task","id":"new","state":"RUNNING","args":{}}}'


def lines(*generations: str) -> Iterator[tuple[str, bytes]]:
    """Every sample of some generations, with a name."""
    for file in sorted(SAMPLES.glob("*.jsonl")):
        if file.stem.startswith(generations):
            for number, line in enumerate(file.read_bytes().splitlines()):
                yield f"{file.stem}-{number}", line


DATED = datetime(2020, 1, 1, tzinfo=UTC)


class Tasks(Datashare):
    """The hash of its tasks, and what becomes of it."""

    def fill(self, *generations: str, copies: int = 1) -> dict[bytes, bytes]:
        """Store every sample of some generations, as often as asked."""
        for copy in range(copies):
            for name, line in lines(*generations):
                self.add(f"{name}-{copy}", line)
        return self.everything()

    def migrate(self, **options: Any) -> Report:
        """Run the job, for real unless told otherwise."""
        given = {"redis": self.credentials, "hash_key": self.key, "undated": DATED, "dry_run": False}
        return task_model_migrate(**(given | options))

    def undo(self, report: Report) -> Report:
        """Take a run back."""
        return undo(report.plan, self.credentials)


@pytest.fixture
def tasks(datashare: Datashare) -> Tasks:
    return Tasks(datashare.redis, datashare.url, datashare.key, datashare.folder)


@pytest.fixture
def through(tasks: Tasks) -> Iterator[ChaosProxy]:
    """A proxy before the Redis; the tasks are reached through it."""
    server = urlsplit(tasks.url)
    with ChaosProxy(server.hostname or "", server.port or 6379) as proxy:
        tasks.url = f"redis://127.0.0.1:{proxy.port}{server.path}"
        yield proxy


def readable(tasks: Tasks, target: str = "plain") -> None:
    """Every record can be read by the target: it is current."""
    judge = ToGeneration(target)
    for field, value in tasks.everything().items():
        assert type(judge(field, value)).__name__ == "Keep", value


def test_m1_to_m8_every_generation_becomes_what_todays_datashare_reads(tasks: Tasks) -> None:
    before = tasks.fill("g0", "g1", "g2", "g3", "g4")
    report = tasks.migrate()
    assert report.applied == report.planned > 10
    assert (report.conflicts, report.problem_count, report.scanned) == (0, 0, len(before))
    readable(tasks)
    current = {field: value for field, value in before.items() if field.startswith(b"g4")}
    assert current.items() <= tasks.everything().items()


def typed_task(group: Any = b'{"id":"Java"}', **changes: bytes) -> bytes:
    """A record of G3, its parts given as they are written."""
    task = {
        "@type": b'"Task"',
        "id": b'"a"',
        "name": b'"org.icij.datashare.tasks.BatchSearchRunner"',
        "state": b'"DONE"',
        "progress": b"1.0",
        "createdAt": b'["java.util.Date",1730991227192]',
        "args": b'{"@type":"java.util.HashMap"}',
        "result": b'{"value":5}',
        **changes,
    }
    inside = b",".join(b'"%b":%b' % (name.encode(), value) for name, value in task.items())
    return b'{"task":{%b},"group":%b}' % (inside, group)


COUNTED = b'{"value":{"@type":"BatchSearchRunnerResult","nbResults":5,"nbQueriesWithoutResults":-1}}'
TAKEN: dict[str, tuple[bytes, bytes]] = {
    # a record of G3, and what of it must stand in what it becomes
    "d2 no group": (typed_task(b"null"), b'"group":null}'),
    "d2 a group without an id": (typed_task(b'{"id":null}'), b'"group":{"id":null}}'),
    "d2 another group": (typed_task(b'{"id":"gpu"}'), b'"group":{"id":"gpu"}}'),
    "d3 NaN": (typed_task(progress=b'"NaN"'), b'"progress":"NaN"'),
    "d3 Infinity": (typed_task(progress=b'"Infinity"'), b'"progress":"Infinity"'),
    "d7 a text": (
        typed_task(createdAt=b'["java.util.Date","2024-11-07T14:53:47.192Z"]'),
        b'"createdAt":"2024-11-07T14:53:47.192Z"',
    ),
    "d7 no name": (typed_task(name=b"null"), b'"result":{"value":5}'),
    "d7 a text for a result": (typed_task(result=b'{"value":"x"}'), b'"result":{"value":"x"}'),
    "d7 a URI for a result": (
        typed_task(result=b'{"value":{"@type":"UriResult","uri":"file:///a","size":1}}'),
        b'{"value":{"@type":"UriResult","uri":"file:///a","size":1}}',
    ),
    "d7 digits": (typed_task(n=b"[1.10,1E5,-0," + b"9" * 30 + b"]"), b'"n":[1.10,1E5,-0,' + b"9" * 30 + b"]"),
    "d8 an integer": (typed_task(result=b'{"value":["Integer",5]}'), COUNTED),
}
REFUSED: dict[str, tuple[bytes, str]] = {
    "d4 a class": (
        typed_task(args=b'{"@type":"java.util.HashMap","x":["java.util.UUID","0"]}'),
        "its argument x is of the class java.util.UUID, which Datashare does not read",
    ),
    "d4 an array": (typed_task(args=b'{"@type":"java.util.HashMap","x":["[J",[1]]}'), "of the class long[]"),
    "d4 a number": (typed_task(n=b"9" * 101), "a number of more than the 100 digits that Datashare reads"),
}


def test_d2_d3_d4_d7_d8_what_datashare_reads_is_migrated_and_what_it_refuses_is_named(tasks: Tasks) -> None:
    for name, (record, _) in (TAKEN | REFUSED).items():
        tasks.add(name, record)
    before = tasks.everything()
    with pytest.raises(RecordsUnhandled, match=f"{len(REFUSED)} of {len(before)} records") as unhandled:
        tasks.migrate()
    report = unhandled.value.report
    assert report
    reasons = {problem["record"]: problem["reason"] for problem in report.problems}
    assert reasons.keys() == REFUSED.keys()
    after = tasks.everything()
    for name, (record, said) in REFUSED.items():
        assert said in reasons[name]
        assert after[name.encode()] == record
    for name, (_, part) in TAKEN.items():
        assert part in after[name.encode()], name
    with pytest.raises(RecordsUnhandled) as again:
        tasks.migrate()
    assert again.value.report
    assert again.value.report.planned == 0
    tasks.undo(report)
    assert tasks.everything() == before


def test_m9_typed_records_for_20_2_1_to_20_4(tasks: Tasks) -> None:
    tasks.fill("g2")
    tasks.migrate(target="typed")
    readable(tasks, "typed")


def test_m10_a_second_run_changes_nothing(tasks: Tasks) -> None:
    tasks.fill("g0", "g1", "g2", "g3", "g4")
    tasks.migrate()
    stands = tasks.everything()
    report = tasks.migrate()
    assert (report.planned, report.applied) == (0, 0)
    assert tasks.everything() == stands


def test_m4_an_undated_record_stays_and_is_reported_until_a_date_is_declared(tasks: Tasks) -> None:
    tasks.fill("g0")
    with pytest.raises(RecordsUnhandled, match="--undated") as unhandled:
        tasks.migrate(undated=None)
    report = unhandled.value.report
    assert report
    assert 0 < report.problem_count < report.scanned
    assert report.applied == report.scanned - report.problem_count
    assert tasks.migrate().applied == report.problem_count
    readable(tasks)


@pytest.mark.parametrize(
    "bad", [b"{broken", b"null", b"[]", b"\xff", b'{"@class":"some.Other","properties":{}}', b'{"task":{}}', b""]
)
def test_m13_m16_one_bad_record_stays_is_named_and_fails_the_run_after_the_rest(tasks: Tasks, bad: bytes) -> None:
    before = tasks.fill("g2", "g3")
    tasks.add("bad", bad)
    with pytest.raises(RecordsUnhandled) as unhandled:
        tasks.migrate()
    report = unhandled.value.report
    assert report
    assert report.applied == report.planned > 0
    assert [problem["record"] for problem in report.problems] == ["bad"]
    assert tasks.everything()[b"bad"] == bad
    tasks.redis.hdel(tasks.key, "bad")
    readable(tasks)
    assert tasks.everything().keys() == before.keys()


def test_m14_a_live_writer_loses_nothing_and_gets_nothing_back(tasks: Tasks) -> None:
    """Where the old script loses 200 of 200."""
    fields = list(old := tasks.fill("g3", copies=2000))
    random.Random(7).shuffle(fields)
    rewritten, deleted, over = fields[:200], fields[200:400], Event()

    def write() -> None:
        for one, other in zip(rewritten, deleted, strict=True):
            tasks.redis.hset(tasks.key, one, NEW)
            tasks.redis.hdel(tasks.key, other)
            time.sleep(0.002)
        over.set()

    writer = Thread(target=write)
    writer.start()
    while not over.is_set():
        with suppress(RecordsUnhandled):  # what the writer writes has no name, so it may be reported
            tasks.migrate()
        tasks.redis.hset(tasks.key, mapping={field: old[field] for field in fields[400:]})
    writer.join()
    assert all(tasks.redis.hget(tasks.key, field) == NEW for field in rewritten)
    assert not any(tasks.redis.hexists(tasks.key, field) for field in deleted)


def test_m14_changed_between_plan_and_apply_is_a_conflict(tasks: Tasks, before_batch: Callable[..., None]) -> None:
    tasks.fill("g3")
    changed, gone = list(tasks.everything())[:2]
    before_batch(1, lambda: (tasks.redis.hset(tasks.key, changed, NEW), tasks.redis.hdel(tasks.key, gone)))
    report = tasks.migrate()
    assert (report.conflicts, report.applied) == (2, report.planned - 2)
    assert tasks.redis.hget(tasks.key, changed) == NEW
    assert not tasks.redis.hexists(tasks.key, gone)


def test_m15_the_plan_is_the_backup_there_before_the_first_write_and_undo_restores_it(
    tasks: Tasks, before_batch: Callable[..., None], plans: Path
) -> None:
    before = tasks.fill("g0", "g1", "g2", "g3", "g4")
    sealed: list[Path] = []
    before_batch(1, lambda: sealed.extend(plans.glob("*.zst")))
    report = tasks.migrate()
    assert [str(path) for path in sealed] == [report.plan]
    saved = {str(one.key): one.before for one in open_plan(report.plan).first(1000)}
    assert saved == {field: before[field.encode()].decode() for field in saved} != {}
    assert tasks.undo(report).applied == report.applied
    assert tasks.everything() == before
    assert tasks.migrate().plan != report.plan, "an older backup is never written over"


def test_m15_undo_leaves_what_changed_since(tasks: Tasks) -> None:
    before = tasks.fill("g2", "g3")
    report = tasks.migrate()
    changed = str(open_plan(report.plan).first(1)[0].key)
    tasks.redis.hset(tasks.key, changed, NEW)
    undone = tasks.undo(report)
    assert (undone.conflicts, undone.applied) == (1, report.applied - 1)
    assert tasks.everything() == before | {changed.encode(): NEW}


def test_a_dry_run_changes_nothing_and_its_plan_says_everything(tasks: Tasks) -> None:
    before = tasks.fill("g0", "g1", "g2", "g3", "g4")
    report = tasks.migrate(dry_run=True)
    assert tasks.everything() == before
    assert report.kept == {"already G4": report.scanned - report.planned}
    assert all(" to G4" in reason for reason in open_plan(report.plan).counts.because)


def test_tasks_under_the_other_known_keys_are_reported_and_never_touched(tasks: Tasks) -> None:
    """The known keys are Datashare's own, so this test has a database of its own."""
    server = urlsplit(tasks.url)
    other = Redis(host=server.hostname or "", port=server.port or 6379, db=9)
    (_, old), (_, queued) = list(lines("g1"))[:2]
    other.hset("ds:task:manager", "new", old)
    other.hset("ds:task:manager:tasks", mapping={"a": old, "b": old})
    other.rpush("TASK", queued)
    try:
        credentials = RedisCredentials.from_argument(f"redis://{server.hostname}:{server.port}/9")
        report = task_model_migrate(credentials, dry_run=False)
        assert (report.scanned, report.applied) == (1, 1)
        assert other.hgetall("ds:task:manager:tasks") == {b"a": old, b"b": old}
        assert other.lrange("TASK", 0, -1) == [queued]
        (remark,) = report.remarks
        assert "2" in remark
        assert "--hash-key ds:task:manager:tasks" in remark
    finally:
        other.flushdb()


def test_apply_makes_the_same_judge_from_the_plan(tasks: Tasks) -> None:
    tasks.fill("g2")
    report = tasks.migrate(target="typed", dry_run=True)
    judge = judge_of(open_plan(report.plan).header, open_store(tasks.credentials, tasks.key), {})
    assert isinstance(judge, ToGeneration)


@pytest.mark.parametrize("undated", ["2020-01-01T00:00:00", "yesterday"])
def test_a_fallback_date_without_a_timezone_is_bad_input(tasks: Tasks, command: Command, undated: str) -> None:
    done = command("steward", "task-model-migrate", tasks.url, "--hash-key", tasks.key, "--undated", undated)
    assert done.returncode == 2
    assert "--undated" in done.stderr


def test_the_command_plans_and_the_old_name_acts(tasks: Tasks, command: Command) -> None:
    before = tasks.fill("g2", "g3")
    planned = command("steward", "task-model-migrate", tasks.url, "--hash-key", tasks.key, "--json")
    assert (planned.returncode, orjson.loads(planned.stdout)["applied"]) == (0, 0)
    assert tasks.everything() == before
    done = command("hmap-migrate", tasks.url, "--hash-key", tasks.key, "--json")
    assert (done.returncode, orjson.loads(done.stdout)["conflicts"]) == (0, 0)
    readable(tasks)


def test_killed_at_random_moments_and_run_again_the_end_is_the_same(
    tasks: Tasks, through: ChaosProxy, command: Command
) -> None:
    before = tasks.fill("g3", copies=500)
    wanted = {field: ToGeneration()(field, value).after for field, value in before.items()}  # type: ignore[union-attr]
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    for _ in range(4):
        tasks.redis.hset(tasks.key, mapping=before)
        enough = moments.randrange(1, 1500)  # killed once at least so many records are migrated
        through.latency = 0.01  # so that there are moments between a run's batches
        run = command.start("hmap-migrate", tasks.url, "--hash-key", tasks.key)
        while sum(value == before[field] for field, value in tasks.everything().items()) > len(before) - enough:
            assert run.poll() is None, run.communicate()
        run.kill()
        run.communicate()
        through.latency = 0
        tasks.migrate()
        assert tasks.everything() == wanted


@pytest.mark.parametrize("way", ["cut_up", "cut_down"])
def test_a_connection_cut_in_the_middle_is_retried(
    tasks: Tasks, through: ChaosProxy, before_batch: Callable[..., None], way: str
) -> None:
    tasks.fill("g3", copies=500)
    before_batch(2, lambda: setattr(through, way, 10))
    report = tasks.migrate()
    assert (report.applied, report.conflicts) == (report.planned, 0)
    readable(tasks)


def test_a_server_that_is_not_there_and_one_that_refuses(tasks: Tasks, login: Callable[..., str]) -> None:
    tasks.fill("g3")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        tasks.migrate(redis=RedisCredentials.from_argument("redis://127.0.0.1:1"))
    url = login("right").replace("right", "wrong")
    with pytest.raises(StoreDenied, match="refuses the user or password") as denied:
        tasks.migrate(redis=RedisCredentials.from_argument(url))
    assert "wrong" not in str(denied.value)


def test_an_unknown_target_is_bad_input() -> None:
    with pytest.raises(BadInput, match="no generation"):
        ToGeneration("G9")

"""batch-search-migrate by its acceptance cases S1 to S16, on every kind of database, as a flow and as a command."""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from sqlalchemy import Engine, event, text

from blocks.database_credentials import DatabaseCredentials
from blocks.redis_credentials import RedisCredentials
from flows.apply import apply
from flows.batch_search_migrate import batch_search_migrate
from flows.undo import undo
from sandbox.chaos import ChaosProxy
from sandbox.samples.searches import RUNNER, TABLES
from tasks.changes.apply import apply_segment
from tasks.changes.errors import RecordsUnhandled, StoreUnavailable, WrongStore
from tasks.changes.report import Report
from tasks.stores.sql import SqlRows
from tests.flows.conftest import Api, Command

SERVERS = pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
FILES = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
BATCH = SqlRows.batch_size
OTHERS = (
    "name",
    "state",
    "user_id",
    "group_id",
    "progress",
    "created_at",
    "completed_at",
    "retries_left",
    "args",
    "error",
)

TASK = """INSERT INTO task VALUES (:id, :name, :state, 'jean_paul', 'Java', 0.5, '2024-11-07 14:53:47',
  '2024-11-07 14:53:48', 3, 3, :args, :result, 'null')"""
SEARCH = """INSERT INTO batch_search VALUES (:uuid, 'é', 'jean_paul', '2024-11-07 14:53:47', 'SUCCESS', :results, 2,
  :without)"""
ARGS = '{"@type":"java.util.Collections$UnmodifiableMap","n":1.10,"é":"😀 % \\\\ \'"}'


def number(n: int) -> str:
    return f'{{"value":{n}}}'


def counts(results: int, without: int) -> str:
    return (
        f'{{"value":{{"@type":"BatchSearchRunnerResult","nbResults":{results},"nbQueriesWithoutResults":{without}}}}}'
    )


class Searches:
    """Datashare's tables of tasks and batch searches."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = self.credentials.get_client()
        time_ = "timestamp" if self.engine.dialect.name == "postgresql" else "datetime"
        for statement in TABLES.format(time=time_).split(";"):
            self.run(statement)

    @property
    def credentials(self) -> DatabaseCredentials:
        return DatabaseCredentials.from_argument(self.url)

    def run(self, statement: str, given: Any = None) -> Any:
        with self.engine.begin() as connection:
            found = connection.execute(text(statement), given)
            return found.all() if found.returns_rows else found.rowcount

    def add(self, task: str, result: str | None, *search: int | None, name: str = RUNNER, state: str = "DONE") -> None:
        """Store a task, and its batch search if there are counts for one."""
        self.run(TASK, {"id": task, "name": name, "state": state, "args": ARGS, "result": result})
        if search:
            self.run(SEARCH, {"uuid": task, "results": search[0], "without": search[1]})

    def fill(self, n: int) -> None:
        """Store many, each of which changes."""
        tasks = [
            {"id": f"{i:06}", "name": RUNNER, "state": "DONE", "args": ARGS, "result": number(i)} for i in range(n)
        ]
        self.run(TASK, tasks)
        self.run(SEARCH, [{"uuid": f"{i:06}", "results": i, "without": 1} for i in range(n)])

    @property
    def results(self) -> dict[str, str | None]:
        return dict(map(tuple, self.run("SELECT id, result FROM task")))

    @property
    def rest(self) -> list[tuple[Any, ...]]:
        """Everything but the results."""
        tasks = self.run(f"SELECT id, {', '.join(OTHERS)} FROM task ORDER BY id")
        return [*map(tuple, tasks), *map(tuple, self.run("SELECT * FROM batch_search ORDER BY uuid"))]

    def migrate(self, **options: Any) -> Report:
        """Run the job, for real unless told otherwise."""
        return batch_search_migrate(**({"database": self.credentials, "dry_run": False} | options))


@pytest.fixture
def searches(database_url: str) -> Iterator[Searches]:
    searches = Searches(database_url)
    yield searches
    searches.engine.dispose()


@pytest.fixture(autouse=True)
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without the seconds between."""
    quick = apply_segment.with_options(retry_delay_seconds=0.1, retry_jitter_factor=0)
    monkeypatch.setattr("tasks.changes.apply.apply_segment", quick)
    monkeypatch.setattr("tasks.stores.sql_talk.WAITS", (0, 0, 0))


CASES: dict[str, tuple[str | None, tuple[int | None, ...], str, str | None]] = {
    # its result, the counts of its batch search, its state, its result afterwards (None: unchanged)
    "s1": (number(5), (5, 1), "DONE", counts(5, 1)),
    "s2": (number(5), (5, None), "DONE", counts(5, -1)),
    "s3": (number(5), (None, 1), "DONE", counts(5, 1)),
    "s4 running": ("null", (5, 1), "RUNNING", None),
    "s4 error": ("null", (5, 1), "ERROR", None),
    "s4 created": (None, (0, None), "CREATED", None),
    "s5": (counts(7, 2), (9, None), "DONE", None),
    "s6": (number(4), (), "DONE", None),
    "s7 o'brien": ('{"value":["Long",6]}', (6, 0), "DONE", counts(6, 0)),
    "s7 ; DROP TABLE task --": (number(1), (1, 1), "DONE", counts(1, 1)),
    "s7 %s %(id)s :id ?": (number(1), (1, 1), "DONE", counts(1, 1)),
    "beside": ('{"@type":"TaskResult","value":5}', (5, 1), "DONE", '{"@type":"TaskResult",' + counts(5, 1)[1:]),
}


def fill_with_cases(searches: Searches) -> dict[str, str | None]:
    """Store every case, and give what shall stand afterwards."""
    for task, (result, search, state, _) in CASES.items():
        searches.add(task, result, *search, state=state)
    searches.add("s9", number(3), 3, 0, name=f"{RUNNER}Proxy")
    searches.add(
        "s8", '{"value":{"@type":"UriResult","uri":"file:///a%5BGMT%5D","size":1}}', name="x.BatchDownloadRunner"
    )
    searches.add("s8 scan", number(3), 3, 0, name="org.icij.datashare.tasks.ScanTask")
    after = {task: after for task, (_, _, _, after) in CASES.items() if after}
    return searches.results | after | {"s9": counts(3, 0)}


def test_s1_to_s9_and_s16_only_the_results_that_must_are_rewritten(searches: Searches) -> None:
    wanted = fill_with_cases(searches)
    rest = searches.rest
    report = searches.migrate()
    assert searches.results == wanted
    assert searches.rest == rest
    assert (report.planned, report.applied, report.conflicts, report.problem_count) == (8, 8, 0, 0)
    assert report.kept == {"already migrated": 1, "no batch search of this id": 1}
    assert report.ignored == {"no result": 3}
    assert report.scanned == 8 + 5


def test_s6_an_orphan_may_keep_its_number_as_the_count(searches: Searches) -> None:
    searches.add("orphan", number(4))
    assert searches.migrate(orphans="value").applied == 1
    assert searches.results == {"orphan": counts(4, -1)}


def test_s10_a_second_run_changes_nothing(searches: Searches) -> None:
    fill_with_cases(searches)
    searches.migrate()
    stands = searches.results
    report = searches.migrate()
    assert (report.planned, report.applied) == (0, 0)
    assert searches.results == stands


def test_s14_s15_what_cannot_be_handled_stays_and_is_named_and_the_others_are_done(searches: Searches) -> None:
    searches.add("s14", "{", 5, 1)
    searches.add("s14 empty", "", 5, 1)
    searches.add("s15", number(3_000_000_000), None, 1)
    searches.add("twice", counts(5, 1).replace("5", counts(5, 1)), 5, 1)
    searches.add("fine", number(5), 5, 1)
    stands = searches.results
    with pytest.raises(RecordsUnhandled, match="4 of 5 records could not be handled") as failed:
        searches.migrate()
    report = failed.value.report
    assert report
    assert {problem["record"] for problem in report.problems} == {"s14", "s14 empty", "s15", "twice"}
    assert searches.results == stands | {"fine": counts(5, 1)}


BESIDE = ',"x":1.10,"big":123456789012345678901234567890,"e":1E-7,"z":-0}'


def test_d7_d8_what_is_beside_a_number_stays_digit_by_digit_and_undo_puts_the_text_back(searches: Searches) -> None:
    before = {"number": number(5)[:-1] + BESIDE, "integer": '{"value":["Integer",6]}', "text": '{"value":"some text"}'}
    for task, result in before.items():
        searches.add(task, result, 5, 1)
    report = searches.migrate()
    after = {"number": counts(5, 1)[:-1] + BESIDE, "integer": counts(5, 1), "text": before["text"]}
    assert searches.results == after
    assert (report.applied, report.ignored) == (2, {"another kind of result": 1})
    assert searches.migrate().planned == 0
    assert undo(report.plan, searches.credentials).applied == 2
    assert searches.results == before


def test_unreadable_results_take_the_counts_of_their_batch_searches_where_that_is_asked(searches: Searches) -> None:
    unreadable = {"bad": "{", "empty": "", "raw": "5", "float": '{"value":5.0}'}
    for task, result in unreadable.items():
        searches.add(task, result, 9, 2)
    searches.add("orphan", "{")
    searches.add("running", "", 9, 2, state="RUNNING")
    searches.add("fine", number(5), 5, 1)
    before, rest = searches.results, searches.rest
    with pytest.raises(RecordsUnhandled, match="6 of 7 records could not be judged"):
        searches.migrate(dry_run=True)
    with pytest.raises(RecordsUnhandled, match="2 of 7 records could not be handled") as failed:
        searches.migrate(unreadable="search")
    report = failed.value.report
    assert report
    assert {problem["record"] for problem in report.problems} == {"orphan", "running"}
    assert searches.results == before | dict.fromkeys(unreadable, counts(9, 2)) | {"fine": counts(5, 1)}
    assert undo(report.plan, searches.credentials).applied == 5
    assert (searches.results, searches.rest) == (before, rest)


def test_results_of_downloads_are_renamed_where_that_is_asked_as_datashare_s_change_set_73_does(
    searches: Searches,
) -> None:
    uri = '{"value":{"@type":"UriResult","uri":"file:///a%5BGMT%5D.zip","size":12345}}'
    searches.add("download", uri, name="org.icij.datashare.tasks.BatchDownloadRunner")
    searches.add("proxy", uri, name="org.icij.datashare.tasks.BatchDownloadRunnerProxy")
    searches.add("search", uri, 5, 1)
    searches.add("scan", uri, name="org.icij.datashare.tasks.ScanTask")
    searches.add("running", "null", name="org.icij.datashare.tasks.BatchDownloadRunner", state="RUNNING")
    searches.add("number", number(5), 5, 1)
    assert searches.migrate(dry_run=True).planned == 1
    before = searches.results
    plan = searches.migrate(downloads="rename", dry_run=True).plan
    report = apply(plan, searches.credentials)
    new = uri.replace("UriResult", "BatchDownloadRunnerResult")
    assert searches.results == before | {"download": new, "proxy": new, "number": counts(5, 1)}
    assert report.applied == 3
    assert searches.migrate(downloads="rename").planned == 0
    assert undo(plan, searches.credentials).applied == 3
    assert searches.results == before


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("schema", ["datashare", "Data share"])
def test_tables_in_another_schema_are_hinted_at_and_the_hint_helps(
    searches: Searches, command: Command, schema: str
) -> None:
    searches.add("one", number(5), 5, 1)
    searches.run(f'CREATE SCHEMA "{schema}"')
    for table in ("task", "batch_search"):
        searches.run(f'ALTER TABLE {table} SET SCHEMA "{schema}"')
    lost = command("steward", "batch-search-migrate", searches.url)
    assert lost.returncode == 1
    assert f"there is no table task on the search path, but there is one in the schema {schema}:" in lost.stderr
    hint = f"?options={lost.stderr.partition('add ?options=')[2].split()[0]}"
    assert hint == "?options=-csearch_path=datashare" or schema != "datashare"
    assert command("steward", "batch-search-migrate", f"{searches.url}{hint}", "--json", "--apply").returncode == 0
    assert searches.run(f'SELECT result FROM "{schema}".task') == [(counts(5, 1),)]


def test_a_dry_run_changes_nothing_and_its_plan_can_be_applied_and_undone(searches: Searches) -> None:
    wanted = fill_with_cases(searches)
    stands, rest = searches.results, searches.rest
    plan = searches.migrate(dry_run=True).plan
    assert searches.results == stands
    assert apply(plan, searches.credentials).applied == 8
    assert searches.results == wanted
    again = apply(plan, searches.credentials)
    assert (again.applied, again.conflicts, again.kept) == (0, 0, {"already as planned": 8})
    assert undo(plan, searches.credentials).applied == 8
    assert searches.results == stands
    assert searches.rest == rest


def test_a_plan_is_for_one_database_only(searches: Searches, tmp_path: Path) -> None:
    fill_with_cases(searches)
    plan = searches.migrate(dry_run=True).plan
    (tmp_path / "other.db").touch()
    other = Searches(f"sqlite:{tmp_path}/other.db")
    with pytest.raises(WrongStore, match="#task, not for sqlite:///"):
        apply(plan, other.credentials)
    with pytest.raises(WrongStore, match="whose store is postgresql://"):
        apply(plan, RedisCredentials())


def test_what_changed_since_the_plan_is_left_alone_in_both_directions(searches: Searches) -> None:
    searches.fill(10)
    plan = searches.migrate(dry_run=True).plan
    searches.run("UPDATE task SET result = 'null' WHERE id = '000003'")
    searches.run("DELETE FROM task WHERE id = '000004'")
    applied = apply(plan, searches.credentials)
    assert (applied.applied, applied.conflicts) == (8, 2)
    searches.run("UPDATE task SET result = 'theirs' WHERE id = '000005'")
    undone = undo(plan, searches.credentials)
    assert (undone.applied, undone.conflicts) == (7, 3)
    theirs = {"000003": "null", "000005": "theirs"}
    assert searches.results == {f"{i:06}": number(i) for i in range(10) if i != 4} | theirs


def test_no_update_of_a_running_datashare_is_lost(searches: Searches) -> None:
    n = 5 * BATCH
    searches.fill(n)
    theirs = [f"{i:06}" for i in range(0, n, 50)]

    def write() -> None:
        for task in theirs:
            searches.run("UPDATE task SET result = 'null', state = 'RUNNING' WHERE id = :id", {"id": task})

    writer = Thread(target=write)
    writer.start()
    report = searches.migrate()
    writer.join()
    assert report.applied + report.conflicts == report.planned
    results = searches.results
    assert {results.pop(task) for task in theirs} == {"null"}
    assert results == {task: counts(int(task), 1) for task in results}


def test_s11_killed_at_random_moments_and_run_again_the_end_is_the_same(searches: Searches, command: Command) -> None:
    n = 20 * BATCH
    searches.fill(n)
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments, wanted = random.Random(seed), {f"{i:06}": counts(i, 1) for i in range(n)}
    migrated = "SELECT count(*) FROM task WHERE result LIKE '%BatchSearchRunnerResult%'"
    for _ in range(2):
        searches.run(
            "UPDATE task SET result = '{\"value\":' || batch_results || '}' FROM batch_search WHERE uuid = id"
            if searches.engine.dialect.name != "mysql"
            else "UPDATE task JOIN batch_search ON uuid = id SET result = CONCAT('{\"value\":', batch_results, '}')"
        )
        enough = moments.randrange(1, n // 2)
        run = command.start("db-migrate-bs-result-task", searches.url)
        while searches.run(migrated)[0][0] < enough:
            assert run.poll() is None, run.communicate()
        run.kill()
        run.communicate()
        done = searches.run(migrated)[0][0]
        assert done % BATCH == 0, "a batch is done, or it is not"
        assert searches.migrate().planned == n - done
        assert searches.results == wanted


# ------------------------------------------------------------------------------------------- broken connections


@pytest.fixture
def proxy(searches: Searches) -> Iterator[ChaosProxy]:
    """A proxy before the server; the job comes through it."""
    server = urlsplit(searches.url)
    with ChaosProxy(server.hostname or "", server.port or 0) as proxy:
        searches.url = searches.url.replace(f":{server.port}/", f":{proxy.port}/")
        yield proxy


@pytest.fixture
def at_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Have something happen just before the nth batch is committed."""

    def do(nth: int, act: Callable[[], object]) -> None:
        applies, calls = SqlRows.apply, [0]

        def then_apply(store: SqlRows, actions: Sequence[Any]) -> Any:
            calls[0] += 1
            if calls[0] == nth:
                event.listen(store.talk.engine, "commit", lambda _: act(), once=True)
            return applies(store, actions)

        monkeypatch.setattr(SqlRows, "apply", then_apply)

    return do


@SERVERS
@pytest.mark.parametrize("way", ["cut_up", "cut_down"])
def test_a_cut_at_commit_loses_no_count(
    searches: Searches, proxy: ChaosProxy, at_commit: Callable[..., None], way: str
) -> None:
    """Cut on its way up the batch was not done; cut on its way down it was, and only the answer is lost."""
    n = 3 * BATCH
    searches.fill(n)
    at_commit(2, lambda: setattr(proxy, way, 0))
    report = searches.migrate()
    assert proxy.cuts == 1
    assert (report.planned, report.applied, report.conflicts) == (n, n, 0)
    assert not report.kept
    assert searches.results == {f"{i:06}": counts(i, 1) for i in range(n)}


@SERVERS
def test_a_server_gone_for_good_fails_the_run_and_the_next_run_ends_it(
    searches: Searches, proxy: ChaosProxy, at_commit: Callable[..., None]
) -> None:
    n = 3 * BATCH
    searches.fill(n)

    def leave() -> None:
        proxy.refuse()
        proxy.drop_all()

    at_commit(3, leave)
    with pytest.raises(StoreUnavailable, match=r"does not answer.*changes were made before that") as failed:
        searches.migrate()
    report = failed.value.report
    assert report
    assert (report.planned, report.applied, report.conflicts) == (n, 2 * BATCH, 0)
    proxy.accept_again()
    rest = apply(report.plan, searches.credentials)
    assert (rest.applied, rest.kept) == (BATCH, {"already as planned": 2 * BATCH})


# -------------------------------------------------------------------------------------------------- the commands


def report_in(done: Any) -> dict[str, Any]:
    (line,) = done.stdout.splitlines()
    return dict(json.loads(line))


def java(url: str) -> str:
    """Write a URL as Java does."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return f"jdbc:sqlite:file:{parts.path}"
    return f"jdbc:{parts.scheme}://{parts.hostname}:{parts.port}{parts.path}?user={parts.username}"


def test_s12_the_old_command_acts_and_takes_java_s_urls(searches: Searches, command: Command) -> None:
    wanted = fill_with_cases(searches)
    stands = searches.results
    dry = command("db-migrate-bs-result-task", java(searches.url), "--dry-run", "--json")
    assert (dry.returncode, report_in(dry)["planned"], report_in(dry)["dry_run"]) == (0, 8, True)
    assert searches.results == stands
    done = command("db-migrate-bs-result-task", java(searches.url))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("8 of 8 planned changes made, 0 conflicts.\n")
    assert "Datashare's own change set" in done.stdout or "no change set of its own" in done.stdout
    assert searches.results == wanted
    assert searches.migrate().planned == 0


@FILES
def test_steward_plans_only_and_the_plan_says_what_datashare_would_do(searches: Searches, command: Command) -> None:
    fill_with_cases(searches)
    stands = searches.results
    planned = command("steward", "batch-search-migrate", searches.url)
    assert planned.stdout.startswith("Dry run: 8 of 13 records would change; nothing was changed.\n")
    plan = planned.stdout.rpartition(".plan.zst")[0].split()[-1] + ".plan.zst"
    shown = command("steward", "plan", "show", plan).stdout
    assert "change set" in shown
    assert "#task, made " in shown
    assert searches.results == stands
    applied = command("steward", "apply", plan, java(searches.url), "--json")
    assert report_in(applied)["applied"] == 8
    undone = command("steward", "undo", plan, searches.url, "--json")
    assert (undone.returncode, report_in(undone)["applied"]) == (0, 8)
    assert searches.results == stands


@FILES
def test_s14_records_that_cannot_be_handled_end_the_command_with_1(searches: Searches, command: Command) -> None:
    searches.add("s14", "{", 5, 1)
    searches.add("fine", number(5), 5, 1)
    done = command("db-migrate-bs-result-task", searches.url, "--json")
    assert (done.returncode, report_in(done)["applied"]) == (1, 1)
    assert report_in(done)["problems"] == [{"record": "s14", "reason": "its result is not JSON"}]
    assert "1 of 2 records could not be handled" in done.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("jdbc:sqlite:file:{folder}/absent.db", "absent.db#task: unable to open database file"),
        ("sqlite:{folder}/text", "file is not a database"),
        ("jdbc:postgresql://u:s3cret@h1,h2/d", "must name one host"),
        ("redis://:s3cret@h", "DATABASE has not the form postgresql://"),
    ],
)
def test_s12_a_url_that_opens_no_database_is_bad_input(command: Command, tmp_path: Path, url: str, said: str) -> None:
    folder = tmp_path / "databases"
    folder.mkdir()
    (folder / "text").write_text("no database" * 100)
    done = command("db-migrate-bs-result-task", url.format(folder=folder))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in folder.iterdir()] == ["text"]


@FILES
def test_a_database_without_datashare_s_tables_is_refused(database_url: str, command: Command) -> None:
    done = command("steward", "batch-search-migrate", database_url)
    assert done.returncode == 1
    assert "Is it the right database, and of a version this job knows?" in done.stderr
    assert "Traceback" not in done.stderr


@SERVERS
def test_s13_a_password_is_never_shown(searches: Searches, command: Command, api: Api) -> None:
    """Neither where it opens the database nor where it does not, in text, log, or what Prefect keeps."""
    secret, name = "s3cret@/?#%", f"u{time.time_ns()}"
    mysql = searches.engine.dialect.name == "mysql"
    searches.run(f"CREATE USER {name} {'IDENTIFIED BY' if mysql else 'SUPERUSER PASSWORD'} '{secret}'")
    if mysql:
        searches.run(f"GRANT ALL ON *.* TO {name}")
    fill_with_cases(searches)
    server = urlsplit(searches.url)
    url = f"{server.scheme}://{name}:{quote(secret, safe='')}@{server.hostname}:{server.port}{server.path}"
    done = command("steward", "batch-search-migrate", url, "--verbose")
    missing = command("steward", "batch-search-migrate", f"{url}_not_there", "--verbose")
    searches.run(f"DROP USER {name}")
    assert (done.returncode, missing.returncode) == (0, 1)
    kept = json.dumps([api.post("flow_runs/filter"), api.post("logs/filter"), api.post("artifacts/filter")])
    assert "s3cret" not in done.stdout + done.stderr + missing.stdout + missing.stderr + kept

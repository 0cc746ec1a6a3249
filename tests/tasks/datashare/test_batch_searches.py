"""Which results of batch searches are rewritten, to what, and why the others stay: the cases of the SQL migration."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from blocks.database_credentials import DatabaseCredentials
from tasks.changes.plan_file import Counts
from tasks.changes.protocols import Ignore, Keep, Problem, Replace, Verdict
from tasks.datashare.batch_searches import OldResult
from tasks.datashare.change_sets import own_change_set
from tasks.datashare.model_migration import ToGeneration
from tasks.datashare.results import JAVA_INT
from tasks.stores.sql_talk import Talk

GONE = object()


def judged(result: str | None, results: Any = 9, without: Any = 2, orphans: Any = "keep") -> Verdict:
    """Judge a result whose batch search has these counts; GONE: it has no batch search."""
    search = (None, None, None) if results is GONE else ("uuid", results, without)
    return OldResult(orphans)("key", ("key", result, *search))


def counted(results: int, without: int) -> str:
    """Give the new form as Datashare's own mapper writes it."""
    counts = f'"nbResults":{results},"nbQueriesWithoutResults":{without}'
    return f'{{"value":{{"@type":"BatchSearchRunnerResult",{counts}}}}}'


def rewritten(verdict: Verdict) -> Any:
    assert isinstance(verdict, Replace), verdict
    return verdict.after["result"]  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    ("case", "result", "results", "without", "after"),
    [
        ("s1", '{"value":5}', 5, 1, (5, 1)),
        ("s1 whose search ran again", '{"value":5}', 6, 1, (6, 1)),
        ("s2", '{"value":5}', 5, None, (5, -1)),
        ("s3", '{"value":5}', None, 1, (5, 1)),
        ("s3 of no counts at all", '{"value":5}', None, None, (5, -1)),
        ("a long", '{"value":["Long",7]}', None, None, (7, -1)),
        ("an integer", '{"value":["java.lang.Integer",7]}', None, None, (7, -1)),
        ("nothing found", '{"value":0}', 0, 3, (0, 3)),
        ("spaces", ' { "value" : 5 } ', None, 0, (5, 0)),
        ("s15 fits just so", '{"value":2147483647}', None, 0, (2147483647, 0)),
        ("s15 does not matter where the search has a count", '{"value":3000000000}', 4, 0, (4, 0)),
    ],
)
def test_a_number_becomes_counts(case: str, result: str, results: Any, without: Any, after: tuple[int, int]) -> None:
    assert rewritten(judged(result, results, without)) == counted(*after), case


@pytest.mark.parametrize(
    ("case", "result", "reason"),
    [
        ("s4 running, error", "null", "no result"),
        ("s4 created", None, "no result"),
        ("cancelled", '{"value":null}', "no result"),
        ("s5", counted(7, 2), "already migrated"),
        (
            "s5 as others may write it",
            '{"value": {"nbResults": 7, "@type": "BatchSearchRunnerResult"}}',
            "already migrated",
        ),
        ("s8", '{"value":{"@type":"UriResult","uri":"file:///a","size":1}}', "another kind of result"),
        ("s8 since 21.1", '{"value":{"@type":"BatchDownloadRunnerResult"}}', "another kind of result"),
    ],
)
def test_what_is_no_number_stays(case: str, result: str | None, reason: str) -> None:
    assert judged(result) == (Keep(reason) if reason == "already migrated" else Ignore(reason)), case


@pytest.mark.parametrize("value", [5, ["Long", 5]])
def test_s6_an_orphan_stays_or_keeps_its_number(value: Any) -> None:
    result = json.dumps({"value": value})
    assert judged(result, GONE) == Keep("no batch search of this id")
    assert rewritten(judged(result, GONE, orphans="value")) == counted(5, -1)


@pytest.mark.parametrize(
    "result", ["", "{", "{'value':5}", '{"value":5', '{"value":NaN}', '{"value":05}', "[" * 10_000]
)
def test_s14_what_is_no_json_is_a_problem(result: str) -> None:
    assert isinstance(judged(result), Problem)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (True, "no number"),
        (5.0, "no number"),
        (["Short", 5], "no number"),
        (["Long", "5"], "no number"),
        (["Long", True], "no number"),
        (["Long", 5, 6], "no number"),
        ({}, "no number"),
        ({"@type": "org.icij.datashare.tasks.BatchSearchRunnerResult", "nbResults": 5}, "of the type org.icij"),
        ({"@type": "LinkedHashMap"}, "of the type LinkedHashMap"),
        ({"@type": ["x"] * 100}, "of the type "),
        ({"@type": "BatchSearchRunnerResult", "nbResults": {"nbResults": 5}}, "cannot read"),
        ({"@type": "BatchSearchRunnerResult", "nbResults": [5]}, "cannot read"),
        ({"@type": "BatchSearchRunnerResult", "nbQueriesWithoutResults": 3_000_000_000}, "cannot read"),
    ],
)
def test_what_datashare_could_not_read_either_is_a_problem(value: Any, why: str) -> None:
    verdict = judged(json.dumps({"value": value}))
    assert isinstance(verdict, Problem)
    assert why in verdict.reason
    assert len(verdict.reason) < 200


@pytest.mark.parametrize("result", ["5", "[5]", '"x"', "{}", '{"Value":5}'])
def test_a_result_without_a_value_is_a_problem(result: str) -> None:
    assert judged(result) == Problem("its result has no value")


@pytest.mark.parametrize(
    ("value", "results", "without"),
    [(3_000_000_000, None, 0), (-3_000_000_000, None, 0), (5, 2**31, 0), (5, 5, 2**31), (5, "5", 0), (5, 5.5, 0)],
)
def test_s15_what_java_s_int_cannot_hold_is_a_problem(value: int, results: Any, without: Any) -> None:
    verdict = judged(json.dumps({"value": value}), results, without)
    assert isinstance(verdict, Problem)
    assert "is no count that Datashare can hold" in verdict.reason


VALUE = '{"@type":"BatchSearchRunnerResult","nbResults":5,"nbQueriesWithoutResults":1}'


@pytest.mark.parametrize("value", ["5", "-0", '["Long",5]', '[ "Integer" , 5 ]'])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ',"x":1.10'),
        ("", ',"x":123456789012345678901234567890,"y":1E-7,"z":-0.0,"w":-0,"v":1.0e+400'),
        ('"@type":"TaskResult",', ""),
        ('"a":{"value":6},"b":["value",1.10],"c":"\\"value\\":7",', ',"u":"\\ud800","é":[]'),
        ('\n "x" : [ 1.10 ] ,\t', ' , "y" : null \r\n'),
    ],
)
def test_d7_what_is_beside_the_value_stays_digit_by_digit(value: str, before: str, after: str) -> None:
    for space in ("", " ", "\n  "):
        around = f'{space}{{{before}{space}"value"{space}:{space}%s{space}{after}{space}}}{space}'
        assert rewritten(judged(around % value, 5, 1)) == around % VALUE


@pytest.mark.parametrize("value", ["", "5", "some text", {"@type": "UriResult", "uri": "file:///a", "size": 1}])
def test_d7_a_batch_search_may_have_another_task_s_result(value: Any) -> None:
    assert judged(json.dumps({"value": value})) == Ignore("another kind of result")


@pytest.mark.parametrize("result", ['{"value":5,"value":6}', '{"value":5,"x":{"a":1,"a":2}}'])
def test_a_key_that_is_there_twice_is_a_problem(result: str) -> None:
    assert judged(result) == Problem("its result has a key twice in one object")


@pytest.mark.parametrize(
    ("digits", "deep", "kept"), [(100, 1, True), (101, 1, False), (100, 19, True), (100, 20, False)]
)
def test_d4_what_datashare_cannot_read_beside_the_value_is_a_problem(digits: int, deep: int, kept: bool) -> None:
    verdict = judged(f'{{"value":5,"x":{"[" * deep}{"9" * digits}{"]" * deep}}}')
    assert isinstance(verdict, Replace if kept else Problem)


ALIKE = [
    *(5, 0, -1, 2**31 - 1, 2**31, -(2**31) - 1, 5.0, True, False, None, "", "5", "text"),
    *([kind, 5] for kind in ("Long", "Integer", "java.lang.Long", "java.lang.Integer", "Short", "java.lang.Short")),
    *(["Long", 2**31], ["Long", "5"], ["Integer", True], ["Integer"], ["Integer", 5, 5], [], [5]),
    {"@type": "BatchSearchRunnerResult", "nbResults": 7, "nbQueriesWithoutResults": 2},
    {"@type": "BatchSearchRunnerResult", "nbResults": {"nbResults": 5}, "nbQueriesWithoutResults": 2},
    {"@type": "BatchSearchRunnerResult", "nbResults": 2**31, "nbQueriesWithoutResults": 2},
    {"@type": "org.icij.datashare.tasks.BatchSearchRunnerResult", "nbResults": 7, "nbQueriesWithoutResults": 2},
    {"@type": "UriResult", "uri": "file:///a%5BGMT%5D.zip", "size": 1},
    {"@type": "BatchDownloadRunnerResult", "uri": "file:///a%5BGMT%5D.zip", "size": 1},
    {"@type": "LinkedHashMap"},
    {},
]


@pytest.mark.parametrize("value", ALIKE, ids=json.dumps)
def test_d8_both_jobs_see_the_same_in_a_batch_search_s_result(value: Any) -> None:
    task = {"@type": "Task", "id": "a", "name": "x.BatchSearchRunner", "state": "DONE", "createdAt": 1, "args": {}}
    record = {"task": {**task, "result": {"value": value}}, "group": {"id": "Java"}}
    in_redis = ToGeneration()("a", json.dumps(record).encode())
    in_sql = judged(json.dumps({"value": value}), None, None)
    assert isinstance(in_redis, Keep | Ignore) == isinstance(in_sql, Keep | Ignore)
    assert isinstance(in_redis, Problem) == isinstance(in_sql, Problem)
    if isinstance(in_redis, Replace):
        assert json.loads(bytes(in_redis.after))["task"]["result"] == json.loads(rewritten(in_sql))


# ------------------------------------------------------------------------------------------------------- options

UNREADABLE = [
    "",
    "{",
    "5",
    "[]",
    '{"value":5.0}',
    '{"value":true}',
    '{"value":{"@type":"LinkedHashMap"}}',
    "[" * 10_000,
]


def with_option(result: str, results: Any, without: Any, state: str = "DONE") -> Verdict:
    judge = OldResult(unreadable="search")
    return judge("key", ("key", result, "uuid", results, without, state, "x.BatchSearchRunner"))


@pytest.mark.parametrize("result", UNREADABLE)
def test_an_unreadable_result_takes_the_counts_of_its_batch_search_where_that_is_asked(result: str) -> None:
    assert isinstance(judged(result, 9, 2), Problem)
    verdict = with_option(result, 9, 2)
    assert verdict == Replace({"result": counted(9, 2)}, "unreadable, so counted by its batch search")
    assert rewritten(with_option(result, 9, None)) == counted(9, -1)


@pytest.mark.parametrize("result", UNREADABLE)
def test_an_unreadable_result_stays_a_problem_where_there_are_no_counts_or_the_task_is_not_done(result: str) -> None:
    same = judged(result, 9, 2)
    for results, without in ((None, 2), (2**31, 2), (9, 2**31)):
        assert with_option(result, results, without) == same
    for state in ("CREATED", "QUEUED", "RUNNING", "ERROR", "CANCELLED"):
        assert with_option(result, 9, 2, state) == same


def test_what_is_beside_an_unreadable_value_stays_too() -> None:
    assert rewritten(with_option('{"x":1.10,"value":5.0}', 5, 1)) == f'{{"x":1.10,"value":{VALUE}}}'


@pytest.mark.parametrize("result", ['{"value":7}', '{"value":"x"}', counted(7, 1), "null", '{"value":null}'])
def test_the_option_changes_nothing_about_what_can_be_read(result: str) -> None:
    assert with_option(result, 9, 2) == judged(result, 9, 2)


URI = "file:///home/dev/archive_fbar_2024-11-07T14_53_47.192Z%5BGMT%5D.zip"


def download(result: str) -> Verdict:
    row = ("key", result, None, None, None, "DONE", "org.icij.datashare.tasks.BatchDownloadRunner")
    return OldResult(downloads="rename")("key", row)


@pytest.mark.parametrize(
    "result",
    [
        '{"value":{"@type":"UriResult","uri":"URI","size":12345}}',
        '{"n":1.10,"value":{"size":0,"uri":"URI","@type" : "UriResult","f":1E5},"@type":"UriResult"}',
    ],
)
def test_a_download_s_result_gets_its_new_name_and_is_else_as_it_was(result: str) -> None:
    result = result.replace("URI", URI)
    type_ = '"@type" : "UriResult"' if " : " in result else '"@type":"UriResult"'
    after = result.replace(type_, type_.replace("UriResult", "BatchDownloadRunnerResult"), 1)
    assert download(result) == Replace({"result": after}, "UriResult called BatchDownloadRunnerResult")
    assert download(after) == Keep("already migrated")


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        ("null", Ignore("no result")),
        ('{"value":null}', Ignore("no result")),
        ('{"value":5}', Ignore("another kind of result")),
        ('{"value":{"@type":"BatchSearchRunnerResult"}}', Ignore("another kind of result")),
    ],
)
def test_a_download_s_other_results_stay(result: str, verdict: Verdict) -> None:
    assert download(result) == verdict


@pytest.mark.parametrize(
    "value",
    [
        {"@type": "UriResult", "uri": URI.replace("%5B", "["), "size": 1},
        {"@type": "UriResult", "uri": URI, "size": "1"},
        {"@type": "UriResult", "size": 1},
        {"@type": "UriResult", "uri": URI, "size": 1, "x": {"@type": "UriResult"}},
    ],
)
def test_a_download_s_result_that_would_not_be_read_is_a_problem(value: Any) -> None:
    assert isinstance(download(json.dumps({"value": value})), Problem)


def test_a_download_s_result_that_is_there_twice_is_a_problem() -> None:
    value = '"value":{"@type":"UriResult","uri":"a","size":1}'
    assert download(f"{{{value},{value}}}") == Problem("its result has a key twice in one object")


def test_a_batch_search_s_uri_is_not_renamed() -> None:
    row = ("key", '{"value":{"@type":"UriResult","uri":"a","size":1}}', None, None, None, "DONE", "x.BatchSearchRunner")
    assert OldResult(downloads="rename")("key", row) == Ignore("another kind of result")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["@type", "nbResults", "x"]), inner),
    max_leaves=6,
)
COUNTS = st.none() | st.integers(-(2**33), 2**33)


@given(
    result=st.none()
    | st.text(max_size=20)
    | VALUES.map(lambda value: json.dumps({"value": value}))
    | VALUES.map(json.dumps)
)
def test_any_result_has_a_verdict(result: str | None) -> None:
    assert isinstance(judged(result), Keep | Ignore | Replace | Problem)


@given(number=st.integers(-(2**33), 2**33), results=COUNTS, without=COUNTS, orphans=st.sampled_from(["keep", "value"]))
def test_s10_what_was_rewritten_is_migrated_and_readable(number: int, results: Any, without: Any, orphans: Any) -> None:
    verdict = judged(json.dumps({"value": number}), results, without, orphans)
    if isinstance(verdict, Replace):
        after = rewritten(verdict)
        assert judged(after, results, without, orphans) == Keep("already migrated")
        value = json.loads(after)["value"]
        assert value["nbResults"] in JAVA_INT
        assert value["nbQueriesWithoutResults"] in JAVA_INT


@given(
    result=st.text(max_size=20)
    | VALUES.map(lambda value: json.dumps({"value": value}))
    | st.dictionaries(st.sampled_from(["value", "x", "@type"]), VALUES, max_size=3).map(json.dumps)
    | VALUES.map(
        lambda value: json.dumps({"x": 1, "value": {"@type": "UriResult", "uri": "a", "size": 1, "y": value}})
    ),
    name=st.sampled_from(["x.BatchSearchRunner", "x.BatchDownloadRunner"]),
    results=COUNTS,
)
def test_d7_with_every_option_what_was_rewritten_is_migrated(result: str, name: str, results: Any) -> None:
    judge = OldResult("value", unreadable="search", downloads="rename")
    verdict = judge("key", ("key", result, None, results, None, "DONE", name))
    if isinstance(verdict, Replace):
        again = judge("key", ("key", rewritten(verdict), None, results, None, "DONE", name))
        assert again == Keep("already migrated")


# ---------------------------------------------------------------------------------- Datashare's own change sets

CHANGES = "liquibase/changelog/changes"
OURS = f"{CHANGES}/042-task-result-batch-search-migration.yml"
OTHERS = f"{CHANGES}/026-drop-user-history-column-sqlite.yml"  # it has the ids 42 to 46 too
POLICIES = f"{CHANGES}/043-adds-user-policy-table.yml"


@pytest.fixture
def talk(database_url: str) -> Iterator[Talk]:
    engine = DatabaseCredentials.from_argument(database_url).get_client()
    yield Talk(engine, "here")
    engine.dispose()


class ChangeLog:
    """Liquibase's log, with the columns and the keys that it has."""

    def __init__(self, talk: Talk) -> None:
        self._engine = talk.engine
        self._run(
            "CREATE TABLE DATABASECHANGELOG (ID varchar(255) NOT NULL, AUTHOR varchar(255) NOT NULL, "
            "FILENAME varchar(255) NOT NULL, DATEEXECUTED timestamp NOT NULL)"
        )

    def add(self, file: str, *ids: int) -> None:
        for one in ids:
            self._run(
                "INSERT INTO DATABASECHANGELOG VALUES (:id, 'mvanza', :file, '2025-01-01')", id=str(one), file=file
            )

    def fix_ids(self) -> None:
        """Do what Datashare 21.0.1 and later do when they start on a log that 20.14 or 21.0.0 wrote."""
        for old, new in ((42, 70), (43, 71)):
            self._run(f"UPDATE DATABASECHANGELOG SET ID = '{new}' WHERE ID = '{old}' AND FILENAME = '{OURS}'")
        self._run(f"DELETE FROM DATABASECHANGELOG WHERE FILENAME = '{POLICIES}'")

    def _run(self, statement: str, **given: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(statement), given)


def ran(change_set: int) -> str:
    return f"Datashare's own change set {change_set} has run here already, and will not run again."


LOGGED = pytest.mark.parametrize("database_url", ["postgresql", "sqlite"], indirect=True)
"""The databases on which Datashare logs its changes; on the others it has no change set of its own."""


@LOGGED
def test_d1_a_change_set_is_known_by_its_id_and_its_file(talk: Talk) -> None:
    old, new = (42, 70) if talk.dialect == "postgresql" else (43, 71)
    without_a_log = own_change_set(talk)
    assert f"change set {new} has not run here: when Datashare 20.2.1 or later next starts" in without_a_log
    assert ("empty the results that have no batch search" in without_a_log) == (talk.dialect == "sqlite")
    log = ChangeLog(talk)
    log.add(OTHERS, 42, 43, 44, 45, 46)  # 20.2.0
    assert own_change_set(talk) == without_a_log
    log.add(OURS, old)  # 20.2.1 to 20.13
    assert own_change_set(talk) == ran(old)
    log.add(POLICIES, 43, 44)  # 20.14 to 21.0.0
    assert own_change_set(talk) == ran(old)
    log.fix_ids()  # from 21.0.1 on
    assert own_change_set(talk) == ran(new)


@LOGGED
def test_d1_the_other_database_s_change_set_is_not_this_one_s(talk: Talk) -> None:
    log = ChangeLog(talk)
    log.add(OURS, *((43, 71) if talk.dialect == "postgresql" else (42, 70)))
    log.add(f"{CHANGES}/044-task-result-batch-download-migration.yml", 73)
    assert "has not run here" in own_change_set(talk)


@LOGGED
def test_d1_a_database_that_began_with_21_0_1_or_later(talk: Talk) -> None:
    new = 70 if talk.dialect == "postgresql" else 71
    ChangeLog(talk).add(f"classpath:{OURS}", new)
    assert own_change_set(talk) == ran(new)


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_mysql_has_no_change_set_of_datashare_s(talk: Talk) -> None:
    assert own_change_set(talk) == "Datashare has no change set of its own for batch search results in MySQL."


def test_a_judge_tells_what_it_was_told() -> None:
    assert OldResult(remarks=["told"]).remarks(Counts()) == ["told"]

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
from tasks.changes.protocols import Keep, Problem, Replace, Verdict
from tasks.datashare.batch_searches import JAVA_INT, OldResult
from tasks.datashare.change_sets import own_change_set
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
    assert judged(result) == Keep(reason), case


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
        ("5", "no number"),
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


def test_what_stands_beside_the_value_stays_there() -> None:
    beside = '{"@type":"TaskResult","value":5,"big":123456789012345678901234567890,"f":1.10,"u":"\\ud800","é":[]}'
    after = rewritten(judged(beside, 5, 1))
    value = {"@type": "BatchSearchRunnerResult", "nbResults": 5, "nbQueriesWithoutResults": 1}
    assert json.loads(after) == json.loads(beside) | {"value": value}
    assert list(json.loads(after)) == list(json.loads(beside))


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
    assert isinstance(judged(result), Keep | Replace | Problem)


@given(number=st.integers(-(2**33), 2**33), results=COUNTS, without=COUNTS, orphans=st.sampled_from(["keep", "value"]))
def test_s10_what_was_rewritten_is_migrated_and_readable(number: int, results: Any, without: Any, orphans: Any) -> None:
    verdict = judged(json.dumps({"value": number}), results, without, orphans)
    if isinstance(verdict, Replace):
        after = rewritten(verdict)
        assert judged(after, results, without, orphans) == Keep("already migrated")
        value = json.loads(after)["value"]
        assert value["nbResults"] in JAVA_INT
        assert value["nbQueriesWithoutResults"] in JAVA_INT


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

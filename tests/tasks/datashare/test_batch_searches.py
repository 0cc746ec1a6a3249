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


# ---------------------------------------------------------------------------------- Datashare's own change sets

LOG = "CREATE TABLE {} (ID varchar(255), AUTHOR varchar(255), DATEEXECUTED timestamp)"


@pytest.fixture
def talk(database_url: str) -> Iterator[Talk]:
    engine = DatabaseCredentials.from_argument(database_url).get_client()
    yield Talk(engine, "here")
    engine.dispose()


def logged(talk: Talk, *ids: str) -> None:
    with talk.engine.begin() as connection:
        connection.execute(text(LOG.format("DATABASECHANGELOG")))
        for one in ids:
            connection.execute(text("INSERT INTO DATABASECHANGELOG VALUES (:id, 'icij', '2025-01-01')"), {"id": one})


def test_whether_datashare_s_own_change_set_ran_is_told(talk: Talk) -> None:
    own = {"postgresql": "70", "sqlite": "71"}.get(talk.dialect, "")
    before = own_change_set(talk)
    logged(talk, "1", "72", *(["71"] if own == "70" else ["70"]))
    assert own_change_set(talk) == before
    if not own:
        assert before == "Datashare has no change set of its own for batch search results in MySQL."
        return
    assert f"change set {own} has not run here: when Datashare 20.2.1 or later next starts" in before
    assert ("empty the results that have no batch search" in before) == (own == "71")
    with talk.engine.begin() as connection:
        connection.execute(text("INSERT INTO DATABASECHANGELOG VALUES (:id, 'icij', '2025-01-01')"), {"id": own})
    assert own_change_set(talk) == f"Datashare's own change set {own} has run here already, and will not run again."


def test_a_judge_tells_what_it_was_told() -> None:
    assert OldResult(remarks=["told"]).remarks(Counts()) == ["told"]

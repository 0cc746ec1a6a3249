"""Real rows of every kind of database: read in full, rewritten only where they hold exactly what they held."""

import threading
import time
import traceback
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Integer, String, Text, column, event, select, table, text
from sqlalchemy.exc import OperationalError

from blocks.database_credentials import DatabaseCredentials
from sandbox import KINDS, ChaosProxy
from sandbox.finding import Installed, find
from sandbox.running import stop
from sandbox.starting import start
from tasks.changes.errors import BadInput, ScanBroken, StewardError, StoreDenied, StoreFailed, StoreUnavailable
from tasks.changes.protocols import Action, Keep, Outcome, Problem, Replace
from tasks.stores import sql, sql_talk
from tasks.stores.sql import SqlRows
from tests.conftest import SANDBOX

DONE, ALREADY, CONFLICT = Outcome.DONE, Outcome.ALREADY, Outcome.CONFLICT
NOTE = table("note", column("id", String), column("text", Text), column("other", Text))
DDL = "CREATE TABLE note (id varchar(96) {collation} PRIMARY KEY, text text {collation}, other text)"
SERVERS = pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
COLLATIONS = {
    "sqlite": ["", "COLLATE NOCASE"],
    "postgresql": ["", "COLLATE ci"],
    "mysql": ["", "CHARACTER SET latin1", "CHARACTER SET utf8mb3", "COLLATE utf8mb4_bin"],
}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again without the waits between."""
    monkeypatch.setattr(sql_talk, "WAITS", (0, 0, 0))
    monkeypatch.setattr(sql, "PATIENCE", 0)


def opened(url: str, **options: Any) -> SqlRows:
    credentials = DatabaseCredentials.from_argument(url)
    return SqlRows(credentials.get_client(**options), credentials.location, select(NOTE), NOTE.c.id, NOTE.c.text)


class Notes(MutableMapping[str, str | None]):
    """The table as a mapping of ids to texts, behind the store's back; `other` is the same in every row."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = DatabaseCredentials.from_argument(url).get_client()
        self.make(COLLATIONS[self.engine.dialect.name][0])

    def make(self, collation: str) -> None:
        """Make the table anew, its texts of this collation."""
        if collation == "COLLATE ci":
            self.run("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        self.run("DROP TABLE IF EXISTS note", DDL.format(collation=collation))

    def run(self, *statements: str, **given: Any) -> Any:
        with self.engine.begin() as connection:
            results = [connection.execute(text(statement), given) for statement in statements]
            return results[-1].all() if results[-1].returns_rows else results[-1].rowcount

    def fill(self, rows: dict[str, str | None]) -> None:
        given = [{"id": key, "text": value} for key, value in rows.items()]
        if given:
            with self.engine.begin() as connection:
                connection.execute(text("INSERT INTO note VALUES (:id, :text, 'other')"), given)

    def __getitem__(self, key: str) -> str | None:
        found = self.run("SELECT text FROM note WHERE id = :id", id=key)
        if not found:
            raise KeyError(key)
        return found[0][0]

    def __setitem__(self, key: str, value: str | None) -> None:
        if not self.run("UPDATE note SET text = :text WHERE id = :id", id=key, text=value):
            self.fill({key: value})

    def __delitem__(self, key: str) -> None:
        self.run("DELETE FROM note WHERE id = :id", id=key)

    def __iter__(self) -> Iterator[str]:
        return iter([row[0] for row in self.run("SELECT id FROM note")])

    def __len__(self) -> int:
        return self.run("SELECT count(*) FROM note")[0][0]

    def all(self) -> dict[str, str | None]:
        """Every row, after a look at the columns that no plan changes."""
        rows = self.run("SELECT id, text, other FROM note")
        assert {row[2] for row in rows} <= {"other"}
        return {row[0]: row[1] for row in rows}


@pytest.fixture
def notes(database_url: str) -> Iterator[Notes]:
    notes = Notes(database_url)
    yield notes
    notes.engine.dispose()


@pytest.fixture
def store(database_url: str, notes: Notes) -> Iterator[SqlRows]:
    assert not notes
    store = opened(database_url)
    yield store
    store.talk.engine.dispose()


def rewrite(key: str, before: str | None, after: str | None) -> Action:
    return Action(key, {"text": before}, {"text": after})


# ------------------------------------------------------------------------------------------------ the invariant

KEYS = st.text(alphabet="abc019-'%_\\:{}", max_size=6)  # unique under any collation
TEXTS = (
    st.none()
    | st.sampled_from(["", "a", "A", "a ", "á", "null", "%s", "'", "\\", "\n", "😀"])
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
)
REAL = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_planned(rows: dict[str, str | None], wanted: dict[str, tuple[str | None, str | None]]) -> dict[str, str | None]:
    """What stands once all that holds its before-image is changed, and nothing else."""
    return {key: wanted[key][1] if key in wanted and wanted[key][0] == value else value for key, value in rows.items()}


@REAL
@given(data=st.data())
def test_the_invariant_for_any_texts(toys: Any, store: SqlRows, notes: Notes, data: st.DataObject) -> None:
    rows = data.draw(st.dictionaries(KEYS, TEXTS, max_size=8))
    afters = data.draw(st.dictionaries(st.sampled_from(sorted(rows)), TEXTS)) if rows else {}
    wanted = {key: (rows[key], after) for key, after in afters.items() if rows[key] != after}
    meddled = data.draw(st.dictionaries(KEYS, TEXTS | st.sampled_from([*rows.values(), *afters.values(), None])))
    notes.clear()
    notes.fill(rows)

    plan = toys.plan(store, {key: Replace({"text": after}, "turned") for key, (_, after) in wanted.items()})
    assert notes.all() == rows, "planning changes nothing"
    toys.apply(plan, store)
    applied = notes.all()
    assert applied == as_planned(rows, wanted)
    toys.apply(plan, store)
    assert notes.all() == applied, "applying twice equals applying once"
    toys.undo(plan, store)
    assert notes.all() == rows, "undo gives back every character"

    notes.update(meddled)
    found = notes.all()
    tally = toys.apply(plan, store)
    assert notes.all() == as_planned(found, wanted)
    assert tally.applied == sum(found.get(key, "?") == before for key, (before, _) in wanted.items())
    assert tally.handled == len(wanted)


# ----------------------------------------------------------------------------------------------------- scanning


def seen_by(store: SqlRows) -> list[tuple[Any, Any]]:
    return [(key, row[1]) for page in store.scan() for key, row in page]


@pytest.mark.parametrize("n", [0, 1, 99, 100, 101, 7_000])
def test_a_scan_sees_every_row_once_and_in_order(store: SqlRows, notes: Notes, n: int) -> None:
    rows = {f"{i:05}": f"text {i}" for i in range(n)}
    notes.fill(rows)
    assert seen_by(store) == list(rows.items())
    assert store.count() == n


def collations(url: str, notes: Notes) -> Iterator[tuple[str, SqlRows]]:
    """Make the table of every collation in turn, and open it."""
    for collation in COLLATIONS[notes.engine.dialect.name]:
        notes.make(collation)
        store = opened(url)
        yield collation, store
        store.talk.engine.dispose()


def test_no_collation_skips_or_repeats_a_row(database_url: str, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "FIRST_PAGE", 1)
    monkeypatch.setattr(sql, "MOST_ROWS", 3)
    keys = {f"{start}{end}" for start in "aBcDé-'_% ~ß" for end in ["", "0", "Z", "-", " x", "é"]}
    for collation, store in collations(database_url, notes):
        notes.fill(dict.fromkeys(keys, "text"))
        seen = seen_by(store)
        assert len(seen) == len(keys), collation
        assert {key for key, _ in seen} == keys, collation


def test_a_scan_sees_what_is_there_all_along_though_rows_come_and_go(store: SqlRows, notes: Notes) -> None:
    notes.fill({f"{i:04}": "stays" for i in range(0, 2_000, 2)})
    pages = store.scan()
    seen = {key for key, _ in next(pages)}
    last = max(seen)
    notes.fill({f"{i:04}": "new" for i in range(1, 2_000, 2)})
    del notes[last]
    seen |= {key for page in pages for key, _ in page}
    assert {f"{i:04}" for i in range(0, 2_000, 2)} <= seen


def test_pages_of_big_texts_are_small(store: SqlRows, notes: Notes) -> None:
    notes.fill({f"{i:03}": "x" * 60_000 for i in range(250)})
    sizes = [len(page) for page in store.scan()]
    assert sum(sizes) == 250
    assert max(sizes[1:]) <= sql.PAGE_BYTES / 60_000


def test_nothing_is_held_between_two_pages(store: SqlRows, notes: Notes) -> None:
    notes.fill({f"{i:04}": "text" for i in range(500)})
    pages = store.scan()
    next(pages)
    notes.run("DROP TABLE note")  # any open transaction on it would hold this up


def test_whole_numbers_may_be_keys_and_values(notes: Notes) -> None:
    notes.run("CREATE TABLE counts (id int PRIMARY KEY, n int)", "INSERT INTO counts VALUES (9, 1), (10, NULL)")
    counts = table("counts", column("id", Integer), column("n", Integer))
    store = SqlRows(notes.engine, "here", select(counts), counts.c.id, counts.c.n)
    assert [(key, tuple(row)) for page in store.scan() for key, row in page] == [("9", (9, 1)), ("10", (10, None))]
    actions = [
        Action("9", {"n": 1}, {"n": None}),
        Action("10", {"n": None}, {"n": -5}),
        Action("11", {"n": 1}, {"n": 2}),
    ]
    assert store.apply(actions) == [DONE, DONE, CONFLICT]
    assert [tuple(row) for row in notes.run("SELECT * FROM counts ORDER BY id")] == [(9, None), (10, -5)]
    assert store.weigh({"n": 5}) == 0


def test_a_count_is_that_of_the_rows_though_others_are_joined(database_url: str, notes: Notes) -> None:
    notes.fill({"1": "a", "2": "b", "3": "b"})
    store, joined = opened(database_url), NOTE.alias("joined")
    rows = select(NOTE).select_from(NOTE.outerjoin(joined, joined.c.id == NOTE.c.id))
    for condition, n in [(NOTE.c.text == "b", 2), (joined.c.text == "b", 2), (NOTE.c.text == joined.c.text, 3)]:
        narrowed = SqlRows(store.talk.engine, "here", rows.where(condition), NOTE.c.id, NOTE.c.text)
        assert narrowed.count() == n
        assert len(seen_by(narrowed)) == n
    store.talk.engine.dispose()


def test_the_time_is_the_server_s(store: SqlRows) -> None:
    assert abs(store.now() - datetime.now(UTC)) < timedelta(seconds=10)


# ----------------------------------------------------------------------------------------------------- applying


@pytest.mark.parametrize(
    ("stands", "before", "after", "outcome"),
    [
        ("old", "old", "new", DONE),
        ("new", "old", "new", ALREADY),
        ("other", "old", "new", CONFLICT),
        ("absent", "old", "new", CONFLICT),
        (None, None, "new", DONE),
        (None, "null", "new", CONFLICT),
        ("null", None, "new", CONFLICT),
        ("", None, "new", CONFLICT),
        (None, "", "new", CONFLICT),
        ("old", "old", None, DONE),
        (None, "old", None, ALREADY),
        ("", "old", None, CONFLICT),
        ("old ", "old", "new", CONFLICT),
        ("old", "old ", "new", CONFLICT),
        ("Old", "old", "new", CONFLICT),
        ("öld", "old", "new", CONFLICT),
        ("öld", "öld", "ñew", DONE),
        ("new ", "old", "new", CONFLICT),
        ("New", "old", "new", CONFLICT),
    ],
)
def test_a_row_changes_only_where_it_holds_the_exact_before_image(
    database_url: str, notes: Notes, stands: str | None, before: str | None, after: str | None, outcome: Outcome
) -> None:
    for collation, store in collations(database_url, notes):
        notes["another"] = before
        if stands != "absent":
            notes["row"] = stands
        found = notes.all()
        assert store.apply([rewrite("row", before, after)]) == [outcome], collation
        assert notes.all() == found | ({"row": after} if outcome is DONE else {}), collation


def test_outcomes_keep_their_order(store: SqlRows, notes: Notes) -> None:
    notes.fill({"1": "a", "2": "changed", "3": "z", "5": "e"})
    actions = [rewrite("1", "a", "x"), rewrite("2", "b", "y"), rewrite("3", "c", "z"), rewrite("4", "d", None)]
    assert store.apply([*actions, rewrite("5", "e", "w")]) == [DONE, CONFLICT, ALREADY, CONFLICT, DONE]
    assert notes.all() == {"1": "x", "2": "changed", "3": "z", "5": "w"}


@pytest.mark.parametrize("action", [Action("1", {"text": "a"}, None), Action("2", None, {"text": "a"})])
def test_rows_are_neither_removed_nor_inserted(store: SqlRows, notes: Notes, action: Action) -> None:
    notes["1"] = notes["3"] = "a"
    with pytest.raises(StoreDenied, match="only rewritten"):
        store.apply([rewrite("3", "a", "b"), action])
    assert notes.all() == {"1": "a", "3": "a"}


def test_a_whole_batch_is_applied_in_any_character_set(database_url: str, notes: Notes) -> None:
    for collation, store in collations(database_url, notes):
        rows = {f"{i:04}": f"é {i}" for i in range(store.batch_size)}
        notes.fill(rows)
        assert store.apply([rewrite(key, value, f"{value}!") for key, value in rows.items()]) == [DONE] * len(rows)
        assert notes.all() == {key: f"{value}!" for key, value in rows.items()}, collation


@SERVERS
def test_rows_outside_the_batch_are_not_locked(database_url: str, notes: Notes) -> None:
    for collation, store in collations(database_url, notes):
        rows = {f"{i:04}": "old" for i in range(3_000)}
        notes.fill(rows)
        with notes.engine.connect() as other:
            other.execute(text("UPDATE note SET text = 'mine' WHERE id > '2900'"))
            began = time.monotonic()
            assert set(store.apply([rewrite(f"{i:04}", "old", "new") for i in range(800)])) == {DONE}, collation
            assert time.monotonic() - began < 1
            other.rollback()


@SERVERS
def test_what_was_looked_at_cannot_change_before_it_is_rewritten(store: SqlRows, notes: Notes) -> None:
    notes.fill({"1": "old", "2": "changed"})
    locked = []

    def meddle(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE"):
            try:
                notes.run("SELECT id FROM note WHERE id = '1' FOR UPDATE NOWAIT")
            except OperationalError:
                locked.append("1")

    event.listen(store.talk.engine, "before_cursor_execute", meddle)
    assert store.apply([rewrite("1", "old", "new"), rewrite("2", "old", "new")]) == [DONE, CONFLICT]
    assert locked == ["1"]  # not at the first try, which does not look


@SERVERS
def test_a_batch_that_was_begun_is_not_waited_for_until_its_outcomes_are_asked(store: SqlRows, notes: Notes) -> None:
    notes.fill({"1": "old", "2": "changed"})
    with notes.engine.connect() as other:
        other.execute(text("UPDATE note SET text = 'mine' WHERE id = '1'"))
        outcomes = store.begin([rewrite("1", "old", "new"), rewrite("2", "old", "new")])
        other.rollback()
    assert outcomes() == [DONE, CONFLICT]
    notes.run("DROP TABLE note")
    with pytest.raises(StoreDenied, match="note"):
        store.begin([rewrite("1", "new", "old")])()


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_what_an_unanswered_transaction_did_is_waited_for(store: SqlRows, notes: Notes, ends: str) -> None:
    notes["row"] = "old"
    with notes.engine.connect() as lost:
        lost.execute(text("UPDATE note SET text = 'new' WHERE id = 'row'"))
        ending = threading.Timer(0.3, getattr(lost, ends))
        ending.start()
        assert store.apply([rewrite("row", "old", "new")]) == [ALREADY if ends == "commit" else DONE]
        ending.join()  # its connection is this thread's again
    assert notes["row"] == "new"


@SERVERS
@pytest.mark.parametrize("n", [3, 900])
def test_d5_a_row_that_others_lock_for_long_costs_that_row(store: SqlRows, notes: Notes, n: int) -> None:
    rows = {f"{i:03}": "old" for i in range(n)}
    notes.fill(rows)
    with notes.engine.connect() as other:
        other.execute(text("UPDATE note SET text = 'mine' WHERE id = '002'"))
        began = time.monotonic()
        outcomes = store.apply([rewrite(key, "old", "new") for key in rows])
        assert time.monotonic() - began < 5
        other.rollback()
    assert dict(zip(rows, outcomes, strict=True)) == dict.fromkeys(rows, DONE) | {"002": sql.LOCKED}
    assert "locked" in sql.LOCKED.reason
    assert notes.all() == dict.fromkeys(rows, "new") | {"002": "old"}


@SERVERS
def test_d5_a_row_that_is_given_back_in_time_is_done(
    database_url: str, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "PATIENCE", 5)
    notes.fill({f"{i}": "old" for i in range(3)})
    store = opened(database_url)
    with notes.engine.connect() as other:
        other.execute(text("UPDATE note SET text = 'mine' WHERE id = '2'"))
        threading.Timer(1.5, other.rollback).start()
        assert store.apply([rewrite(f"{i}", "old", "new") for i in range(3)]) == [DONE] * 3
    store.talk.engine.dispose()


@SERVERS
def test_d5_a_table_that_is_locked_as_a_whole_is_waited_for(store: SqlRows, notes: Notes) -> None:
    notes["1"] = "old"
    with notes.engine.connect() as other:
        mysql = notes.engine.dialect.name == "mysql"
        other.execute(text("LOCK TABLES note WRITE" if mysql else "LOCK TABLE note"))
        with pytest.raises(StoreUnavailable, match=r"(?i)lock") as failed:
            store.apply([rewrite("1", "old", "new")])
        assert set(failed.value.untouched) == {"1"}
        other.execute(text("UNLOCK TABLES" if mysql else "SELECT 1"))
    assert store.apply([rewrite("1", "old", "new")]) == [DONE]


def test_a_file_that_others_write_to_for_long_is_not_waited_for(file: Notes) -> None:
    store = opened(file_of(file), timeout=0.2)
    with file.engine.connect() as other:
        other.execute(text("UPDATE note SET text = 'mine' WHERE id = '002'"))
        with pytest.raises(StoreUnavailable, match=r"database is locked") as failed:
            store.apply([rewrite("001", "old", "new")])
        assert set(failed.value.untouched) == {"001"}
        other.rollback()
    assert store.apply([rewrite("001", "old", "new")]) == [DONE]


TRIGGERS = {
    "postgresql": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.id LIKE '%7' THEN RETURN NULL; END IF; "
        "IF NEW.id = '013' THEN RAISE EXCEPTION 'thirteen is not for sale'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION refuse()",
    ),
    "mysql": (
        "CREATE TRIGGER refuse BEFORE UPDATE ON note FOR EACH ROW IF NEW.id = '013' THEN "
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'thirteen is not for sale'; END IF",
    ),
    "sqlite": (
        "CREATE TRIGGER refuse BEFORE UPDATE ON note WHEN NEW.id = '013' "
        "BEGIN SELECT RAISE(ABORT, 'thirteen is not for sale'); END",
        "CREATE TRIGGER ignore BEFORE UPDATE ON note WHEN NEW.id LIKE '%7' BEGIN SELECT RAISE(IGNORE); END",
    ),
}


def install(notes: Notes, statements: Sequence[str]) -> None:
    """Run statements as they are, whatever they hold."""
    with notes.engine.begin() as connection:
        for statement in statements:
            percent = "%" if notes.engine.dialect.name == "sqlite" else "%%"
            connection.exec_driver_sql(statement.replace("%", percent))


REWRITES = {
    "postgresql": [
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.id LIKE '%3' THEN NEW.text := OLD.text; END IF; "
        "IF NEW.id LIKE '%5' THEN NEW.text := 'theirs'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER meddle BEFORE UPDATE ON note FOR EACH ROW EXECUTE FUNCTION meddle()",
    ],
    "mysql": [
        "CREATE TRIGGER meddle BEFORE UPDATE ON note FOR EACH ROW SET NEW.text = "
        "CASE WHEN NEW.id LIKE '%3' THEN OLD.text WHEN NEW.id LIKE '%5' THEN 'theirs' ELSE NEW.text END",
    ],
    "sqlite": [
        "CREATE TRIGGER meddle AFTER UPDATE ON note WHEN NEW.id LIKE '%3' "
        "BEGIN UPDATE note SET text = OLD.text WHERE id = NEW.id; END",
        "CREATE TRIGGER meddle2 AFTER UPDATE ON note WHEN NEW.id LIKE '%5' "
        "BEGIN UPDATE note SET text = 'theirs' WHERE id = NEW.id; END",
    ],
}


@pytest.mark.parametrize("meddled", [[], ["011"]])
def test_d6_rows_that_a_trigger_turns_back_or_rewrites_are_problems_and_stay_as_they_were(
    toys: Any, store: SqlRows, notes: Notes, meddled: list[str]
) -> None:
    rows = {f"{i:03}": "old" for i in range(200)}
    notes.fill(rows)
    plan = toys.plan(store, lambda *_: Replace({"text": "new"}, "turned"))
    notes.update(dict.fromkeys(meddled, "changed"))
    found = notes.all()
    install(notes, REWRITES[notes.engine.dialect.name])
    tally = toys.apply(plan, store)
    kept = {key for key in rows if key[-1] in "35"}
    assert (tally.applied, tally.conflicts) == (160 - len(meddled), len(meddled))
    assert store.apply([rewrite(key, "old", "new") for key in kept]) == [sql.UNTAKEN] * 40
    assert notes.all() == dict.fromkeys(rows, "new") | {key: found[key] for key in [*kept, *meddled]}
    notes.run("DROP TRIGGER meddle" + (" ON note" if notes.engine.dialect.name == "postgresql" else ""))
    if notes.engine.dialect.name == "sqlite":
        notes.run("DROP TRIGGER meddle2")
    toys.undo(plan, store)
    assert notes.all() == rows | dict.fromkeys(meddled, "changed"), "undo gives back what was done, and no more"


@SERVERS
def test_d6_a_row_that_a_trigger_rewrites_beside_one_that_is_locked_is_a_problem(store: SqlRows, notes: Notes) -> None:
    notes.fill({f"00{i}": "old" for i in range(1, 6)})
    install(notes, REWRITES[notes.engine.dialect.name])
    with notes.engine.connect() as other:
        other.execute(text("UPDATE note SET text = 'mine' WHERE id = '002'"))
        outcomes = store.apply([rewrite(f"00{i}", "old", "new") for i in range(1, 6)])
        other.rollback()
    assert outcomes == [DONE, sql.LOCKED, sql.UNTAKEN, DONE, sql.UNTAKEN]
    assert notes.all() == {"001": "new", "002": "old", "003": "old", "004": "new", "005": "old"}


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_d6_a_user_who_sees_no_triggers_is_not_taken_to_have_none(user: str, notes: Notes) -> None:
    name = urlsplit(user).username
    notes.run(f"GRANT UPDATE ON note TO {name}@'%'")
    notes.fill({"1": "old", "3": "old", "5": "old"})
    install(notes, REWRITES["mysql"])
    store = opened(user)
    assert store.apply([rewrite(key, "old", "new") for key in "135"]) == [DONE, sql.UNTAKEN, sql.UNTAKEN]
    store.talk.engine.dispose()
    assert notes.all() == {"1": "new", "3": "old", "5": "old"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_d6_what_a_rule_or_a_trigger_that_was_put_off_makes_of_a_row_is_seen(store: SqlRows, notes: Notes) -> None:
    notes.fill({"1": "old", "3": "old"})
    install(
        notes,
        [
            "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF NEW.id = '3' AND NEW.text = 'new' THEN "
            "UPDATE note SET text = 'theirs' WHERE id = NEW.id; END IF; RETURN NULL; END $$",
            "CREATE CONSTRAINT TRIGGER meddle AFTER UPDATE ON note DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION meddle()",
        ],
    )
    assert store.apply([rewrite("1", "old", "new"), rewrite("3", "old", "new")]) == [DONE, sql.UNTAKEN]
    assert notes.all() == {"1": "new", "3": "old"}
    notes.run("CREATE RULE keep AS ON UPDATE TO note WHERE OLD.id = '1' DO INSTEAD NOTHING")
    assert store.apply([rewrite("1", "new", "newer")]) == [sql.UNTAKEN]


def test_d6_without_triggers_nothing_is_read_back(store: SqlRows, notes: Notes) -> None:
    notes.fill({f"{i}": "old" for i in range(9)})
    said: list[str] = []
    event.listen(store.talk.engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    for i in range(9):
        assert store.apply([rewrite(f"{i}", "old", "new")]) == [DONE]
    assert sum("count(*)" in one for one in said) == 1, "the catalog is asked once"
    assert not [one for one in said if one.startswith("SELECT note")]


def test_d6_rows_that_a_trigger_refuses_or_keeps_are_problems_and_the_rest_is_done(
    store: SqlRows, notes: Notes
) -> None:
    dialect = notes.engine.dialect.name
    rows = {f"{i:03}": "old" for i in range(200)}
    notes.fill(rows)
    install(notes, TRIGGERS[dialect])
    outcomes = dict(zip(rows, store.apply([rewrite(key, "old", "new") for key in rows]), strict=True))
    kept = {key for key in rows if key.endswith("7") and dialect != "mysql"}
    assert isinstance(refused := outcomes.pop("013"), Problem)
    assert "thirteen is not for sale" in refused.reason
    assert {key for key, outcome in outcomes.items() if outcome is not DONE} == kept
    assert {outcomes[key] for key in kept} <= {sql.UNTAKEN}
    assert notes.all() == dict.fromkeys(rows, "new") | dict.fromkeys({"013", *kept}, "old")


@pytest.mark.parametrize("state", ["ZZ001", "20000", "31001", "U0001"])
@SERVERS
def test_d6_a_row_that_is_refused_with_a_state_of_the_users_own_costs_that_row(
    store: SqlRows, notes: Notes, state: str
) -> None:
    """Seen: the run ended. On MariaDB the number may be the user's own too."""
    notes.fill({f"{i:03}": "old" for i in range(20)})
    number = f", MYSQL_ERRNO = {state}" if state.isdigit() else ""
    own = {
        "postgresql": [
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = '013' THEN "
            f"RAISE 'not for sale' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$",
            TRIGGERS["postgresql"][1],
        ],
        "mysql": [
            "CREATE TRIGGER refuse BEFORE UPDATE ON note FOR EACH ROW IF NEW.id = '013' THEN "
            f"SIGNAL SQLSTATE '{state}' SET MESSAGE_TEXT = 'not for sale'{number}; END IF"
        ],
    }
    notes.run(*own[notes.engine.dialect.name])
    outcomes = store.apply([rewrite(f"{i:03}", "old", "new") for i in range(20)])
    refused = outcomes.pop(13)
    assert isinstance(refused, Problem)
    assert "not for sale" in refused.reason
    assert outcomes == [DONE] * 19


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_d6_a_row_that_is_too_large_for_the_server_is_a_problem(store: SqlRows, notes: Notes) -> None:
    """Rows that are too large only together are done."""
    most = notes.run("SELECT @@max_allowed_packet")[0][0]
    notes.run("ALTER TABLE note MODIFY text longtext")
    notes.fill({f"{i}": "old" for i in range(8)})
    afters = {f"{i}": '"' * (most // 8) for i in range(7)} | {"7": "x" * most}
    outcomes = store.apply([rewrite(key, "old", after) for key, after in afters.items()])
    assert outcomes[:7] == [DONE] * 7
    assert isinstance(outcomes[7], Problem)
    assert "max_allowed_packet" in outcomes[7].reason
    assert notes.run("SELECT length(text) FROM note ORDER BY id") == [(most // 8,)] * 7 + [(3,)]


def test_no_update_of_a_concurrent_writer_is_lost(toys: Any, store: SqlRows, notes: Notes) -> None:
    rows = {f"{i:04}": "old" for i in range(4_000)}
    notes.fill(rows)
    plan = toys.plan(store, lambda *_: Replace({"text": "new"}, "turned"))
    theirs = list(rows)[::20]
    writer = threading.Thread(target=lambda: [notes.__setitem__(key, f"theirs {key}") for key in theirs])
    writer.start()
    tally = toys.apply(plan, store)
    writer.join()
    assert {key: notes[key] for key in theirs} == {key: f"theirs {key}" for key in theirs}
    assert notes.all() == dict.fromkeys(rows, "new") | {key: f"theirs {key}" for key in theirs}
    assert tally.applied + tally.conflicts == len(rows)


@SERVERS
def test_d6_what_does_not_fit_is_refused_and_not_cut_off(database_url: str, notes: Notes) -> None:
    notes.run("DROP TABLE note", "CREATE TABLE note (id varchar(9) PRIMARY KEY, text varchar(5), other text)")
    if "mysql" in database_url:
        notes.run("SET GLOBAL sql_mode = ''")
    store = opened(database_url)
    try:
        notes.fill({"1": "old", "2": "old"})
        outcomes = store.apply([rewrite("1", "old", "new"), rewrite("2", "old", "too long")])
    finally:
        if "mysql" in database_url:
            notes.run("SET GLOBAL sql_mode = DEFAULT")
    assert outcomes[0] is DONE
    assert isinstance(outcomes[1], Problem)
    assert "too long" in outcomes[1].reason
    assert notes.all() == {"1": "new", "2": "old"}
    store.talk.engine.dispose()


# ------------------------------------------------------------------------------------------- broken connections


@pytest.fixture
def proxy(database_url: str) -> Iterator[ChaosProxy]:
    server = urlsplit(database_url)
    with ChaosProxy(server.hostname or "", server.port or 0) as proxy:
        yield proxy


@pytest.fixture
def through(database_url: str, notes: Notes, proxy: ChaosProxy) -> Iterator[SqlRows]:
    """The store, through the proxy."""
    assert not notes
    server = urlsplit(database_url)
    store = opened(database_url.replace(f":{server.port}/", f":{proxy.port}/"))
    yield store
    store.talk.engine.dispose()


@SERVERS
@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize(("way", "then"), [("cut_down", ALREADY), ("cut_up", DONE)])
def test_a_connection_cut_at_commit_is_settled_by_reading(
    through: SqlRows, notes: Notes, proxy: ChaosProxy, way: str, how: Any, then: Outcome
) -> None:
    rows = {f"{i:03}": "old" for i in range(100)}
    notes.fill(rows)
    actions = [rewrite(key, "old", "new") for key in rows]
    proxy.cut_how = how
    event.listen(through.talk.engine, "commit", lambda _: setattr(proxy, way, 0), once=True)
    with pytest.raises(StoreUnavailable, match=r"does not answer: .*Run the command again"):
        through.apply(actions)
    assert proxy.cuts == 1
    assert through.apply(actions) == [then] * 100
    assert notes.all() == dict.fromkeys(rows, "new")


@SERVERS
@pytest.mark.parametrize("way", ["cut_down", "cut_up"])
@pytest.mark.parametrize("after", [1, 50, 300, 2_000, 10_000])
def test_a_connection_cut_anywhere_leaves_all_or_nothing(
    through: SqlRows, notes: Notes, proxy: ChaosProxy, way: str, after: int
) -> None:
    rows = {f"{i:03}": "old" for i in range(200)}
    notes.fill(rows)
    actions = [rewrite(key, "old", "new") for key in rows]
    setattr(proxy, way, after)
    done = set()
    try:
        done |= set(through.apply(actions))
    except StoreUnavailable:
        assert set(notes.all().values()) in ({"old"}, {"new"})
        setattr(proxy, way, None)
        done |= set(through.apply(actions))
    assert done in ({DONE}, {ALREADY})
    assert set(notes.all().values()) == {"new"}


@SERVERS
def test_a_scan_goes_on_where_the_connection_broke(through: SqlRows, notes: Notes, proxy: ChaosProxy) -> None:
    rows = {f"{i:04}": "x" * 100 for i in range(3_000)}
    notes.fill(rows)
    pages = through.scan()
    seen = list(next(pages))
    proxy.cut_down = 20_000
    seen += [record for page in pages for record in page]
    assert proxy.cuts == 1
    assert [key for key, _ in seen] == list(rows)


def broken_at(store: SqlRows, number: int, fault: Callable[[], object]) -> Callable[[], int]:
    """Break the `number`th request that is sent from now on; returns what counts the requests."""
    sent = 0

    def count(*_: object) -> None:
        nonlocal sent
        sent += 1
        if sent == number:
            fault()

    event.listen(store.talk.engine, "before_cursor_execute", count)
    event.listen(store.talk.engine, "commit", count)
    return lambda: sent


@SERVERS
@pytest.mark.parametrize("way", ["cut_up", "cut_down"])
def test_b1_broken_at_each_request_in_turn_what_counts_as_done_is_done(
    through: SqlRows, notes: Notes, proxy: ChaosProxy, way: str
) -> None:
    """A batch of which one row is refused takes many transactions."""
    rows = {f"{i:03}": "old" for i in range(11, 15)}
    actions = [rewrite(key, "old", "new") for key in rows]
    with notes.engine.begin() as connection:
        for statement in TRIGGERS[notes.engine.dialect.name]:
            connection.exec_driver_sql(statement.replace("%", "%%").replace("%%7", "nobody"))
    number, requests, lost = 0, 1, 0
    while number < requests:
        number += 1
        notes.run("DELETE FROM note")
        notes.fill(rows)
        store = opened(through.talk.engine.url.render_as_string(hide_password=False))
        store.count()
        sent = broken_at(store, number, lambda: setattr(proxy, way, 0))
        try:
            outcomes = dict(zip(rows, store.apply(actions), strict=True))
        except StoreUnavailable as failed:
            outcomes, untouched = dict(failed.outcomes), set(failed.untouched)
            lost += 1
            made = {key for key, value in notes.all().items() if value == "new"}
            assert {key for key, outcome in outcomes.items() if outcome is DONE} <= made
            assert not untouched & made
            assert made <= rows.keys() - untouched
            outcomes |= dict(zip(rows, store.apply(actions), strict=True))
        requests = max(requests, sent())
        assert [key for key, outcome in outcomes.items() if isinstance(outcome, Problem)] == ["013"]
        assert notes.all() == dict.fromkeys(rows, "new") | {"013": "old"}
        store.talk.engine.dispose()
    assert lost >= 10


@pytest.fixture
def other_postgres(pytestconfig: pytest.Config) -> Iterator[str]:
    """A second PostgreSQL."""
    kind = KINDS["postgres"]
    found = find(kind)
    assert isinstance(found, Installed)
    running = start(kind, found, pytestconfig.stash[SANDBOX].folder / f"postgres-{uuid4().hex}.json")
    yield running.url
    stop(running)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_failover_to_a_replica_that_lags_begins_the_scan_again(
    toys: Any, through: SqlRows, notes: Notes, proxy: ChaosProxy, other_postgres: str
) -> None:
    """Without that, rows that were read as done already would be overlooked."""
    replica = DatabaseCredentials.from_argument(other_postgres).get_client()
    name = through.talk.engine.url.database
    with replica.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    lagging = Notes(f"{other_postgres.rpartition('/')[0]}/{name}")
    lagging.fill({f"{i:04}": "old" for i in range(4_000)})
    notes.fill({f"{i:04}": "new" for i in range(4_000)})
    judged = []

    def judge(key: Any, row: Any) -> Any:
        judged.append(key)
        if len(judged) == 1_000:
            proxy._server = ("127.0.0.1", urlsplit(other_postgres).port or 0)
            proxy.drop_all()
        return Replace({"text": "new"}, "turned") if row[1] == "old" else Keep("as it should be")

    plan = toys.plan(through, judge)
    assert (plan.counts.scanned, plan.counts.planned) == (4_000, 4_000)
    assert len(judged) > 4_000
    lagging.engine.dispose()
    replica.dispose()


@SERVERS
def test_the_same_server_is_known_by_every_connection(through: SqlRows, proxy: ChaosProxy) -> None:
    server = through.talk.server()
    assert server
    connects = through.talk.connects
    proxy.drop_all()
    assert server.is_same(through.talk.server())
    assert through.talk.connects > connects
    assert not server.is_same(None)
    assert not server.is_same(server._replace(started=server.started + 60))


@SERVERS
def test_a_server_that_is_down_is_said_to_be(through: SqlRows, proxy: ChaosProxy) -> None:
    proxy.refuse()
    with pytest.raises(StoreUnavailable, match=rf"://127.0.0.1:{proxy.port}/test_\w+#note does not answer: "):
        through.count()


# ----------------------------------------------------------------------------------------------------- refusals


def test_a_missing_table_or_column_is_named(store: SqlRows, notes: Notes) -> None:
    notes.run("ALTER TABLE note RENAME COLUMN text TO words")
    with pytest.raises(StoreDenied, match=r"#note refuses: .*text.*Is it the right database"):
        list(store.scan())
    notes.run("DROP TABLE note")
    with pytest.raises(StoreDenied, match=r"#note refuses: .*note.*Is it the right database"):
        store.count()


@pytest.fixture
def user(database_url: str, notes: Notes) -> Iterator[str]:
    """The URL of a user who may read only."""
    name, server = f"u{time.time_ns()}", urlsplit(database_url)
    host = "@'%'" if "mysql" in database_url else ""
    by = "BY" if host else ""
    with_password = f"IDENTIFIED {by} 's3cret'" if host else "LOGIN PASSWORD 's3cret'"
    notes.run(f"CREATE USER {name}{host} {with_password}", f"GRANT SELECT ON note TO {name}{host}")
    yield f"{server.scheme}://{name}:s3cret@{server.hostname}:{server.port}{server.path}"
    notes.run(*([] if host else [f"DROP OWNED BY {name}"]), f"DROP USER {name}{host}")


@SERVERS
def test_a_user_without_rights_is_refused(user: str, notes: Notes) -> None:
    notes["1"] = "old"
    store = opened(user)
    assert seen_by(store) == [("1", "old")]
    with pytest.raises(StoreDenied, match=r"denied.*Correct the user, password or rights"):
        store.apply([rewrite("1", "old", "new")])
    store.talk.engine.dispose()


@SERVERS
def test_a_wrong_password_is_refused_at_once(user: str) -> None:
    if "mysql" not in user:
        user = user.replace("//u", "//nobody")  # the sandbox's PostgreSQL asks for no password
    store = opened(user.replace("s3cret", "wr0ng"))
    with pytest.raises(StoreDenied, match=r"refuses: .*(denied|does not exist)") as refused:
        store.count()
    assert "wr0ng" not in "".join(traceback.format_exception(refused.value))


@SERVERS
def test_a_missing_database_is_refused(database_url: str) -> None:
    with pytest.raises(StoreDenied, match=r"(?i)database.*nowhere"):
        opened(f"{database_url.rpartition('/')[0]}/nowhere").count()


def test_no_error_holds_what_a_row_held(store: SqlRows, notes: Notes) -> None:
    secrets = "s3cret before", "s3cret after"
    notes.run("DROP TABLE note")
    with pytest.raises(StewardError) as failed:
        store.apply([rewrite("1", *secrets)])
    assert "s3cret" not in "".join(traceback.format_exception(failed.value))


@SERVERS
def test_n4_n9_the_right_that_lacks_is_named(user: str, notes: Notes) -> None:
    notes["1"] = "old"
    store = opened(user)
    with pytest.raises(StoreDenied, match=r"The right that lacks: GRANT .*UPDATE.* ON .*note.* TO ") as denied:
        store.apply([rewrite("1", "old", "new")])
    assert set(denied.value.untouched) == {"1"}
    name = urlsplit(user).username
    notes.run(f"REVOKE SELECT ON note FROM {name}" + ("@'%'" if "mysql" in user else ""))
    with pytest.raises(StoreDenied, match=r"(The right that lacks: GRANT SELECT ON .*note|Access denied)"):
        list(store.scan())
    store.talk.engine.dispose()


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_n22_a_password_that_was_not_given_is_bad_input(user: str) -> None:
    with pytest.raises(BadInput, match=r"asks for a password: .*Give one in the URL"):
        opened(user.replace(":s3cret", "")).count()


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_r5_a_user_of_ed25519_may_come_in(database_url: str, notes: Notes) -> None:
    name, server = f"u{time.time_ns()}", urlsplit(database_url)
    installed = notes.run("SELECT count(*) FROM information_schema.plugins WHERE plugin_name = 'ed25519'")[0][0]
    if not installed:
        notes.run("INSTALL SONAME 'auth_ed25519'")
    notes.run(f"CREATE USER {name}@'%' IDENTIFIED VIA ed25519 USING PASSWORD('s3cret')")
    notes.run(f"GRANT SELECT ON note TO {name}@'%'")
    store = opened(f"mysql://{name}:s3cret@{server.hostname}:{server.port}{server.path}")
    assert store.count() == 0
    store.talk.engine.dispose()
    notes.run(f"DROP USER {name}@'%'")


@pytest.mark.parametrize("error", [RuntimeError, TypeError, AttributeError])
@pytest.mark.parametrize("at", ["do_connect", "before_cursor_execute", "commit"])
def test_k4_whatever_the_driver_raises_is_one_of_our_errors(
    database_url: str, notes: Notes, at: str, error: type[Exception]
) -> None:
    notes["1"] = "old"
    store = opened(database_url)

    def broken(*_: object, **__: object) -> None:
        raise error("out of the blue")

    event.listen(store.talk.engine, at, broken)
    uses: list[Callable[[], object]] = [lambda: store.apply([rewrite("1", "old", "new")])]
    if at != "commit":
        uses.append(lambda: list(store.scan()))
    for use in uses:
        with pytest.raises(StoreFailed, match=rf"#note: {error.__name__}: out of the blue$") as failed:
            use()
        assert failed.value.exit_status == 1
    store.talk.engine.dispose()
    assert notes["1"] == "old"


# ------------------------------------------------------------------------------------------------------- SQLite


def test_s12_a_missing_file_is_bad_input_and_not_created(tmp_path: Any) -> None:
    with pytest.raises(BadInput, match=r"absent.db#note: unable to open.*Nothing was created"):
        opened(f"sqlite:{tmp_path}/absent.db").count()
    assert not list(tmp_path.iterdir())


def test_a_folder_or_another_kind_of_file_is_bad_input(tmp_path: Any) -> None:
    (tmp_path / "text").write_text("no database " * 100)
    for name in ("", "text"):
        with pytest.raises(BadInput, match=r"(unable to open|not a database).*Is the path right"):
            opened(f"sqlite:{tmp_path}/{name}").count()
    assert (tmp_path / "text").read_text() == "no database " * 100


@pytest.fixture
def file(tmp_path: Any) -> Iterator[Notes]:
    path = tmp_path / "notes.db"
    path.touch()
    notes = Notes(f"sqlite:{path}")
    notes.fill({f"{i:03}": "old" for i in range(100)})
    yield notes
    notes.engine.dispose()


def file_of(notes: Notes) -> str:
    return f"sqlite:{notes.engine.url.database}"


NUMBERED = table("note", column("id", String), column("text", Text), column("rowid", Integer))


def numbered(notes: Notes) -> SqlRows:
    rows = select(NUMBERED.c.id, NUMBERED.c.text)
    return SqlRows(notes.engine, "here", rows, NUMBERED.c.id, NUMBERED.c.text, rowid=NUMBERED.c.rowid)


def test_with_its_rowid_a_file_is_read_as_it_lies_on_the_disk(file: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "FIRST_PAGE", 7)
    monkeypatch.setattr(sql, "MOST_ROWS", 9)
    rows = {f"{i * 37 % 101:03}": "later" for i in range(101)}
    file.clear()
    file.fill(rows)
    store = numbered(file)
    assert seen_by(store) == list(rows.items())
    assert store.apply([rewrite(key, "later", "new") for key in rows]) == [DONE] * 101
    assert file.all() == dict.fromkeys(rows, "new")


def test_rows_numbered_anew_meanwhile_are_not_overlooked(file: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "FIRST_PAGE", 10)
    file.run("DELETE FROM note WHERE id < '050'")
    pages = numbered(file).scan()
    next(pages)
    with file.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM"))
    with pytest.raises(ScanBroken, match=r"here#note was vacuumed "):
        list(pages)


@SERVERS
def test_a_server_has_no_rowid_and_is_read_by_key(notes: Notes) -> None:
    notes.fill({"2": "b", "1": "a"})
    assert seen_by(numbered(notes)) == [("1", "a"), ("2", "b")]


def test_a_file_that_cannot_be_written_can_be_planned_for(file: Notes) -> None:
    store = opened(f"{file_of(file)}?mode=ro")
    assert store.count() == 100
    with pytest.raises(StoreDenied, match=r"readonly database.*read and planned for"):
        store.apply([rewrite("001", "old", "new")])


def test_a_full_disk_takes_the_batch_back(file: Notes) -> None:
    store = opened(file_of(file))
    event.listen(store.talk.engine, "connect", lambda one, _: one.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(StoreDenied, match=r"full.*Make room"):
        store.apply([rewrite(f"{i:03}", "old", "new" * 10_000) for i in range(100)])
    assert set(file.all().values()) == {"old"}


def test_a_text_with_a_nul_is_rewritten_whole(file: Notes) -> None:
    file["001"] = "a\0b"
    store = opened(file_of(file))
    assert store.apply([rewrite("001", "a\0b", "c\0d"), rewrite("002", "old", "\0")]) == [DONE, DONE]
    assert (file["001"], file["002"]) == ("c\0d", "\0")


def test_a_text_that_is_none_is_refused_without_its_content(file: Notes) -> None:
    file.run("UPDATE note SET text = CAST(x'ff' || 's3cret' AS TEXT) WHERE id = '050'")
    with pytest.raises(StoreDenied, match="Could not decode to UTF-8 column 'text'") as refused:
        list(opened(file_of(file)).scan())
    assert "s3cret" not in str(refused.value)

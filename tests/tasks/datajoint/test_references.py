"""References are found wherever they live, and what cannot be read in full stops the run."""

import tracemalloc
from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from sandbox import ChaosProxy
from tasks.changes.errors import SourceUnreadable
from tasks.datajoint.grammar import Grammar
from tasks.datajoint.namespaces import Namespace
from tasks.datajoint.references import Known, References
from tasks.datajoint.sources import Source

HASH = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32
DIGEST = "wxoyolcva2d3ahestrwypvbmn4"
OBJECT = "_schema/lab/session/subject=4/day=1/scan_BSdaNi6o"
GRAMMAR = Grammar(Namespace(schemas=("lab",)))


def known(*sources: Source) -> Known:
    return References(sources, GRAMMAR).read()


def covers(found: Known, path: str) -> bool:
    return found.covers(path, GRAMMAR.read(path))


def test_tracking_tables_name_blobs_and_attachments_by_hash_and_filepaths_by_path(lab: Any) -> None:
    lab.track("main", HASH, name="été & <b>.txt")
    lab.track("main", OTHER, path="raw/a b.dat")
    grammar = Grammar(Namespace(schemas=(lab.name,)))
    found = References([lab.source()], grammar).read()
    for path in (f"{lab.name}/01/23/{HASH}", f"{lab.name}/{HASH}.anything.at.all", "raw/a b.dat"):
        assert found.covers(path, grammar.read(path))
    for path in (f"{lab.name}/01/23/{HASH[::-1]}", "raw/a", "raw/a b.dat2", f"another/{HASH}"):
        assert not found.covers(path, grammar.read(path))
    assert found.counts == {("mysql", f"{lab.name} (legacy)"): 2}


def test_a6_a_blob_migrated_from_0_11_is_referenced_by_its_path(lab: Any) -> None:
    old = "Zt3n0vXq-4h0FQe_5cC0p9yOeGmX1sR7uJkLwA2bD8E"
    lab.track("main", HASH, path=f"lab/{old}")
    assert covers(known(lab.source()), f"lab/{old}")


def test_the_tracking_table_of_0_11_is_read_too(lab: Any) -> None:
    old = "Zt3n0vXq-4h0FQe_5cC0p9yOeGmX1sR7uJkLwA2bD8Emain"
    lab.track("main")
    lab.run(f"CREATE TABLE {lab.full('~external')} (hash char(51) PRIMARY KEY, size bigint)")
    lab.run(f"INSERT INTO {lab.full('~external')} VALUES (%s, 1)", old)
    grammar = Grammar(Namespace(schemas=(lab.name,)))
    found = References([lab.source()], grammar)
    path = f"{lab.name}/{old}"
    assert found.read().covers(path, grammar.read(path))
    assert found.still([path, path + "x"]) == {path}


@pytest.mark.parametrize("codec", ["<blob@main>", "<attach@main>", "<hash@main>", "<object@>", "< npy @ main >"])
@pytest.mark.parametrize("type_", [None, "text"])
def test_columns_are_found_by_their_comment_not_by_their_type(schema: Any, codec: str, type_: str | None) -> None:
    schema.column(codec, f"_hash/lab/{DIGEST}", None, type_=type_)
    found = known(schema.source())
    assert covers(found, f"_hash/lab/{DIGEST}")
    assert not covers(found, f"_hash/lab/{DIGEST[::-1]}")
    assert found.counts == {(schema.source().name, f"{schema.name} (2)"): 1}


def test_columns_that_keep_their_values_in_the_table_are_not_read(schema: Any) -> None:
    schema.column("<blob@main>", f"_hash/lab/{DIGEST}")
    schema.column("<blob>", type_="bytea" if schema.is_postgres else "longblob")
    schema.column("<attach>", {"no": "path"})
    schema.column("<graph>", type_="bytea" if schema.is_postgres else "longblob")
    schema.column("json", {"no": "path"})
    assert len(known(schema.source()).names) == 1


def test_an_object_and_all_in_it_are_referenced_by_its_path(schema: Any) -> None:
    schema.column("<object@main>", {"path": f"/{OBJECT}/", "store": "main", "is_dir": True})
    found = known(schema.source())
    assert all(covers(found, f"{OBJECT}{rest}") for rest in ("", "/.zattrs", "/chunks/0.0", ".manifest.json"))
    assert not any(covers(found, f"{OBJECT}{rest}") for rest in ("2", ".npy", "x/.zattrs"))


@pytest.mark.parametrize("store", ["main", "alias", "", None, "never heard of"])
def test_p2_a12_a_reference_counts_whatever_name_its_store_has(schema: Any, store: str | None) -> None:
    schema.column("<blob@main>")
    schema.column(f"<blob@{store or ''}>", {"path": f"_hash/lab/{DIGEST}", "store": store})
    assert covers(known(schema.source()), f"_hash/lab/{DIGEST}")


def test_p2_a12_tracking_tables_of_other_stores_count_too(lab: Any) -> None:
    lab.track("main", HASH)
    lab.track("alias", OTHER)
    grammar = Grammar(Namespace(schemas=(lab.name,)))
    found = References([lab.source()], grammar).read()
    assert found.covers(f"{lab.name}/ff/ff/{OTHER}", grammar.read(f"{lab.name}/ff/ff/{OTHER}"))
    assert found.counts.total() == 1, "only what the declared stores reference says whether they are empty"


def test_a12_two_servers_are_united(schemas: Any, mariadb: Engine, postgres: Engine) -> None:
    one = schemas(mariadb)
    two = schemas(postgres, one.name)
    one.track("main", HASH)
    two.column("<blob@other>", f"_hash/{one.name}/{DIGEST}")
    grammar = Grammar(Namespace(schemas=(one.name,)))
    references = References([one.source(), two.source("other")], grammar)
    paths = [f"{one.name}/01/23/{HASH}", f"_hash/{one.name}/{DIGEST}", f"{one.name}/ff/ff/{OTHER}"]
    assert [references.read().covers(path, grammar.read(path)) for path in paths] == [True, True, False]
    assert references.still(paths) == set(paths[:2])


NO_PATH = [{}, {"path": None}, {"path": ""}, {"path": "/"}, {"path": 5}, {"url": "s3://x"}, {"paths": ["a"]}, [], 7]


@pytest.mark.parametrize("stored", NO_PATH)
def test_a_row_whose_json_has_no_path_stops_the_run(schema: Any, stored: object) -> None:
    table = schema.column("<blob@main>", None, f"_hash/lab/{DIGEST}", stored)
    with pytest.raises(SourceUnreadable, match=f"{schema.name}.{table}.value names no path"):
        known(schema.source())


@pytest.mark.parametrize("comment", ["<zarr@main>", "<zarr@>", "<zarr>", "<", "<blob@main", "<>"])
def test_p7_a8_a_codec_that_nobody_knows_stops_the_run(schema: Any, comment: str) -> None:
    schema.column("<blob@main>", f"_hash/lab/{DIGEST}")
    schema.column(comment, OBJECT)
    with pytest.raises(SourceUnreadable, match="codec that Steward does not know"):
        known(schema.source())


@pytest.mark.parametrize("comment", ["<zarr@main>", "<zarr>"])
def test_p7_a_codec_of_ones_own_is_read_where_it_is_declared(schema: Any, comment: str) -> None:
    schema.column("<blob@main>")
    schema.column(comment, OBJECT) if "@" in comment else schema.column(comment)
    found = known(schema.source(codecs=frozenset({"zarr"})))
    assert covers(found, f"{OBJECT}/.zattrs") == ("@" in comment)


def test_a8_r14_a_missing_schema_stops_the_run_and_the_grant_is_the_database_s_own(schema: Any) -> None:
    schema.column()
    missing = Source(
        name="lab server", engine=schema.engine, schemas=(schema.name, "nowhere"), stores=frozenset({"main"})
    )
    with pytest.raises(SourceUnreadable, match="no schema nowhere on lab server") as refused:
        known(missing)
    r14 = 'GRANT USAGE ON SCHEMA "nowhere" TO …' if schema.is_postgres else "GRANT SELECT ON `nowhere`.* TO …"
    assert r14 in str(refused.value)


def test_a8_a_schema_without_the_declared_store_stops_the_run(schema: Any) -> None:
    schema.column("<blob@other>")
    if not schema.is_postgres:
        schema.track("another")
    with pytest.raises(SourceUnreadable, match="neither a tracking table nor a column of the store main"):
        known(schema.source())


def test_p1_a8_a_table_that_may_not_be_read_stops_the_run(schema: Any, user: Callable[..., Engine]) -> None:
    table = schema.column("<blob@main>", f"_hash/lab/{DIGEST}")
    schema.column("<blob@main>", OBJECT)
    grants = [f"SELECT ON {schema.full(table)}"]
    if schema.is_postgres:
        grants.append(f"USAGE ON SCHEMA {schema.name}")
    with pytest.raises(SourceUnreadable, match=r"permission denied|no SELECT on the whole of it"):
        known(schema.source(engine=user(schema, *grants)))


def test_p1_who_may_read_the_whole_schema_and_no_more_reads_it(schema: Any, user: Callable[..., Engine]) -> None:
    schema.column("<blob@main>", f"_hash/lab/{DIGEST}")
    grants = [f"SELECT ON {schema.quoted(schema.name)}.*"]
    if schema.is_postgres:
        grants = [f"USAGE ON SCHEMA {schema.name}", f"SELECT ON ALL TABLES IN SCHEMA {schema.name}"]
    assert covers(known(schema.source(engine=user(schema, *grants))), f"_hash/lab/{DIGEST}")


def test_p1_rows_that_a_policy_hides_stop_the_run(schemas: Any, postgres: Engine, user: Callable[..., Engine]) -> None:
    schema = schemas(postgres)
    table = schema.column("<blob@main>", f"_hash/lab/{DIGEST}")
    schema.run(f"ALTER TABLE {schema.full(table)} ENABLE ROW LEVEL SECURITY")
    engine = user(schema, f"USAGE ON SCHEMA {schema.name}", f"SELECT ON {schema.full(table)}")
    with pytest.raises(SourceUnreadable, match="row-level security"):
        known(schema.source(engine=engine))


def test_a_limit_that_the_server_sets_does_not_hold_rows_back(lab: Any) -> None:
    lab.column("<blob@main>", *(f"raw/{n}" for n in range(5)))
    lab.run("SET GLOBAL sql_select_limit = 2")
    try:
        assert len(known(lab.source()).names) == 5
    finally:
        lab.run("SET GLOBAL sql_select_limit = DEFAULT")


def test_a8_a_wrong_password_stops_the_run(lab: Any, user: Callable[..., Engine]) -> None:
    wrong = create_engine(user(lab).url.set(password="secret-but-wrong"))
    with pytest.raises(SourceUnreadable) as caught:
        known(lab.source(engine=wrong))
    assert "secret" not in str(caught.value)


@pytest.fixture
def many(schema: Any) -> Any:
    """A schema with references of several megabytes."""
    table = schema.column("<object@main>")
    path = "concat('{\"path\": \"raw/', n, '\"}')"
    if schema.is_postgres:
        source = "SELECT generate_series(1, 20000) AS n"
        schema.run(f"INSERT INTO {schema.full(table)} (value) SELECT {path}::jsonb FROM ({source}) AS numbers")
    else:
        schema.run(
            f"INSERT INTO {schema.full(table)} (value) SELECT {path} FROM (SELECT seq AS n FROM seq_1_to_20000) AS s"
        )
    return schema


def through(source: Source, proxy: ChaosProxy) -> Engine:
    return create_engine(source.engine.url.set(host="127.0.0.1", port=proxy.port))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # PyMySQL reads on while it is collected
@pytest.mark.parametrize("how", ["rst", "fin"])
def test_a8_a_connection_cut_in_mid_read_stops_the_run(many: Any, how: Any) -> None:
    source = many.source()
    with ChaosProxy(source.engine.url.host or "", source.engine.url.port or 0) as proxy:
        whole = many.source(engine=through(source, proxy))
        assert len(known(whole).names) == 20_000
        passed = proxy.passed["down"]
        for part in (0.01, 0.5, 0.9):
            proxy.cut_down, proxy.cut_how = int(passed * part), how
            whole.engine.dispose()
            with pytest.raises(SourceUnreadable, match="could not be read in full"):
                known(whole)
        assert proxy.cuts == 3


def test_references_take_little_memory(many: Any) -> None:
    known(many.source())  # what is only made once does not count
    tracemalloc.start()
    found = known(many.source())
    taken, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.names) == 20_000
    assert taken < 3 << 20  # bytes; most of it are 16,384 arrays that hold next to nothing here
    assert most < 16 << 20


def test_what_of_a_batch_is_referenced_now_is_asked_anew(schema: Any) -> None:
    table = schema.column("<blob@main>", f"_hash/lab/{DIGEST}")
    references = References([schema.source()], GRAMMAR)
    paths = [
        f"_hash/lab/{DIGEST}",
        f"_hash/lab/wx/oy/{DIGEST}",
        f"{OBJECT}/.zattrs",
        f"{OBJECT}.manifest.json",
        "raw/x",
    ]
    assert references.still(paths) == set(paths[:2])
    schema.store(table, OBJECT, "raw")
    assert references.still(paths) == set(paths)
    assert references.still([]) == set()


@pytest.mark.parametrize("type_", [None, "text"])
@pytest.mark.parametrize("written", ["{}", "/{}", "{}/"])
def test_what_is_asked_anew_is_found_whatever_the_type_and_the_slashes(schema: Any, type_: str, written: str) -> None:
    schema.column("<object@main>", written.format(OBJECT), type_=type_)
    assert References([schema.source()], GRAMMAR).still([f"{OBJECT}/.zattrs"]) == {f"{OBJECT}/.zattrs"}


def test_what_of_a_batch_is_tracked_now_is_asked_anew(lab: Any) -> None:
    lab.track("main")
    grammar = Grammar(Namespace(schemas=(lab.name,)))
    references = References([lab.source()], grammar)
    paths = [f"{lab.name}/01/23/{HASH}", f"{lab.name}/{HASH}.x", "raw/a b.dat", f"{lab.name}/ff/ff/{OTHER}"]
    assert references.still(paths) == set()
    lab.track("main", HASH)
    lab.track("new store", md5(b"raw/a b.dat").hexdigest(), path="raw/a b.dat")
    assert references.still(paths) == set(paths[:3])


def test_a_batch_of_a_thousand_is_asked_at_once(many: Any) -> None:
    paths = [f"raw/{n}" for n in range(19_500, 20_500)]
    assert References([many.source()], GRAMMAR).still(paths) == set(paths[:501])


def test_a8_a_batch_whose_source_went_away_stops_the_run(schema: Any) -> None:
    schema.column("<blob@main>")
    source = schema.source()
    with ChaosProxy(source.engine.url.host or "", source.engine.url.port or 0) as proxy:
        references = References([schema.source(engine=through(source, proxy))], GRAMMAR)
        references.still(["raw/x"])
        proxy.mode = "reset"
        with pytest.raises(SourceUnreadable):
            references.still(["raw/x"])

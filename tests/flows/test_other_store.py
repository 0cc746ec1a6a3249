"""A plan is for its own store: another one at the same address is refused, the same one restarted is not."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Gone
from redis.retry import Retry
from sqlalchemy import text

from blocks.database_credentials import DatabaseCredentials
from flows.apply import apply
from flows.batch_search_migrate import batch_search_migrate
from flows.undo import undo
from sandbox import KINDS
from sandbox.chaos import ChaosProxy
from tasks.changes.errors import OtherStore
from tasks.changes.plan import open_plan
from tasks.changes.protocols import Identity
from tasks.changes.report import Report
from tasks.datashare.batch_searches import open_batch_searches
from tests.conftest import SANDBOX
from tests.flows.conftest import Command, Datashare
from tests.flows.test_batch_search_migrate import Searches
from tests.own_server import OwnServer

RDB = ("--save", "3600 1", "--appendonly", "no")
AOF = ("--save", "", "--appendonly", "yes", "--aof-use-rdb-preamble", "no")
Servers = Callable[..., OwnServer]


@pytest.fixture
def servers(pytestconfig: pytest.Config) -> Iterator[Servers]:
    """Start servers of the test's own, where PostgreSQL may read as nobody."""
    folder = pytestconfig.stash[SANDBOX].folder
    started: list[OwnServer] = []

    def start(name: str, *options: str) -> OwnServer:
        started.append(OwnServer(name, folder / f"{name}-{uuid4().hex}.json", *options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def datashare_on(url: str, folder: Path) -> Datashare:
    """Two hundred downloads whose archives are gone, and as many whose are there."""
    folder.mkdir(exist_ok=True)
    found = Datashare(Redis.from_url(url, retry=Retry(NoBackoff(), 0)), url, "ds:task:manager", folder)
    found.present(200)
    found.gone(200)
    return found


def take_back(plan: str, datashare: Datashare, **options: Any) -> Report:
    return undo(plan, datashare.credentials, **options)


def test_undo_into_an_emptied_server_is_refused(servers: Servers, tmp_path: Path) -> None:
    """Seen: 200 records were put back into a server that holds none of the others."""
    datashare = datashare_on(servers("redis").url, tmp_path / "archives")
    plan = datashare.clean(max_fraction=1.0).plan
    datashare.redis.flushall()
    with pytest.raises(OtherStore, match="holds 0 records, less than half of the 200 that it should") as refused:
        take_back(plan, datashare)
    assert refused.value.exit_status == 3
    assert "Nothing has changed. If this is the store that is meant: steward undo " in str(refused.value)
    assert refused.value.report
    assert datashare.tasks == set()
    assert take_back(plan, datashare, other_store=True).applied == 200


@pytest.mark.parametrize("flow", [apply, undo])
def test_another_server_at_the_same_address_is_refused(
    servers: Servers, tmp_path: Path, flow: Callable[..., Report]
) -> None:
    first = servers("redis")
    datashare = datashare_on(first.url, tmp_path / "archives")
    plan = (datashare.plan() if flow is apply else datashare.clean()).plan
    other = first.replaced("other")
    try:
        before = datashare_on(other.url, tmp_path / "archives").everything()
        with pytest.raises(OtherStore, match=r"is another store than the one .* its run_id is"):
            flow(plan, datashare.credentials)
        assert datashare.everything() == before
        assert flow(plan, datashare.credentials, other_store=True).planned == 200
    finally:
        other.stop()


@pytest.mark.parametrize("options", [RDB, AOF], ids=["with its replication id", "without"])
def test_the_same_server_restarted_is_no_other(servers: Servers, tmp_path: Path, options: tuple[str, ...]) -> None:
    server = servers("redis", *options)
    datashare = datashare_on(server.url, tmp_path / "archives")
    before = datashare.everything()
    plan = datashare.plan().plan
    server.restart()
    assert apply(plan, datashare.credentials).applied == 200
    server.restart()
    assert take_back(plan, datashare).applied == 200
    assert datashare.everything() == before


def test_a_server_that_lost_its_data_in_a_restart_is_refused(servers: Servers, tmp_path: Path) -> None:
    server = servers("redis")
    datashare = datashare_on(server.url, tmp_path / "archives")
    plan = datashare.clean().plan
    server.restart()
    with pytest.raises(OtherStore, match="holds 0 records"):
        take_back(plan, datashare)
    assert datashare.tasks == set()


@pytest.mark.parametrize("flow", [apply, undo])
def test_other_records_in_the_place_of_those_that_were_lost_are_another_store(
    servers: Servers, tmp_path: Path, flow: Callable[..., Report]
) -> None:
    """Seen: 30 of 70 records were put back among 60 that have nothing to do with them; only their number was right."""
    server = servers("redis")
    datashare = Datashare(Redis.from_url(server.url), server.url, "ds:task:manager", tmp_path)
    datashare.present(40)
    datashare.gone(30)
    plan = (datashare.plan() if flow is apply else datashare.clean()).plan
    assert len(open_plan(plan).counts.anchors) == 20
    server.restart()
    datashare.redis.hset("ds:task:manager", mapping={f"other {i}": "{}" for i in range(60)})
    if flow is apply:
        datashare.gone(30)
    before = datashare.everything()
    with pytest.raises(OtherStore, match="20 of 20 records that the plan left alone are gone from "):
        flow(plan, datashare.credentials)
    assert datashare.everything() == before


def test_half_of_the_others_may_be_gone_meanwhile(servers: Servers, tmp_path: Path) -> None:
    server = servers("redis", *AOF)
    datashare = Datashare(Redis.from_url(server.url), server.url, "ds:task:manager", tmp_path)
    datashare.present(40)
    datashare.gone(30)
    plan = datashare.clean().plan
    datashare.redis.hdel("ds:task:manager", *open_plan(plan).counts.anchors[:10])
    server.restart()
    assert take_back(plan, datashare).applied == 30


def test_a_replica_that_took_over_is_no_other(servers: Servers, tmp_path: Path) -> None:
    """It was a replica when the plan was made: a first replica gives its master a new id."""
    master, replica = servers("redis", "--repl-diskless-sync-delay", "0"), servers("redis")
    promoted = Redis.from_url(replica.url)
    promoted.replicaof("127.0.0.1", str(master.port))
    while promoted.info("replication")["master_link_status"] != "up":
        pass
    with ChaosProxy("127.0.0.1", master.port) as proxy:
        datashare = datashare_on(f"redis://127.0.0.1:{proxy.port}/0", tmp_path / "archives")
        plan = datashare.plan().plan
        assert Redis.from_url(master.url).execute_command("WAIT", 1, 10_000) == 1
        promoted.replicaof("NO", "ONE")
        master.stop()
        proxy._server = ("127.0.0.1", replica.port)
        with suppress(Gone):
            datashare.redis.ping()
        assert apply(plan, datashare.credentials).applied == 200
        assert take_back(plan, datashare).applied == 200


def test_k2_a_login_that_may_not_ask_for_ids_goes_by_what_is_there(servers: Servers, tmp_path: Path) -> None:
    server = servers("redis")
    datashare = datashare_on(server.url, tmp_path / "archives")
    datashare.redis.acl_setuser(
        "only", enabled=True, nopass=True, keys=["ds:*"], commands=["+@all", "-info", "-config"]
    )
    datashare.url = server.url.replace("://", "://only:any@")
    plan = datashare.clean().plan
    assert open_plan(plan).header.identity.ids == {}
    assert take_back(plan, datashare).applied == 200
    datashare.redis.flushall()
    with pytest.raises(OtherStore, match="holds 0 records"):
        take_back(plan, datashare)


def test_the_runs_own_changes_are_for_its_own_store(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours may pass between the plan and its approval."""
    first = servers("redis")
    datashare = datashare_on(first.url, tmp_path / "archives")
    others: list[OwnServer] = []

    def while_it_waits(*_: Any) -> None:
        others.append(first.replaced("other"))
        datashare_on(others[0].url, tmp_path / "archives")

    monkeypatch.setattr("flows.hmap_clean.ask_approval", while_it_waits)
    try:
        with pytest.raises(OtherStore):
            datashare.clean(approve=True)
        assert len(datashare.tasks) == 400
    finally:
        others[0].stop()


def test_the_command_ends_with_3_and_says_what_to_do(command: Command, servers: Servers, tmp_path: Path) -> None:
    datashare = datashare_on(servers("redis").url, tmp_path / "archives")
    plan = datashare.clean().plan
    datashare.redis.flushall()
    done = command("steward", "undo", plan, datashare.url)
    assert done.returncode == 3
    assert "less than half of the 200 that it should" in done.stderr
    assert "--other-store" in done.stderr
    again = command("steward", "undo", plan, datashare.url, "--other-store")
    assert again.returncode == 0
    assert len(datashare.tasks) == 200


# ------------------------------------------------------------------------------------------------------ databases


@pytest.fixture
def searches(database_url: str) -> Searches:
    found = Searches(database_url)
    found.fill(40)
    return found


def plan_of(searches: Searches) -> str:
    return batch_search_migrate(searches.credentials, dry_run=True).plan


@pytest.mark.parametrize("flow", [apply, undo])
def test_a_table_that_holds_less_than_half_is_refused(searches: Searches, flow: Callable[..., Report]) -> None:
    plan = plan_of(searches)
    if flow is undo:
        apply(plan, searches.credentials)
    searches.run("DELETE FROM task WHERE id >= '000015'")
    before = searches.results
    with pytest.raises(OtherStore, match="holds 15 records, less than half of the 40"):
        flow(plan, searches.credentials)
    assert searches.results == before
    assert flow(plan, searches.credentials, other_store=True).applied == 15


@pytest.mark.parametrize("database_url", ["sqlite", "mariadb"], indirect=True)
def test_a_table_of_other_records_is_refused_where_no_id_proves_it_the_same(searches: Searches) -> None:
    plan = plan_of(searches)
    searches.run("UPDATE task SET id = REPLACE(id, '0000', 'x')")
    with pytest.raises(OtherStore, match="20 of 20 records of the plan that were looked at are gone"):
        apply(plan, searches.credentials)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_database_made_anew_under_the_same_name_is_another(searches: Searches, postgres_url: str) -> None:
    plan = plan_of(searches)
    searches.engine.dispose()
    name = searches.url.rpartition("/")[2]
    with DatabaseCredentials.from_argument(postgres_url).get_client().connect() as connection:
        anywhere = connection.execution_options(isolation_level="AUTOCOMMIT")
        anywhere.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        anywhere.execute(text(f"CREATE DATABASE {name}"))
    anew = Searches(searches.url)
    anew.fill(40)
    with pytest.raises(OtherStore, match="its system_identifier is"):
        apply(plan, anew.credentials)


@pytest.mark.parametrize("option", ["currentSchema=s2", "options=-csearch_path%3Ds2"])
@pytest.mark.parametrize("flow", [apply, undo])
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_another_schema_of_the_same_database_is_another_store(
    database_url: str, flow: Callable[..., Report], option: str
) -> None:
    """Seen: a plan made for s1 was applied in s2, which the search path of another URL leads to."""
    with DatabaseCredentials.from_argument(database_url).get_client().begin() as connection:
        connection.execute(text("CREATE SCHEMA s1"))
        connection.execute(text("CREATE SCHEMA s2"))
    mine, other = Searches(f"{database_url}?currentSchema=s1"), Searches(f"{database_url}?{option}")
    mine.fill(20)
    other.fill(20)
    plan = plan_of(mine)
    if flow is undo:
        apply(plan, mine.credentials)
        apply(plan_of(other), other.credentials)
    before = other.results
    with pytest.raises(OtherStore, match=r"its system_identifier is \d+/\d+/s2, not \d+/\d+/s1"):
        flow(plan, other.credentials)
    assert other.results == before
    assert flow(plan, mine.credentials).applied == 20


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_plan_that_knows_no_schema_is_for_any_of_its_database(
    searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As plans were made before."""
    knew = (
        "SELECT system_identifier || '/' || oid FROM pg_control_system(), pg_database "
        "WHERE datname = current_database() AND coalesce(:table, '') IS NOT NULL"
    )
    with monkeypatch.context() as before:
        before.setattr("tasks.stores.sql_identity.POSTGRESQL", text(knew))
        plan = plan_of(searches)
    assert open_plan(plan).header.identity.ids["system_identifier"].count("/") == 1
    assert apply(plan, searches.credentials).applied == 40


@pytest.mark.parametrize("kind", [name for name in KINDS if name in ("postgres", "mariadb")])
def test_a_database_server_restarted_is_no_other(servers: Servers, kind: str) -> None:
    server = servers(kind)
    with DatabaseCredentials.from_argument(server.url).get_client().connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("CREATE DATABASE datashare"))
    searches = Searches(f"{server.url.rpartition('/')[0]}/datashare")
    searches.fill(20)
    before = searches.results
    plan = plan_of(searches)
    searches.engine.dispose()
    server.restart()
    assert apply(plan, searches.credentials).applied == 20
    assert undo(plan, searches.credentials).applied == 20
    assert searches.results == before


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_every_role_may_ask_postgresql_for_its_id(searches: Searches) -> None:
    searches.run("DROP ROLE IF EXISTS asks_only")
    searches.run("CREATE ROLE asks_only LOGIN")
    try:
        login = searches.url.replace("postgres@", "asks_only@")
        as_owner, as_role = (
            open_batch_searches(DatabaseCredentials.from_argument(url).get_client(), "here").identity()
            for url in (searches.url, login)
        )
        assert as_role == as_owner != Identity()
    finally:
        searches.run("DROP ROLE asks_only")

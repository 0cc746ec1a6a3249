"""Schemas with references of both generations on real servers, and listings to judge by them."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from sqlalchemy import Engine, NullPool, create_engine, make_url

from tasks.changes.protocols import Key, Verdict
from tasks.datajoint.grammar import Grammar
from tasks.datajoint.namespaces import Namespace
from tasks.datajoint.orphans import Unreferenced
from tasks.datajoint.references import References
from tasks.datajoint.sources import Source

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DRIVERS = {"mysql": "mysql+pymysql", "postgresql": "postgresql+psycopg"}
TRACKING = """(
  hash binary(16) NOT NULL COMMENT ':uuid:hash of contents', size bigint unsigned NOT NULL,
  attachment_name varchar(255) NULL, filepath varchar(1000) NULL, contents_hash binary(16) NULL,
  timestamp timestamp NOT NULL DEFAULT current_timestamp(), PRIMARY KEY (hash))"""


class Listed(NamedTuple):
    """What the listing of an object store says of an object."""

    size: int = 10
    etag: str = "etag"
    modified: datetime = NOW


class Schema:
    """A schema of its own on a real server, filled by hand as DataJoint does it."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name
        self.is_postgres = engine.dialect.name == "postgresql"
        self.columns = 0
        self.run(f"CREATE SCHEMA {self.quoted(name)}")

    def quoted(self, name: str) -> str:
        return self.engine.dialect.identifier_preparer.quote_identifier(name)

    def full(self, table: str) -> str:
        return f"{self.quoted(self.name)}.{self.quoted(table)}"

    def run(self, statement: str, *values: Any) -> None:
        with self.engine.begin() as connection:
            if values:
                connection.exec_driver_sql(statement, values)
            else:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def run_many(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            with self.engine.begin() as connection:
                connection.exec_driver_sql(statement, rows)  # type: ignore[arg-type]  # a list of tuples, too

    def drop(self) -> None:
        self.run(f"DROP SCHEMA IF EXISTS {self.quoted(self.name)}" + (" CASCADE" if self.is_postgres else ""))

    def track(self, store: str = "main", *hashes: str, name: str | None = None, path: str | None = None) -> None:
        """Make the tracking table of a store, and rows in it."""
        table = self.full(f"~external_{store}")
        self.run(f"CREATE TABLE IF NOT EXISTS {table} {TRACKING}")
        insert = f"INSERT INTO {table} (hash, size, attachment_name, filepath) VALUES (%s, 1, %s, %s)"
        self.run_many(insert, [(bytes.fromhex(one), name, path) for one in hashes])

    def column(self, codec: str = "<blob@main>", *stored: object, type_: str | None = None) -> str:
        """Make a table with a column of a codec, and rows in it; give its name."""
        self.columns += 1
        table, kind = f"t{self.columns}", type_ or ("jsonb" if self.is_postgres else "longtext")
        comment = f"COMMENT ':{codec}:what it is'"
        self.run(f"CREATE TABLE {self.full(table)} (id serial, value {kind} {'' if self.is_postgres else comment})")
        if self.is_postgres:
            self.run(f"COMMENT ON COLUMN {self.full(table)}.value IS ':{codec}:what it is'")
        self.store(table, *stored)
        return table

    def store(self, table: str, *stored: object) -> None:
        given = [{"path": one, "store": "main"} if isinstance(one, str) else one for one in stored]
        values = [(None if one is None else json.dumps(one),) for one in given]
        self.run_many(f"INSERT INTO {self.full(table)} (value) VALUES (%s)", values)

    def source(self, *stores: str, **options: Any) -> Source:
        """Declare the schema as a source of the location."""
        return Source(
            name=options.pop("name", self.engine.dialect.name),
            engine=options.pop("engine", self.engine),
            schemas=(self.name,),
            stores=frozenset(stores or ("main",)),
            **options,
        )


def engine_of(url: str, **changes: Any) -> Engine:
    """Open a server as the flow will, or as another user or through another port."""
    address = make_url(url)
    return create_engine(address.set(drivername=DRIVERS[address.drivername], **changes), poolclass=NullPool)


@pytest.fixture
def mariadb(mariadb_url: str) -> Engine:
    return engine_of(mariadb_url)


@pytest.fixture
def postgres(postgres_url: str) -> Engine:
    return engine_of(postgres_url)


@pytest.fixture(params=["mariadb", "postgres"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each of the servers in turn."""
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def schemas() -> Iterator[Callable[..., Schema]]:
    """Make schemas, dropped afterwards."""
    made: list[Schema] = []

    def make(engine: Engine, name: str | None = None) -> Schema:
        made.append(Schema(engine, name or f"lab_{uuid4().hex[:12]}"))
        return made[-1]

    yield make
    for one in made:
        one.drop()


@pytest.fixture
def schema(schemas: Callable[..., Schema], engine: Engine) -> Schema:
    """A schema on each of the servers in turn."""
    return schemas(engine)


@pytest.fixture
def lab(schemas: Callable[..., Schema], mariadb: Engine) -> Schema:
    """A schema on MariaDB, where the old generation lives."""
    return schemas(mariadb)


@pytest.fixture
def user() -> Iterator[Callable[..., Engine]]:
    """Make users who have the rights that are listed, and open a schema's server as such a one."""
    made: list[tuple[Schema, str]] = []

    def make(schema: Schema, *grants: str) -> Engine:
        name = f"u{uuid4().hex[:12]}"
        made.append((schema, name if schema.is_postgres else f"'{name}'@'%'"))
        create = "ROLE {} LOGIN PASSWORD 'pw'" if schema.is_postgres else "USER {} IDENTIFIED BY 'pw'"
        schema.run(f"CREATE {create.format(made[-1][1])}")
        for grant in grants:
            schema.run(f"GRANT {grant} TO {made[-1][1]}")
        database = schema.engine.url.database if schema.is_postgres else "information_schema"
        return create_engine(schema.engine.url.set(username=name, password="pw", database=database), poolclass=NullPool)

    yield make
    for schema, one in made:
        if schema.is_postgres:
            schema.run(f"DROP OWNED BY {one}")
        schema.run(f"DROP {'ROLE' if schema.is_postgres else 'USER'} {one}")


def listed(*keys: str, age: timedelta = timedelta(days=30)) -> list[tuple[Key, Listed]]:
    """List keys, all of one age."""
    return [(key, Listed(modified=NOW - age)) for key in keys]


class Judging:
    """A judge, and what it says of a listing."""

    def __init__(self, namespace: Namespace, *sources: Source, **options: Any) -> None:
        references = References(sources, Grammar(namespace))
        self.judge = Unreferenced(namespace, references, **{"now": NOW, **options})

    def __call__(self, listing: Iterable[tuple[Key, Listed]]) -> dict[Key, Verdict]:
        records = list(listing)
        self.judge.notice(records)
        return {key: self.judge(key, value) for key, value in records}


@pytest.fixture
def judging() -> type[Judging]:
    return Judging


@pytest.fixture
def listing() -> Callable[..., list[tuple[Key, Listed]]]:
    return listed

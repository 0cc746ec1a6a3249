"""What the deployments of prefect.yaml work on, as deployed: a Datashare and a lab's store, on real servers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

import redis
from sqlalchemy import create_engine, make_url, text

from sandbox.samples.searches import RESULTS, RUNNER, TABLES
from tests.flows.conftest import Datashare
from tests.flows.external_store import ExternalStore
from tests.tasks.datajoint.conftest import DRIVERS, Schema, engine_of
from tests.tasks.stores.conftest import InBucket

PASSWORD = "kX7-never-to-be-seen"
HASH = "ds:task:manager"
CLAIM = "test:claimed"
BLOCK = "STEWARD_BLOCK__"


@contextmanager
def tasks_in_redis(url: str, archives: Path) -> Iterator[tuple[Datashare, dict[str, str]]]:
    """Fill the hash that the deployments take; yield it, and the variables of its block.

    In a database of its own, for the hash has one name.
    """
    user, at = f"user-{uuid4().hex}", urlsplit(url)
    database = _claimed(at)
    with redis.Redis(host=at.hostname or "", port=at.port or 6379, db=database) as client:
        client.acl_setuser(user, enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], categories=["+@all"])
        own = f"redis://{user}:{PASSWORD}@{at.hostname}:{at.port}/{database}"
        datashare = Datashare(client, own, HASH, archives)
        datashare.present(50)
        yield datashare, {f"{BLOCK}REDIS_CREDENTIALS__DATASHARE__URL": own}
        client.acl_deluser(user)
        client.delete(HASH, CLAIM)


def _claimed(at: SplitResult) -> int:
    """Return the number of a database that nobody else has, in this process or another."""
    for database in range(8, 16):
        with redis.Redis(host=at.hostname or "", port=at.port or 6379, db=database) as client:
            if client.set(CLAIM, 1, nx=True):
                return database
    raise AssertionError("all databases are taken")


@contextmanager
def searches_in_postgres(url: str) -> Iterator[dict[str, str]]:
    """Make Datashare's tables with a search of each kind; yield the variables of their block."""
    name, at = f"datashare_{uuid4().hex}", make_url(url)
    server = create_engine(at.set(drivername=DRIVERS[at.drivername]), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        with engine_of(url, database=name).begin() as own:
            for statement in TABLES.format(time="timestamp").split(";"):
                own.execute(text(statement))
            for result in RESULTS:
                _search(own, result)
        address = f"postgresql://{at.username}:{PASSWORD}@{at.host}:{at.port}/{name}"
        yield {f"{BLOCK}DATABASE_CREDENTIALS__DATASHARE__URL": address}
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def _search(connection: object, result: str | None) -> None:
    task, state = str(uuid4()), "RUNNING" if result is None else "DONE"
    values = {"id": task, "name": RUNNER, "state": state, "result": result}
    connection.execute(  # type: ignore[attr-defined]
        text(
            "INSERT INTO task (id, name, state, user_id, created_at, args, result)"
            " VALUES (:id, :name, :state, 'fbar', '2024-11-07 14:53:47', '{}', :result)"
        ),
        values,
    )
    connection.execute(  # type: ignore[attr-defined]
        text("INSERT INTO batch_search VALUES (:id, 'some names', 'fbar', '2024-11-07 14:53:47', 'SUCCESS', 5, 3, 1)"),
        values,
    )


@contextmanager
def lab(mariadb_url: str, s3_url: str) -> Iterator[tuple[ExternalStore, dict[str, str]]]:
    """Make a schema and its store, with objects that rows reference; yield it, and the variables of its blocks."""
    user = f"u{uuid4().hex[:12]}"
    place = InBucket(s3_url)
    store = ExternalStore(place, Schema(engine_of(mariadb_url), f"lab_{place.base[:12]}"))
    store.blobs(tracked=20, orphans=5)
    store.schema.run(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}'")
    store.schema.run(f"GRANT SELECT ON {store.schema.quoted(store.schema.name)}.* TO '{user}'@'%'")
    url, keys = store.schema.engine.url, place.credentials
    bucket = {
        "ENDPOINT": keys.endpoint,
        "BUCKET": keys.bucket,
        "ACCESS_KEY": keys.access_key or "",
        "SECRET_KEY": keys.secret_key.get_secret_value() if keys.secret_key else "",
        "TLS": "false",
    }
    server = {
        "HOST": url.host or "",
        "PORT": str(url.port),
        "USER": user,
        "PASSWORD": PASSWORD,
        "SCHEMAS": json.dumps([store.schema.name]),
        "STORES": '["main"]',
    }
    yield (
        store,
        {
            **{f"{BLOCK}OBJECT_STORE_CREDENTIALS__LAB__{name}": value for name, value in bucket.items()},
            **{f"{BLOCK}DATAJOINT_CREDENTIALS__LAB__{name}": value for name, value in server.items()},
            "STEWARD_DATAJOINT_CLEAN_LOCATION": place.base,
            "STEWARD_DATAJOINT_CLEAN_SCHEMA": store.schema.name,
        },
    )
    store.schema.run(f"DROP USER '{user}'@'%'")
    store.schema.drop()
    place.clear()

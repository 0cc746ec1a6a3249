"""A DataJoint store of one schema, filled by hand: its objects, and the rows that reference them."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from blocks.datajoint_credentials import DataJointCredentials
from flows.datajoint_clean import datajoint_clean
from tasks.changes.report import Report
from tests.tasks.datajoint.conftest import Schema, engine_of
from tests.tasks.stores.conftest import InBucket, OnDisk, Place


def credentials_of(*schemas: Schema, **fields: Any) -> DataJointCredentials:
    """Give a deployment's credentials for schemas on one server."""
    url = schemas[0].engine.url
    given = {
        "backend": "postgresql" if schemas[0].is_postgres else "mariadb",
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password or "",
        "database": url.database if schemas[0].is_postgres else None,
        "schemas": [one.name for one in schemas],
        "stores": ["main"],
    }
    return DataJointCredentials(**given | fields)


class ExternalStore:
    """Where objects lie, and the schema whose rows reference them; `path`s are relative to the location."""

    def __init__(self, place: Place, schema: Schema) -> None:
        self.place, self.schema = place, schema
        self.column: str | None = None

    @property
    def store(self) -> Any:
        return self.place.credentials if isinstance(self.place, InBucket) else str(self.place.folder)  # type: ignore[attr-defined]

    def put(self, path: str, content: bytes) -> str:
        self.place[self.place.base + path] = content
        return path

    def blob(self, content: bytes, *, tracked: bool, name: str = "") -> str:
        """Store a blob, or an attachment, as DataJoint 0.14 does; without a row it is an orphan."""
        hash_ = hashlib.md5(content).hexdigest()
        if tracked:
            self.schema.track("main", hash_, name=name or None)
        return self.put(f"{self.schema.name}/{hash_[:2]}/{hash_[2:4]}/{hash_}{f'.{name}' if name else ''}", content)

    def blobs(self, tracked: int, orphans: int, beginning: str = "") -> list[str]:
        """Store so many of both; give the orphans."""
        kinds = {"tracked": tracked, "orphan": orphans}
        contents = [[f"{beginning}{kind} {i}".encode() for i in range(n)] for kind, n in kinds.items()]
        self.schema.track("main", *(hashlib.md5(content).hexdigest() for content in contents[0]))
        with ThreadPoolExecutor(8) as threads:
            _, paths = (list(threads.map(partial(self.blob, tracked=False), some)) for some in contents)
        return paths

    def record(self, *paths: object) -> None:
        """Write rows as DataJoint 2 does, whose JSON names these paths."""
        self.column = self.column or self.schema.column("<blob@main>")
        self.schema.store(self.column, *paths)

    def hashed(self, digest: str, *, recorded: bool) -> str:
        """Store an object named by its hash as DataJoint 2 does."""
        path = self.put(f"_hash/{self.schema.name}/{digest}", digest.encode())
        if recorded:
            self.record(path)
        return path

    @property
    def paths(self) -> set[str]:
        """Everything that is there, but for what is in quarantine."""
        return {path for path in self.everything if not path.startswith(".steward-quarantine/")}

    @property
    def everything(self) -> dict[str, bytes]:
        """Everything that is there, and its bytes."""
        return {key.removeprefix(self.place.base): self.place[key] for key in self.place.keys_there()}

    @property
    def arguments(self) -> dict[str, Any]:
        """What the flow takes for it."""
        return {
            "store": self.store,
            "databases": [credentials_of(self.schema)],
            "location": self.place.base,
            "schemas": [self.schema.name],
            "grace": "0s",
        }

    def clean(self, **options: Any) -> Report:
        """Run the job, for real unless told otherwise."""
        return datajoint_clean(**self.arguments | {"dry_run": False} | options)


def config_of(*stores: ExternalStore, **settings: str) -> str:
    """Write the old tool's file for stores whose rows are in MariaDB, with more settings per run; give its path."""
    tables = "".join(map(_tables, range(len(stores)), stores, [settings] * len(stores)))
    path = Path(os.environ["STEWARD_PLANS"]).parent / "datajoint-cleaner.toml"
    path.write_text(tables)
    return str(path)


def _tables(number: int, store: ExternalStore, settings: dict[str, str]) -> str:
    url, place = store.schema.engine.url, store.place
    run = {"database_server": f"db{number}", "schema": store.schema.name, "store": "main"}
    text = f"""
[database_servers.db{number}]
host = "{url.host}"
port = {url.port}
user = "{url.username}"
password = "{url.password or ""}"
"""
    if isinstance(place, InBucket):
        secret = place.credentials.secret_key
        text += f"""
[storage_servers.minio.s3_{number}]
endpoint = "{place.credentials.endpoint}"
access_key = "{place.credentials.access_key}"
secret_key = "{secret.get_secret_value() if secret else ""}"
secure = false
"""
        run |= {"storage_server": f"minio.s3_{number}", "bucket": place.name, "location": place.base}
    else:
        run |= {"kind": "file", "location": f"{store.store}/{place.base}"}
    return text + "[[cleaning_runs]]\n" + "".join(f'{key} = "{value}"\n' for key, value in (run | settings).items())


Stores = Callable[..., ExternalStore]


@pytest.fixture
def stores(mariadb_url: str, s3_url: str, tmp_path: Path) -> Iterator[Stores]:
    """Make stores, their schema on MariaDB or PostgreSQL, their objects on S3 or on files."""
    made: list[ExternalStore] = []

    def make(engine: Engine | None = None, place: Any = None, name: str | None = None, *, disk: bool = False) -> Any:
        server = engine or engine_of(mariadb_url)
        if place is None:
            place = OnDisk(tmp_path) if disk else InBucket(s3_url)
        made.append(ExternalStore(place, Schema(server, name or f"lab_{place.base[:12]}")))
        return made[-1]

    yield make
    for one in made:
        one.schema.drop()
        one.place.clear()


@pytest.fixture
def lab(stores: Stores) -> ExternalStore:
    """A store of DataJoint 0.14 on S3."""
    return stores()


@pytest.fixture
def modern(stores: Stores, postgres_url: str) -> ExternalStore:
    """A store of DataJoint 2 on S3, its rows in PostgreSQL."""
    return stores(engine_of(postgres_url))


@pytest.fixture(params=["s3", "file"])
def either(request: pytest.FixtureRequest, stores: Stores) -> ExternalStore:
    """A store on S3, then one on files."""
    return stores(disk=request.param == "file")

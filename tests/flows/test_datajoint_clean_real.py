"""On stores that DataJoint itself filled: only orphans go, and whatever fetch could read before, it reads after."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from minio.deleteobjects import DeleteObject
from sqlalchemy import make_url

from blocks.datajoint_credentials import DataJointCredentials
from blocks.object_store_credentials import ObjectStoreCredentials
from flows.datajoint_clean import datajoint_clean
from sandbox.samples.datajoint import legacy
from sandbox.samples.datajoint.running import Server, client_of, engine_of, run
from tasks.changes.plan import open_plan
from tasks.changes.report import Report

LOCATION = "dj/store"
NAMES = ["main", "alias", "parts"]


class Lab:
    """Two schemas, a bucket and a file store, as DataJoint left them."""

    def __init__(self, server: Server, prefix: str) -> None:
        self.server, self.prefix = server, prefix
        self.client, self.engine = client_of(server.s3), engine_of(server.database)
        self.schemas = [f"{prefix}lab", f"{prefix}lab_v2"]

    @property
    def objects(self) -> set[str]:
        """The paths of all objects in the bucket, relative to the location."""
        found = self.client.list_objects(self.server.bucket, recursive=True)
        return {str(one.object_name).removeprefix(f"{LOCATION}/") for one in found}

    @property
    def files(self) -> set[str]:
        """The paths of all files in the file store."""
        root = self.server.folder / "disk"
        return {str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()}

    def clean(self, *stores: str, disk: bool = False, **options: Any) -> Report:
        """Run the job on the bucket, or on the file store."""
        url = make_url(self.server.database)
        database = DataJointCredentials(
            backend="postgresql" if url.drivername == "postgresql" else "mariadb",
            host=url.host or "",
            port=url.port,
            user=url.username or "",
            password=url.password or "",
            database=url.database if url.drivername == "postgresql" else None,
            schemas=self.schemas,
            stores=list(stores),
        )
        bucket = ObjectStoreCredentials.from_argument(f"{self.server.s3}/{self.server.bucket}")
        store: Any = str(self.server.folder / "disk") if disk else bucket
        given = {"schemas": self.schemas, "grace": "0s", "dry_run": False, "max_fraction": 1.0}
        return datajoint_clean(store, [database], "" if disk else LOCATION, **given | options)

    def planned(self, *stores: str, **options: Any) -> set[str]:
        """Give the paths of what would go."""
        plan = open_plan(self.clean(*stores, dry_run=True, **options).plan)
        return {str(one.key).removeprefix(f"{LOCATION}/") for one in plan.first(1000)}

    def drop(self) -> None:
        cascade = " CASCADE" if self.engine.dialect.name == "postgresql" else ""
        with self.engine.begin() as connection:
            for schema in self.schemas:
                connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema}{cascade}")
        keys = [DeleteObject(f"{LOCATION}/{path}") for path in self.objects]
        assert not list(self.client.remove_objects(self.server.bucket, keys))


@pytest.fixture(scope="module")
def bucket(s3_url: str) -> str:
    """A bucket for all tests here; each leaves it empty."""
    name = f"datajoint-{uuid4().hex}"
    client_of(s3_url).make_bucket(name)
    return name


@pytest.fixture
def lab_on(s3_url: str, bucket: str, tmp_path: Path) -> Iterator[Callable[[str], Lab]]:
    """Give two schemas and their stores, still empty, on a database server."""
    made: list[Lab] = []

    def make(database: str) -> Lab:
        made.append(Lab(Server(database, s3_url, bucket, tmp_path), f"t{uuid4().hex[:8]}_"))
        return made[-1]

    yield make
    for lab in made:
        lab.drop()


def test_of_what_0_14_left_only_the_untracked_goes(lab_on: Callable[[str], Lab], mariadb_url: str) -> None:
    lab = lab_on(mariadb_url)
    recorded = legacy.load(lab.server, lab.prefix)
    tracked = {
        store: {key.removeprefix(f"{LOCATION}/") for one in recorded["tracked"].values() for key in one[store]}
        for store in ("main", "disk")
    }
    going = lab.planned("main")
    assert going == {path for path in lab.objects - tracked["main"] if not path.startswith("raw/")}
    assert len(going) == 16
    assert lab.planned("disk", disk=True) == lab.files - tracked["disk"]
    assert lab.planned("main", layout={"filepaths": ["raw"]}) == lab.objects - tracked["main"]
    mine, neighbour = lab.schemas
    assert lab.planned("main", schemas=[mine]) == {path for path in going if not path.startswith(f"{neighbour}/")}


@pytest.fixture(scope="session")
def python_with_0_14(pytestconfig: pytest.Config) -> Path:
    """A Python with DataJoint 0.14, in an environment beside this one's packages."""
    try:
        return legacy.environment(Path(sys.prefix) / "datajoint-0.14")
    except subprocess.CalledProcessError as error:
        if pytestconfig.getoption("--require-services"):
            raise
        pytest.skip(f"DataJoint 0.14 cannot be installed: {error}")


def test_whatever_0_14_could_fetch_it_fetches_after(
    lab_on: Callable[[str], Lab], mariadb_url: str, python_with_0_14: Path
) -> None:
    lab = lab_on(mariadb_url)
    made = legacy.record(python_with_0_14, lab.server, lab.prefix)
    recorded = legacy.recording(lab.prefix)
    assert {name: sorted(made[name]) for name in ("objects", "files")} == {
        name: sorted(recorded[name]) for name in ("objects", "files")
    }
    assert (made["fetched"], made["tracked"]) == (recorded["fetched"], recorded["tracked"])
    assert lab.clean("main").applied == 16
    assert lab.clean("disk", disk=True).applied > 0
    after = run("make_legacy.py", "read", lab.server, lab.prefix, python_with_0_14)
    assert after["fetched"] == made["fetched"]


@pytest.mark.parametrize("url", ["mariadb_url", "postgres_url"])
def test_p2_p8_whatever_2_could_fetch_it_fetches_after(
    lab_on: Callable[[str], Lab], url: str, request: pytest.FixtureRequest
) -> None:
    """Also what is stored under another name of the location than the one that is declared."""
    lab = lab_on(request.getfixturevalue(url))
    made = run("make_current.py", "make", lab.server, lab.prefix)
    fetched, collected = made["fetched"], made["collected"]
    assert len(fetched) == 2 * 3 * 8, "three rows of eight columns in each schema"
    partitioned = {path for path in lab.objects if path.startswith("_schema/subject=")}
    live = {path for path in partitioned if any(path in row for row in spikes(lab))}
    assert lab.planned(*NAMES, layout={"subfolding": [[], [2, 2]]}) == unused(collected) | partitioned - live
    on_disk = {path for one in collected.values() for path in one["disk"]}
    assert lab.planned("disk", disk=True) == on_disk
    assert lab.clean("main", layout={"subfolding": [[], [2, 2]]}).applied == len(unused(collected) | partitioned - live)
    assert lab.clean("disk", disk=True).applied == len(on_disk)
    assert run("make_current.py", "read", lab.server, lab.prefix)["fetched"] == fetched
    assert lab.planned(*NAMES, layout={"subfolding": [[], [2, 2]]}) == set()


def unused(collected: dict[str, dict[str, list[str]]]) -> set[str]:
    """Give what DataJoint's own collector takes for orphans under whatever name it looks; it misses partitions (P8)."""
    return {path for one in collected.values() for path in set.intersection(*(set(one[name]) for name in NAMES))}


def spikes(lab: Lab) -> list[str]:
    """Give what the rows say of their partitioned objects."""
    with lab.engine.connect() as connection:
        return [
            str(value)
            for schema in lab.schemas
            for value in connection.exec_driver_sql(f"SELECT spikes FROM {schema}.session").scalars()
        ]

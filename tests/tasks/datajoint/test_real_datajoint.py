"""On data that real DataJoint made: only orphans go, and whatever fetch could read before, it reads after."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sandbox.samples.datajoint import legacy
from sandbox.samples.datajoint.running import Server, client_of, engine_of, run
from tasks.changes.protocols import Remove
from tasks.datajoint.grammar import Grammar
from tasks.datajoint.namespaces import Namespace
from tasks.datajoint.orphans import Unreferenced
from tasks.datajoint.references import References
from tasks.datajoint.sources import Source
from tasks.stores.listing import Object

LOCATION = "dj/store"
LATER = datetime.now(UTC) + timedelta(days=2)
Judgement = dict[str, str]


class Lab:
    """Two schemas with their stores, as real DataJoint left them."""

    def __init__(self, server: Server, prefix: str) -> None:
        self.server, self.prefix = server, prefix
        self.client, self.engine = client_of(server.s3), engine_of(server.database)
        self.schemas = (f"{prefix}lab", f"{prefix}lab_v2")

    def objects(self) -> dict[str, Object]:
        """List the bucket."""
        found = self.client.list_objects(self.server.bucket, recursive=True)
        return {
            str(one.object_name): Object(one.size or 0, one.etag or "", one.last_modified or LATER) for one in found
        }

    def files(self) -> dict[str, Object]:
        """List the file store."""
        root = self.server.folder / "disk"
        return {
            str(one.relative_to(root)): Object(one.stat().st_size, "", datetime.fromtimestamp(one.stat().st_mtime, UTC))
            for one in root.rglob("*")
            if one.is_file()
        }

    def judged(self, listing: dict[str, Object], stores: tuple[str, ...], **space: Any) -> Judgement:
        """Give the objects that would go, and why."""
        source = Source(name="lab", engine=self.engine, schemas=self.schemas, stores=frozenset(stores))
        namespace = Namespace(**{"schemas": self.schemas} | space)
        judge = Unreferenced(namespace, References([source], Grammar(namespace)), now=LATER)
        judge.notice(listing.items())
        verdicts = {key: judge(key, value) for key, value in listing.items()}
        return {key: verdict.reason for key, verdict in verdicts.items() if isinstance(verdict, Remove)}

    def clean(self) -> None:
        """Remove every orphan from both stores."""
        for key in self.judged(self.objects(), ("main", "alias", "parts"), location=LOCATION, subfoldings=FOLDS):
            self.client.remove_object(self.server.bucket, key)
        for key in self.judged(self.files(), ("disk",)):
            (self.server.folder / "disk" / key).unlink()


FOLDS = frozenset({(), (2, 2)})


@pytest.fixture
def lab_on(s3_url: str, bucket: str, tmp_path: Path) -> Iterator[Any]:
    """Give two schemas and their stores, still empty, on a database server."""
    made: list[Lab] = []

    def make(database: str, bucket: str = bucket) -> Lab:
        made.append(Lab(Server(database, s3_url, bucket, tmp_path), f"t{uuid4().hex[:8]}_"))
        return made[-1]

    yield make
    for lab in made:
        for key in lab.objects():
            lab.client.remove_object(lab.server.bucket, key)
        cascade = " CASCADE" if lab.engine.dialect.name == "postgresql" else ""
        with lab.engine.begin() as connection:
            for schema in lab.schemas:
                connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema}{cascade}")


@pytest.fixture(scope="session")
def bucket(s3_url: str) -> str:
    """A bucket for all tests here; each leaves it empty."""
    name = f"datajoint-{uuid4().hex}"
    client_of(s3_url).make_bucket(name)
    return name


def test_of_what_0_14_left_only_the_untracked_goes(lab_on: Any, mariadb_url: str) -> None:
    lab = lab_on(mariadb_url)
    recorded = legacy.load(lab.server, lab.prefix)
    tracked = {store: {key for one in recorded["tracked"].values() for key in one[store]} for store in ("main", "disk")}
    before = lab.objects()
    going = lab.judged(before, ("main",), location=LOCATION)
    assert going.keys() == {key for key in before if key not in tracked["main"] and "/raw/" not in key}
    assert len(going) == 16
    assert lab.judged(lab.files(), ("disk",)).keys() == lab.files().keys() - tracked["disk"]
    raw = lab.judged(before, ("main",), location=LOCATION, filepaths=("raw",))
    assert raw.keys() - going.keys() == {key for key in before if key not in tracked["main"] and "/raw/" in key}


def test_a1_of_what_0_14_left_one_schema_is_judged_without_its_neighbour(lab_on: Any, mariadb_url: str) -> None:
    lab = lab_on(mariadb_url)
    legacy.load(lab.server, lab.prefix)
    mine, neighbour = lab.schemas
    both = lab.judged(lab.objects(), ("main",), location=LOCATION)
    lab.schemas = (mine,)
    assert lab.judged(lab.objects(), ("main",), location=LOCATION).keys() == {key for key in both if f"/{mine}/" in key}
    lab.schemas = (mine, neighbour)


@pytest.fixture(scope="session")
def python_with_0_14(pytestconfig: pytest.Config) -> Path:
    """A Python with DataJoint 0.14, in an environment beside this one's packages."""
    try:
        return legacy.environment(Path(sys.prefix) / "datajoint-0.14")
    except subprocess.CalledProcessError as error:
        if pytestconfig.getoption("--require-services"):
            raise
        pytest.skip(f"DataJoint 0.14 cannot be installed: {error}")


def test_whatever_0_14_could_fetch_it_fetches_after(lab_on: Any, mariadb_url: str, python_with_0_14: Path) -> None:
    lab = lab_on(mariadb_url)
    made = legacy.record(python_with_0_14, lab.server, lab.prefix)
    recorded = legacy.recording(lab.prefix)
    assert {name: sorted(made[name]) for name in ("objects", "files")} == {
        name: sorted(recorded[name]) for name in ("objects", "files")
    }
    assert (made["fetched"], made["tracked"]) == (recorded["fetched"], recorded["tracked"])
    lab.clean()
    after = run("make_legacy.py", "read", lab.server, lab.prefix, python_with_0_14)
    assert after["fetched"] == made["fetched"]
    assert len(lab.objects()) == len(made["objects"]) - 16


@pytest.mark.parametrize("url", ["mariadb_url", "postgres_url"])
def test_whatever_2_could_fetch_it_fetches_after(lab_on: Any, url: str, request: pytest.FixtureRequest) -> None:
    lab = lab_on(request.getfixturevalue(url))
    before = run("make_current.py", "make", lab.server, lab.prefix)
    assert len(before) == 2 * 3 * 8, "three rows of eight columns in each schema"
    listed, collected = lab.objects(), run("make_current.py", "gc", lab.server, lab.prefix)
    going = lab.judged(listed, ("main",), location=LOCATION, subfoldings=FOLDS).keys()
    assert going == unused(collected) | {key for key in listed if is_partitioned(key) and key not in live(lab)}
    assert lab.judged(lab.files(), ("disk",)).keys() == {key for one in collected.values() for key in one["disk"]}
    lab.clean()
    assert run("make_current.py", "read", lab.server, lab.prefix) == before
    assert not lab.judged(lab.objects(), ("main",), location=LOCATION, subfoldings=FOLDS)


def unused(collected: dict[str, dict[str, list[str]]]) -> set[str]:
    """Give what DataJoint's own collector takes for orphans under whatever name it looks; it misses partitions (P8)."""
    names = ("main", "alias", "parts")
    return {
        f"{LOCATION}/{path}"
        for one in collected.values()
        for path in set.intersection(*(set(one[name]) for name in names))
    }


def is_partitioned(key: str) -> bool:
    return key.startswith(f"{LOCATION}/_schema/subject=")


def live(lab: Lab) -> set[str]:
    """Give the partitioned objects that a row names."""
    with lab.engine.connect() as connection:
        rows = [
            str(value)
            for schema in lab.schemas
            for value in connection.exec_driver_sql(f"SELECT spikes FROM {schema}.session").scalars()
        ]
    return {
        key
        for key in lab.objects()
        if is_partitioned(key) and any(key.removeprefix(f"{LOCATION}/") in row for row in rows)
    }


def test_p2_a_row_counts_whatever_name_the_location_goes_by(lab_on: Any, postgres_url: str) -> None:
    lab = lab_on(postgres_url)
    before = run("make_current.py", "make", lab.server, lab.prefix)
    for key in lab.judged(lab.objects(), ("main",), location=LOCATION, subfoldings=FOLDS):
        lab.client.remove_object(lab.server.bucket, key)
    assert run("make_current.py", "read", lab.server, lab.prefix) == before

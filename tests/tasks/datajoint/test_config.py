"""The old tool's file is read as it is; what is wrong in a file is said by file, table and key, without a secret."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.changes.errors import BadInput
from tasks.datajoint.config import Config, read_config
from tasks.datajoint.namespaces import GENERATIONS, Namespace
from tasks.datajoint.tables import CleaningRun

OLD = """
[database_servers.my_db_server]
host = "192.156.3.65"
user = "me"
password = "mypassword"

[storage_servers.minio.my_minio_server]
endpoint = "192.543.5.61"
access_key = "my_access_key"
secret_key = "my_secret_key"
secure = true

[[cleaning_runs]]
database_server = "my_db_server"
schema = "my_schema"
store = "my_store"
storage_server = "minio.my_minio_server"
bucket = "my_bucket"
location = "my_location"
"""
SECRETS = ("mypassword", "my_secret_key", "my_access_key")
Read = Callable[..., Config]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read the old file, with changes to its text and lines added at its end."""

    def read_(*lines: str, **changes: str) -> Config:
        text = OLD
        for old, new in changes.items():
            assert old in text
            text = text.replace(f"{old} =", f"{new} =" if new else "#")
        path = tmp_path / "datajoint-cleaner.toml"
        path.write_text("\n".join([text, *lines]))
        return read_config(path)

    return read_


def namespace_of(run: CleaningRun) -> Namespace:
    return run.layout.namespace(run.location, run.schemas, run.generation)


def test_the_file_of_the_old_tool_is_read_as_it_is(read: Read) -> None:
    config = read()
    server, (run,) = config.database_servers["my_db_server"], config.cleaning_runs
    assert (server.host, server.user, server.password.get_secret_value()) == ("192.156.3.65", "me", "mypassword")
    store = config.storage_servers.minio["my_minio_server"]
    assert (store.endpoint, store.access_key, store.secret_key.get_secret_value(), store.secure, store.region) == (
        "192.543.5.61",
        "my_access_key",
        "my_secret_key",
        True,
        "us-east-1",
    )
    assert (run.servers, run.schemas, run.stores) == (["my_db_server"], ["my_schema"], ["my_store"])
    assert (run.storage_server, run.bucket, run.location) == ("minio.my_minio_server", "my_bucket", "my_location")
    assert (run.grace, run.mode, run.kind) == (timedelta(days=1), "delete", "s3")
    assert namespace_of(run) == Namespace(schemas=("my_schema",), location="my_location", generations=GENERATIONS)


def test_what_is_new_is_read_too(read: Read) -> None:
    new = """
schemas = ["lab", "lab_v2"]
stores = ["main", "alias"]
generation = 2
grace = "0s"
mode = "quarantine"
hash_prefix = "h"
schema_prefix = ""
subfolding = [[2, 2], []]
token_length = 4
filepaths = ["raw"]
codecs = ["zarr"]
"""
    (run,) = read(new, schema="", store="").cleaning_runs
    assert (run.schemas, run.stores, run.codecs) == (["lab", "lab_v2"], ["main", "alias"], ["zarr"])
    assert (run.grace, run.mode) == (timedelta(0), "quarantine")
    assert namespace_of(run) == Namespace(
        schemas=("lab", "lab_v2"),
        location="my_location",
        generations=frozenset({"2"}),
        hash_prefix="h",
        schema_prefix="",
        subfoldings=frozenset({(2, 2), ()}),
        token_length=4,
        filepaths=("raw",),
    )


@pytest.mark.parametrize(("written", "meant"), [("[2, 2]", {(2, 2)}), ("[]", {()}), ("[[2], [1, 3]]", {(2,), (1, 3)})])
def test_one_subfolding_or_several(read: Read, written: str, meant: set[Any]) -> None:
    assert namespace_of(read(f"subfolding = {written}").cleaning_runs[0]).subfoldings == meant


def test_a_run_on_files_has_a_folder_and_no_bucket(read: Read) -> None:
    config = read('kind = "file"', 'location = "/srv/store/"', storage_server="", bucket="", location="")
    parameters = config.parameters(config.cleaning_runs[0])
    assert (parameters["store"], parameters["location"]) == ("/srv/store/", "")


POSTGRESQL = """
database_server = "pg"
[database_servers.pg]
host = "h"
user = "u"
password = "p"
backend = "postgresql"
database = "d"
port = 5433
"""


def test_the_backends_of_a_server(read: Read) -> None:
    config = read(POSTGRESQL, database_server="")
    (database,) = config.databases(config.cleaning_runs[0])
    assert database.location == "postgresql://h:5433/d"


NEXT = """
[[cleaning_runs]]
database_servers = ["my_db_server", "other"]
schemas = ["lab_v2"]
store = "alias"
storage_server = "minio.{store}"
bucket = "my_bucket"
location = "{location}"
codecs = ["zarr"]
[database_servers.other]
host = "elsewhere"
user = "me"
password = "mypassword"
[storage_servers.minio.same]
endpoint = "192.543.5.61"
access_key = "k"
secret_key = "s"
secure = true
"""


@pytest.mark.parametrize("location", ["my_location", "/my_location/", "./my_location"])
def test_p2_a12_runs_at_one_location_share_their_references(read: Read, location: str) -> None:
    config = read(NEXT.format(store="same", location=location))
    found = [(one.host, one.schemas, one.stores, one.codecs) for one in config.databases(config.cleaning_runs[0])]
    assert found == [
        ("192.156.3.65", ["my_schema"], ["my_store"], []),
        ("192.156.3.65", ["lab_v2"], ["alias"], ["zarr"]),
        ("elsewhere", ["lab_v2"], ["alias"], ["zarr"]),
    ]


def test_runs_at_other_locations_do_not(read: Read) -> None:
    config = read(NEXT.format(store="same", location="my_location/deeper"))
    assert [one.schemas for one in config.databases(config.cleaning_runs[0])] == [["my_schema"]]


ERRORS = [
    (
        {},
        "[storage_servers.minio.r11]\nendpoint = 'http://h:9000'\nsecure = false",
        "[storage_servers.minio.r11] endpoint: write it without http://, as 'h:9000'; use secure = false for http",
    ),
    ({"schema": ""}, "", "[[cleaning_runs]] 1, schema: missing"),
    ({}, "schemas = ['x']", "[[cleaning_runs]] 1, schemas: not known"),
    ({}, "grase = '1h'", "[[cleaning_runs]] 1, grase: not known"),
    ({}, "grace = '1 year'", "[[cleaning_runs]] 1, grace: '1 year' is no duration such as 36h or 7d"),
    ({}, "generation = 3", "[[cleaning_runs]] 1, generation: Input should be 'legacy', '2' or 'both'"),
    ({}, "mode = 'purge'", "[[cleaning_runs]] 1, mode: "),
    ({}, "token_length = 3", "[[cleaning_runs]] 1, token_length: "),
    ({"bucket": ""}, "", "[[cleaning_runs]] 1: a run of kind s3 needs bucket"),
    ({}, "kind = 'file'", "[[cleaning_runs]] 1: a run of kind file has the store's folder as its location"),
    ({"password": ""}, "", "[database_servers.my_db_server] password: missing"),
    ({"secure": ""}, "", "[storage_servers.minio.my_minio_server] secure: missing"),
    ({"user": "usr"}, "", "[database_servers.my_db_server] usr: not known"),
    ({}, "[database_server.x]\nhost = 'x'", "[database_server]: not known"),
    ({}, "[[cleaning_runs", "Expected ']]'"),
    ({}, NEXT.format(store="nowhere", location=""), "[[cleaning_runs]] 2: there is no [storage_servers.minio.nowhere]"),
]


@pytest.mark.parametrize(("changes", "added", "said"), ERRORS)
def test_what_is_wrong_is_said_by_file_table_and_key(
    read: Read, changes: dict[str, str], added: str, said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        read(added, **changes)
    assert "datajoint-cleaner.toml: " in str(caught.value)
    assert said in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_a_server_that_the_file_does_not_have_is_said(read: Read) -> None:
    with pytest.raises(BadInput, match=r"\[\[cleaning_runs\]\] 1: there is no \[database_servers.x\]"):
        read("database_server = 'x'", database_server="")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere.toml"):
        read_config(tmp_path / "nowhere.toml")


def test_a_secret_in_the_wrong_place_is_not_said(read: Read) -> None:
    with pytest.raises(BadInput) as caught:
        read("[database_servers.x]\nhost = 'h'\nuser = 'u'\npassword = ['mypassword']")
    assert "mypassword" not in str(caught.value)


def test_no_secret_is_printed(read: Read) -> None:
    config = read()
    assert not any(secret in f"{config} {config!r}" for secret in SECRETS)
    assert not any(
        secret in str(config.parameters(config.cleaning_runs[0])) for secret in ("mypassword", "my_secret_key")
    )


DOC = (Path(__file__).parents[3] / "docs" / "datajoint-clean.md").read_text()


def test_the_runbook_s_example_is_a_file_that_is_read(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOC, re.DOTALL)
    (tmp_path / "file.toml").write_text(example)
    assert read_config(tmp_path / "file.toml").cleaning_runs[0].schemas == ["lab"]


def test_the_runbook_names_every_key_of_a_run_and_no_other() -> None:
    rows = DOC.split("| key of a run |")[1].split("\n\n")[0].splitlines()[2:]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    known = {"database_server", "schema", "store"} | CleaningRun.model_fields.keys() - {"servers", "schemas", "stores"}
    assert named == known

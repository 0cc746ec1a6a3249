"""Credentials open the server they name, and show their secrets nowhere."""

from typing import Any

import pytest
from prefect.blocks.core import Block
from pydantic import ValidationError
from sqlalchemy import event, make_url
from sqlalchemy.exc import DBAPIError

from blocks.datajoint_credentials import DataJointCredentials
from blocks.errors import UnusableCredentials
from tests.blocks.as_a_block import AsABlock

SECRET = "p@:/?#%&+s3cret é€"


class TestAsABlock(AsABlock):
    @pytest.fixture
    def block(self) -> type[Block]:
        return DataJointCredentials


class Connecting(Exception):
    """It would connect now."""


def credentials(**fields: Any) -> DataJointCredentials:
    return DataJointCredentials(
        **{"host": "h", "user": "u", "password": SECRET, "schemas": ["lab"], "stores": ["main"]} | fields
    )


def opens(**fields: Any) -> dict[str, Any]:
    """Give what the driver would be given."""
    given: dict[str, Any] = {}

    def look(_dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> None:
        given.update(options)
        raise Connecting

    engine = credentials(**fields).get_client()
    event.listen(engine, "do_connect", look)
    with pytest.raises(Connecting):
        engine.connect()
    return given


@pytest.mark.parametrize(
    ("fields", "location", "expected"),
    [
        ({}, "mysql://h:3306", {"host": "h", "port": 3306, "user": "u", "password": SECRET.encode()}),
        ({"backend": "mariadb", "port": 1}, "mysql://h:1", {"port": 1, "charset": "utf8mb4"}),
        ({"host": "::1"}, "mysql://[::1]:3306", {"host": "::1"}),
        ({"tls": False}, "mysql://h:3306", {"ssl_disabled": True}),
        ({"tls": True}, "mysql://h:3306", {"ssl": {"check_hostname": False}}),
        ({"backend": "postgresql", "database": "d"}, "postgresql://h:5432/d", {"dbname": "d", "password": SECRET}),
        ({"backend": "postgresql", "tls": True}, "postgresql://h:5432", {"sslmode": "require"}),
        ({"backend": "postgresql", "tls": False}, "postgresql://h:5432", {"sslmode": "disable"}),
    ],
)
def test_they_open_the_server_and_name_it(fields: dict[str, Any], location: str, expected: dict[str, Any]) -> None:
    given = opens(**fields)
    assert credentials(**fields).location == location
    assert {name: given[name] for name in expected} == expected


@pytest.mark.parametrize("fields", [{"schemas": []}, {"stores": []}, {"host": ""}, {"port": 0}, {"backend": "sqlite"}])
def test_what_leads_nowhere_is_refused_without_a_secret(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        credentials(**fields)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("variable", ["PGOPTIONS", "PGHOSTADDR", "PGSERVICE", "PGDATABASE"])
def test_a_variable_that_would_lead_elsewhere_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "other")
    with pytest.raises(UnusableCredentials, match=f"{variable} is set in the environment, and would "):
        credentials(backend="postgresql").get_client()
    assert credentials().get_client()
    if variable == "PGDATABASE":
        assert credentials(backend="postgresql", database="d").get_client()


def test_no_secret_is_shown() -> None:
    ours = credentials()
    shown = [
        repr(ours),
        str(ours),
        ours.location,
        repr(ours.get_client()),
        str(ours.model_dump()),
        ours.model_dump_json(),
    ]
    assert not any("s3cret" in text for text in shown)


@pytest.mark.parametrize("server", ["mariadb_url", "postgres_url"])
def test_a_transaction_sees_all_tables_at_one_moment(server: str, request: pytest.FixtureRequest) -> None:
    """So a reference that moves from one table to another, while they are read, is seen in one of them."""
    url = make_url(request.getfixturevalue(server))
    engine = credentials(
        backend="mysql" if url.drivername == "mysql" else "postgresql",
        host=url.host,
        port=url.port,
        user=url.username,
        password=url.password or "",
        database=url.database or "information_schema",
    ).get_client()
    with engine.connect() as connection:
        assert connection.get_isolation_level() == "REPEATABLE READ"
    engine.dispose()


def test_a_refused_login_shows_no_secret(mariadb_url: str) -> None:
    url = make_url(mariadb_url)
    engine = credentials(host=url.host, port=url.port, user="nobody").get_client()
    with pytest.raises(DBAPIError) as refused:
        engine.connect()
    assert "s3cret" not in str(refused.value)

"""What listens and says nothing, as what waits for its client to speak, is given up in the time for connecting."""

import socket
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, event, text

from blocks.database_credentials import DatabaseCredentials
from blocks.datajoint_credentials import DataJointCredentials
from tasks.changes.errors import StoreDenied, StoreUnavailable
from tasks.stores.sql_talk import Talk, failures


@pytest.fixture
def silent() -> Iterator[int]:
    """Listen on a port and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def engines(port: int) -> Iterator[Engine]:
    yield DatabaseCredentials(url=SecretStr(f"mysql://u@127.0.0.1:{port}/d?connect_timeout=1")).get_client()
    lab = DataJointCredentials(
        host="127.0.0.1", port=port, user="u", password=SecretStr("p"), schemas=["lab"], stores=["main"]
    )
    yield lab.get_client(connect_timeout=1)


def test_what_never_greets_is_given_up_in_the_time_for_connecting_and_not_tried_again(silent: int) -> None:
    for engine in engines(silent):
        begun = time.monotonic()
        with pytest.raises(StoreDenied, match=r"no MySQL or MariaDB: no greeting within 1 s\. Correct the address"):
            Talk(engine, "mysql://h").read(text("SELECT 1"))
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_query_has_longer_than_the_connecting(database_url: str) -> None:
    engine = DatabaseCredentials(url=SecretStr(f"{database_url}?connect_timeout=1")).get_client()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT SLEEP(1.5)")).scalar() == 0


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_server_that_has_greeted_once_is_tried_again(database_url: str, silent: int) -> None:
    engine = DatabaseCredentials(url=SecretStr(f"{database_url}?connect_timeout=1")).get_client()
    engine.connect().close()
    engine.dispose()
    event.listen(engine, "do_connect", lambda *given: given[3].update(host="127.0.0.1", port=silent))
    with pytest.raises(StoreUnavailable, match="timed out"), failures("mysql://h"):
        engine.connect()

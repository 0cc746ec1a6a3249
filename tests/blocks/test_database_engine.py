"""What listens and says nothing, as what waits for its client to speak, is given up in the time for connecting."""

import socket
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from blocks.database_credentials import DatabaseCredentials
from blocks.datajoint_credentials import DataJointCredentials


@pytest.fixture
def silent() -> Iterator[int]:
    """Listen on a port and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def engines(port: int) -> Iterator[Engine]:
    yield DatabaseCredentials(url=SecretStr(f"mysql://u@127.0.0.1:{port}/d?connect_timeout=1")).get_client()
    yield DatabaseCredentials(url=SecretStr(f"postgresql://u@127.0.0.1:{port}/d?connect_timeout=2")).get_client()
    lab = DataJointCredentials(
        host="127.0.0.1", port=port, user="u", password=SecretStr("p"), schemas=["lab"], stores=["main"]
    )
    yield lab.get_client(connect_timeout=1)


def test_what_never_greets_is_given_up_in_the_time_for_connecting(silent: int) -> None:
    for engine in engines(silent):
        begun = time.monotonic()
        with pytest.raises(OperationalError, match="time"):
            engine.connect()
        assert time.monotonic() - begun < 4


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_query_has_longer_than_the_connecting(database_url: str) -> None:
    engine = DatabaseCredentials(url=SecretStr(f"{database_url}?connect_timeout=1")).get_client()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT SLEEP(1.5)")).scalar() == 0

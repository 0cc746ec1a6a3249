"""Real servers for every test: started once per session by whoever needs one first, shared by all xdist workers."""

from collections.abc import Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from blocks.database_credentials import DatabaseCredentials
from sandbox import KINDS, Sandbox, ServerUnavailable

SANDBOX = pytest.StashKey[Sandbox]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --require-services."""
    parser.addoption(
        "--require-services", action="store_true", help="fail, rather than skip, tests whose server is not installed"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the sandbox, or join the controller's in an xdist worker."""
    handed: dict[str, Any] = getattr(config, "workerinput", {})
    config.stash[SANDBOX] = Sandbox(Path(handed["sandbox"])) if handed else Sandbox()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the sandbox is."""
    node.workerinput["sandbox"] = str(node.config.stash[SANDBOX].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, also after Ctrl-C."""
    config.stash[SANDBOX].close()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say where each server would come from."""
    return [f"{name}: {_source(config.stash[SANDBOX], name)}" for name in KINDS]


def _source(sandbox: Sandbox, name: str) -> str:
    try:
        return sandbox.source(name)
    except ServerUnavailable as error:
        return f"NOT AVAILABLE. {error}"


def _url(config: pytest.Config, name: str) -> str:
    try:
        return config.stash[SANDBOX].url(name)
    except ServerUnavailable as error:
        if config.getoption("--require-services"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def network(pytestconfig: pytest.Config) -> Iterator[None]:
    """This machine's networks, for one module at a time: where one comes or goes, a browser drops what it asks for."""
    with (pytestconfig.stash[SANDBOX].folder / "network.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


@pytest.fixture(scope="session")
def redis_url(pytestconfig: pytest.Config) -> str:
    """A Redis shared by all tests: use keys of your own (`hash_key`), never FLUSHALL."""
    return _url(pytestconfig, "redis")


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> str:
    """A PostgreSQL shared by all tests, as superuser: make a database or a schema of your own."""
    return _url(pytestconfig, "postgres")


@pytest.fixture(scope="session")
def mariadb_url(pytestconfig: pytest.Config) -> str:
    """A MariaDB shared by all tests, as root: make a database of your own."""
    return _url(pytestconfig, "mariadb")


@pytest.fixture(scope="session")
def s3_url(pytestconfig: pytest.Config) -> str:
    """An S3 store shared by all tests, as http://KEY:SECRET@host:port: make a bucket of your own."""
    return _url(pytestconfig, "s3")


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of one's own, one of each kind in turn."""
    if request.param == "sqlite":
        path = tmp_path / "database.db"
        path.touch()
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_url" if request.param == "postgresql" else "mariadb_url")
    own = f"test_{uuid4().hex}"
    engine = DatabaseCredentials.from_argument(server).get_client().execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {own}")
        yield f"{server.rpartition('/')[0]}/{own}"
        force = "" if request.param == "mariadb" else " WITH (FORCE)"
        connection.exec_driver_sql(f"DROP DATABASE {own}{force}")
    engine.dispose()


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[Redis]:
    """A client that does not retry, so that a test sees every fault."""
    with Redis.from_url(redis_url, retry=Retry(NoBackoff(), 0)) as client:
        yield client


@pytest.fixture
def hash_key(redis_client: Redis) -> Iterator[str]:
    """A key no other test uses, deleted afterwards."""
    key = f"test:{uuid4().hex}"
    yield key
    redis_client.delete(key)

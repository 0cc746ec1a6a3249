"""A hash of one's own on the real Redis, straight and through a proxy that breaks connections."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from redis import Redis
from redis.backoff import NoBackoff

from blocks import RedisCredentials
from sandbox import ChaosProxy
from tasks.stores import redis_talk
from tasks.stores.redis_hash import RedisHash

Opened = Callable[..., RedisHash]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again without the waits between."""
    monkeypatch.setattr(redis_talk, "ExponentialBackoff", lambda **_: NoBackoff())


@pytest.fixture
def opened(redis_url: str, hash_key: str) -> Opened:
    """Open the test's hash as a flow does, with another port or login."""

    def open_(port: int | None = None, login: str = "", **options: object) -> RedisHash:
        url = urlsplit(redis_url)
        credentials = RedisCredentials.from_argument(f"redis://{login}{url.hostname}:{port or url.port}{url.path}")
        return RedisHash(credentials.get_client(**options), credentials.location, hash_key)

    return open_


@pytest.fixture
def store(opened: Opened) -> RedisHash:
    return opened()


@pytest.fixture
def proxy(redis_url: str) -> Iterator[ChaosProxy]:
    url = urlsplit(redis_url)
    with ChaosProxy(url.hostname or "", url.port or 6379) as proxy:
        yield proxy


@pytest.fixture
def user(redis_client: Redis) -> Iterator[Callable[..., str]]:
    """Make ACL users that may do what is listed, such as `+@read`; give each one's login, `USER:PASSWORD@`."""
    made: list[str] = []

    def make(*rights: str) -> str:
        made.append(f"test-{uuid4().hex}")
        redis_client.execute_command("ACL", "SETUSER", made[-1], "on", ">pass", "~test:*", *rights)
        return f"{made[-1]}:pass@"

    yield make
    for name in made:
        redis_client.acl_deluser(name)

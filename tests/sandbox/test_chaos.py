"""The proxy breaks connections in the ways it says, seen by a real client of a real Redis."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from sandbox import ChaosProxy

VALUE = b"x" * 200_000


@pytest.fixture
def proxy(redis_url: str) -> Iterator[ChaosProxy]:
    with ChaosProxy("127.0.0.1", urlsplit(redis_url).port or 0) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: ChaosProxy) -> Iterator[Redis]:
    with Redis(port=proxy.port, socket_timeout=0.3, retry=Retry(NoBackoff(), 0)) as client:
        yield client


def test_passes_everything_unchanged(proxy: ChaosProxy, client: Redis, hash_key: str) -> None:
    client.hset(hash_key, "field", VALUE)
    assert client.hget(hash_key, "field") == VALUE
    assert proxy.passed["up"] > len(VALUE)
    assert proxy.passed["down"] > len(VALUE)
    assert (proxy.connections, proxy.cuts) == (1, 0)


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_a_reply_cut_in_the_middle_is_a_connection_error_and_the_next_call_works(
    proxy: ChaosProxy, client: Redis, hash_key: str, how: str
) -> None:
    client.hset(hash_key, "field", VALUE)
    passed = proxy.passed["down"]
    proxy.cut_how = how
    proxy.cut_down = 50_000
    with pytest.raises(RedisConnectionError):
        client.hget(hash_key, "field")
    assert proxy.passed["down"] - passed == 50_000
    assert client.hget(hash_key, "field") == VALUE
    assert (proxy.connections, proxy.cuts) == (2, 1)


def test_a_pipeline_cut_on_its_way_up_is_applied_in_part(
    proxy: ChaosProxy, client: Redis, redis_client: Redis, hash_key: str
) -> None:
    proxy.cut_up = 3_000
    pipeline = client.pipeline(transaction=False)
    for field in range(100):
        pipeline.hset(hash_key, str(field), "value")
    with pytest.raises(RedisConnectionError):
        pipeline.execute()
    assert 0 < redis_client.hlen(hash_key) < 100


def test_a_blackhole_is_a_timeout(proxy: ChaosProxy, client: Redis) -> None:
    proxy.mode = "blackhole"
    with pytest.raises(RedisTimeoutError):
        client.ping()
    assert proxy.swallowed > 0
    proxy.mode = "pass"
    assert client.ping()


def test_reset_is_a_connection_error(proxy: ChaosProxy, client: Redis) -> None:
    proxy.mode = "reset"
    with pytest.raises(RedisConnectionError):
        client.ping()
    assert proxy.cuts == 1


def test_refused_then_accepted_again(proxy: ChaosProxy, client: Redis) -> None:
    proxy.refuse()
    with pytest.raises(RedisConnectionError, match="refused"):
        client.ping()
    proxy.accept_again()
    assert client.ping()


def test_dropping_all_cuts_an_idle_connection(proxy: ChaosProxy, client: Redis) -> None:
    with client.client() as one:  # one connection, so that no pool replaces it
        assert one.ping()
        proxy.drop_all()
        with pytest.raises(RedisConnectionError):
            one.ping()
    assert proxy.cuts == 1


def test_latency_delays_an_answer(proxy: ChaosProxy, client: Redis) -> None:
    assert client.ping()
    proxy.latency = 0.5
    with pytest.raises(RedisTimeoutError):
        client.ping()


def test_a_commit_whose_answer_is_lost_is_committed(postgres_url: str) -> None:
    direct = psycopg.connect(postgres_url, autocommit=True)
    direct.execute("CREATE TABLE test_chaos (id int)")
    with ChaosProxy("127.0.0.1", urlsplit(postgres_url).port or 0) as proxy:
        through = psycopg.connect(postgres_url, port=proxy.port)
        through.execute("INSERT INTO test_chaos VALUES (1)")
        proxy.cut_down = 0
        with pytest.raises(psycopg.OperationalError):
            through.commit()
        assert proxy.cuts == 1
    assert direct.execute("SELECT count(*) FROM test_chaos").fetchone() == (1,)
    direct.execute("DROP TABLE test_chaos")
    direct.close()

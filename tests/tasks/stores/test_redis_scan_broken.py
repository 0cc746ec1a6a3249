"""A Redis that is restarted, replaced or fails over while it is read: every record is seen, or the run fails."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from blocks.redis_credentials import RedisCredentials
from sandbox import ChaosProxy
from tasks.changes.errors import ScanBroken
from tasks.changes.plan import SCANS, Plan
from tasks.changes.protocols import Remove
from tasks.stores.redis_hash import RedisHash
from tests.tasks.stores.own_redis import KEY, MakeRedis, OwnRedis, make_redis  # noqa: F401  # a fixture

N = 8_000
Planned = Callable[..., Plan]


def opened(port: int, login: str = "") -> RedisHash:
    credentials = RedisCredentials.from_argument(f"redis://{login}127.0.0.1:{port}/0")
    return RedisHash(credentials.get_client(), credentials.location, KEY)


@pytest.fixture
def planned(toys: Any) -> Planned:
    """Plan the removal of every field, with something happening when so many records were judged."""

    def plan(store: RedisHash, *happenings: tuple[int, Callable[[], object]]) -> Plan:
        left = list(happenings)
        judged = 0

        def judge(_key: Any, _value: Any) -> Remove:
            nonlocal judged
            judged += 1
            if left and judged >= left[0][0]:
                judged = 0
                left.pop(0)[1]()
            return Remove("gone")

        made: Plan = toys.plan(store, judge)
        return made

    return plan


@pytest.fixture
def server(make_redis: MakeRedis) -> OwnRedis:  # noqa: F811
    server = make_redis()
    server.fill(N)
    return server


@pytest.fixture
def proxy(server: OwnRedis) -> Iterator[ChaosProxy]:
    with ChaosProxy("127.0.0.1", server.port) as proxy:
        yield proxy


def check_whole(plan: Plan) -> None:
    """Every record is planned, and once."""
    assert (plan.counts.scanned, plan.counts.planned) == (N, N)
    assert len({action.key for batch in plan.batches(1_000) for action in batch}) == N


@pytest.mark.parametrize("at", [1, 800, 1_500, 3_000, 5_000, 7_500])
def test_a_restart_in_the_middle_of_a_scan_loses_no_record(server: OwnRedis, planned: Planned, at: int) -> None:
    check_whole(planned(opened(server.port), (at, server.restart)))


def test_a_server_that_is_restarted_at_every_try_fails_the_run(server: OwnRedis, planned: Planned) -> None:
    with pytest.raises(ScanBroken, match=rf"was restarted or replaced.* happened {SCANS} times in a row") as failed:
        planned(opened(server.port), *[(3_000, server.restart)] * SCANS)
    assert failed.value.exit_status == 1


def test_a_failover_to_a_replica_loses_no_record(
    server: OwnRedis,
    proxy: ChaosProxy,
    planned: Planned,
    make_redis: MakeRedis,  # noqa: F811
) -> None:
    replica = make_redis("--replicaof", f"127.0.0.1 {server.port}")
    while replica.client.hlen(KEY) != N:
        pass

    def fail_over() -> None:
        replica.client.replicaof("NO", "ONE")
        proxy._server = ("127.0.0.1", replica.port)
        proxy.drop_all()

    check_whole(planned(opened(proxy.port), (3_000, fail_over)))


def test_a_server_that_changed_without_a_break_is_noticed_at_the_end(
    server: OwnRedis, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ids = opened(server.port), iter([b"run_id:a", b"run_id:b"])
    monkeypatch.setattr("tasks.stores.redis_talk.Reader.run_id", lambda _: next(ids, b"run_id:b"))
    check_whole(planned(store))
    assert next(ids, None) is None


def test_a_cut_connection_to_the_same_server_is_read_on(proxy: ChaosProxy, planned: Planned) -> None:
    judged = []
    check_whole(planned(opened(proxy.port), *[(1_000, lambda: judged.append(proxy.drop_all()))] * 5))
    assert len(judged) == 5
    assert proxy.cuts >= 5  # and the connection that asked for the count


def test_k2_a_user_who_may_not_ask_which_server_it_is_begins_again_after_a_cut(
    server: OwnRedis, proxy: ChaosProxy, planned: Planned
) -> None:
    server.client.execute_command("ACL", "SETUSER", "few", "on", ">pass", f"~{KEY}", "+hscan", "+hlen", "+type")
    check_whole(planned(opened(proxy.port, "few:pass@")))
    check_whole(planned(opened(proxy.port, "few:pass@"), (3_000, proxy.drop_all)))
    with pytest.raises(ScanBroken):
        planned(opened(proxy.port, "few:pass@"), *[(3_000, proxy.drop_all)] * SCANS)


def swapping(server: OwnRedis) -> list[tuple[int, Callable[[], object]]]:
    """Rename the hash during its scan, and fill it anew once the scan has met with nothing."""

    def rename() -> None:
        server.client.ping()  # the next page, which was asked for before, is on its way
        server.client.rename(KEY, "away")

    def fill() -> None:
        server.client.ping()  # the page after that is empty, and the last
        server.fill(N)

    return [(1_000, rename), (1_000, fill)]


def test_a_hash_that_is_renamed_and_filled_anew_is_read_again(server: OwnRedis, planned: Planned) -> None:
    check_whole(planned(opened(server.port), *swapping(server)))


@pytest.mark.parametrize("at", [1, 3_000, 7_000])
def test_a_hash_that_is_gone_at_the_end_is_read_again(server: OwnRedis, planned: Planned, at: int) -> None:
    assert planned(opened(server.port), (at, lambda: server.client.delete(KEY))).counts.scanned == 0


def test_a_hash_that_others_change_meanwhile_is_read_once(server: OwnRedis, planned: Planned) -> None:
    def churn() -> None:
        server.client.hdel(KEY, *(b"field %d" % i for i in range(0, N, 4)))
        server.client.hset(KEY, mapping={b"new %d" % i: b"value" for i in range(N)})  # type: ignore[misc]

    seen = planned(opened(server.port), (3_000, churn)).counts.scanned
    assert seen >= N * 3 // 4

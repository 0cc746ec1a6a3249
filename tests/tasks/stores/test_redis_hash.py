"""A real Redis hash: read in full and in bounded replies, changed only where it still holds what it held."""

from collections.abc import Callable, Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from sandbox import ChaosProxy
from tasks.changes.apply import Application
from tasks.changes.errors import StoreDenied, StoreUnavailable
from tasks.changes.progress import Phase
from tasks.changes.protocols import Action, Outcome, Remove
from tasks.stores.redis_hash import MOST_FIELDS, REPLY_BYTES, RedisHash

Opened = Callable[..., RedisHash]
DONE, ALREADY, CONFLICT = Outcome.DONE, Outcome.ALREADY, Outcome.CONFLICT


class Fields(MutableMapping[bytes, bytes]):
    """The hash as a mapping, straight on the server."""

    def __init__(self, client: Redis, key: str) -> None:
        self._client, self._key = client, key

    def __getitem__(self, field: bytes) -> bytes:
        value = self._client.hget(self._key, field)  # type: ignore[arg-type]
        if value is None:
            raise KeyError(field)
        return value  # type: ignore[return-value]

    def __setitem__(self, field: bytes, value: bytes) -> None:
        self._client.hset(self._key, field, value)  # type: ignore[arg-type]

    def __delitem__(self, field: bytes) -> None:
        self._client.hdel(self._key, field)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._client.hkeys(self._key))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self._client.hlen(self._key)  # type: ignore[return-value]

    def clear(self) -> None:
        self._client.delete(self._key)


@pytest.fixture
def fields(redis_client: Redis, hash_key: str) -> Fields:
    return Fields(redis_client, hash_key)


def fill(client: Redis, key: str, n: int, value: bytes = b"value %d") -> dict[bytes, bytes]:
    records = {b"field %d" % i: value % i if b"%" in value else value for i in range(n)}
    for start in range(0, n, 50):
        client.hset(key, mapping=dict(list(records.items())[start : start + 50]))
    return records


REAL = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@REAL
@given(data=st.data())
def test_the_invariant_for_any_bytes(
    toys: Any, worlds: Any, store: RedisHash, fields: Fields, data: st.DataObject
) -> None:
    world, _, _ = data.draw(worlds(st.binary(max_size=4)))
    toys.prove(store, fields, world)


@REAL
@given(data=st.data())
def test_c14_what_others_changed_meanwhile_stays_theirs(
    toys: Any, worlds: Any, store: RedisHash, fields: Fields, data: st.DataObject
) -> None:
    world, before_apply, before_undo = data.draw(worlds(st.binary(max_size=4)))
    toys.prove(store, fields, world, before_apply, before_undo)


@pytest.mark.parametrize(("n", "encoding"), [(1, b"listpack"), (100, b"listpack"), (5_000, b"hashtable")])
def test_a_scan_sees_every_record_once(
    store: RedisHash, redis_client: Redis, hash_key: str, n: int, encoding: bytes
) -> None:
    records = fill(redis_client, hash_key, n)
    assert redis_client.object("encoding", hash_key) == encoding
    seen = [record for batch in store.scan() for record in batch]
    assert len(seen) == n == store.count()
    assert dict(seen) == records


def test_a_scan_sees_what_is_there_all_along_though_the_hash_grows(
    store: RedisHash, redis_client: Redis, hash_key: str
) -> None:
    records = fill(redis_client, hash_key, 2_000)
    batches, seen = store.scan(), dict[Any, bytes]()
    for round_ in range(4):
        seen.update(next(batches, ()))
        redis_client.hset(hash_key, mapping={f"new {round_} {n}": b"new" for n in range(2_000)})
    for batch in batches:
        seen.update(batch)
    assert records.items() <= seen.items()


def test_replies_are_no_longer_than_they_need_be(store: RedisHash, redis_client: Redis, hash_key: str) -> None:
    fill(redis_client, hash_key, 5_000)
    lengths = [len(batch) for batch in store.scan()]
    assert max(lengths) < MOST_FIELDS * 1.5
    assert len(lengths) < 5_000 / MOST_FIELDS * 4


def test_replies_of_big_values_are_small(store: RedisHash, redis_client: Redis, hash_key: str) -> None:
    fill(redis_client, hash_key, 48, bytes(1_000_000))
    sizes = [sum(len(value) for _, value in batch) for batch in store.scan()]
    assert sum(sizes) == 48_000_000
    assert max(sizes) < 12 * REPLY_BYTES  # Redis gives whole buckets, of a few fields each


def test_c19_a_key_that_is_not_there_is_a_hash_of_nothing(store: RedisHash) -> None:
    assert (list(store.scan()), store.count(), store.exists()) == ([], 0, False)


@pytest.mark.parametrize("read", [RedisHash.count, RedisHash.exists, lambda store: list(store.scan())])
def test_c19_another_kind_of_thing_is_left_alone(
    store: RedisHash, redis_client: Redis, hash_key: str, read: Callable[[RedisHash], Any]
) -> None:
    redis_client.rpush(hash_key, "queued")
    with pytest.raises(StoreDenied, match=hash_key):
        read(store)
    with pytest.raises(StoreDenied):
        store.apply([Action(b"queued", b"queued", None)])
    assert redis_client.lrange(hash_key, 0, -1) == [b"queued"]


def test_c19_the_message_names_the_kind_and_the_way_out(store: RedisHash, redis_client: Redis, hash_key: str) -> None:
    redis_client.set(hash_key, "text")
    with pytest.raises(StoreDenied, match=r"is a string, not a hash; it was left alone. Give another --hash-key"):
        store.count()


def test_the_time_is_the_server_s(store: RedisHash) -> None:
    assert abs(store.now() - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("stands", "before", "after", "outcome", "left"),
    [
        (None, None, b"new", DONE, b"new"),
        (b"new", None, b"new", ALREADY, b"new"),
        (b"other", None, b"new", CONFLICT, b"other"),
        (b"old", b"old", None, DONE, None),
        (None, b"old", None, ALREADY, None),
        (b"other", b"old", None, CONFLICT, b"other"),
        (b"old", b"old", b"new", DONE, b"new"),
        (b"new", b"old", b"new", ALREADY, b"new"),
        (b"other", b"old", b"new", CONFLICT, b"other"),
        (None, b"old", b"new", CONFLICT, None),
        (b"", b"", None, DONE, None),
        (b"", b"old", None, CONFLICT, b""),
        (None, None, b"", DONE, b""),
        (b"old", b"old", b"", DONE, b""),
        ("é".encode(), "é", "è", DONE, "è".encode()),
        (b"\xff\0\r\n", b"\xff\0\r\n", b"\0", DONE, b"\0"),
        (b"old ", b"old", None, CONFLICT, b"old "),
    ],
)
def test_c14_a_field_changes_only_where_it_holds_the_before_image(
    store: RedisHash, fields: Fields, stands: Any, before: Any, after: Any, outcome: Outcome, left: bytes | None
) -> None:
    fields[b"another"] = b"old"
    if stands is not None:
        fields[b"field"] = stands
    assert store.apply([Action(b"field", before, after)]) == [outcome]
    assert (fields.get(b"field"), fields[b"another"]) == (left, b"old")


def test_kinds_may_be_mixed_and_outcomes_keep_their_order(store: RedisHash, fields: Fields) -> None:
    fields.update({b"1": b"a", b"2": b"changed", b"4": b"d", b"6": b"g"})
    actions = [
        Action("1", "a", None),
        Action("2", "b", None),
        Action("3", None, "c"),
        Action("4", "d", "e"),
        Action("5", "f", None),
        Action("6", None, "g"),
        Action("7", "h", "i"),
    ]
    assert store.apply(actions) == [DONE, CONFLICT, DONE, DONE, ALREADY, ALREADY, CONFLICT]
    assert dict(fields) == {b"2": b"changed", b"3": b"c", b"4": b"e", b"6": b"g"}


@pytest.mark.parametrize(("before", "after"), [(None, b"new"), (b"old", b"new"), (b"old", None)])
def test_a_full_batch_of_every_kind(store: RedisHash, fields: Fields, before: Any, after: Any) -> None:
    names = [b"%d" % n for n in range(store.batch_size)]
    if before:
        fields._client.hset(fields._key, mapping=dict.fromkeys(names, before))
    assert store.apply([Action(name, before, after) for name in names]) == [DONE] * len(names)
    assert dict(fields) == (dict.fromkeys(names, after) if after else {})


def test_k4_an_image_that_is_no_bytes_is_refused(store: RedisHash) -> None:
    with pytest.raises(StoreDenied, match="holds bytes, not dict"):
        store.apply([Action(b"field", {"etag": "x"}, None)])


def test_scripts_may_be_flushed_between_batches(store: RedisHash, fields: Fields, redis_client: Redis) -> None:
    fields.update({b"1": b"a", b"2": b"b"})
    assert store.apply([Action(b"1", b"a", None)]) == [DONE]
    redis_client.script_flush()
    assert store.apply([Action(b"2", b"b", None)]) == [DONE]


def test_it_is_named_by_server_and_key(store: RedisHash, hash_key: str, redis_client: Redis) -> None:
    port = redis_client.connection_pool.connection_kwargs["port"]
    assert store.location == f"redis://127.0.0.1:{port}/0#{hash_key}"


def test_a_wrong_password_is_denied_at_once_and_never_shown(
    opened: Opened, user: Callable[..., str], proxy: ChaosProxy
) -> None:
    login = user("+@all").replace(":pass@", ":wr0ng-s3cret@")
    store = opened(proxy.port, login)
    with pytest.raises(StoreDenied, match="Correct the URL or the block") as denied:
        store.count()
    assert "s3cret" not in f"{denied.value!r} {denied.value.__cause__!r}"
    assert proxy.connections == 1


def test_a_scan_goes_on_after_its_connection_was_cut(
    opened: Opened, redis_client: Redis, hash_key: str, proxy: ChaosProxy
) -> None:
    records = fill(redis_client, hash_key, 5_000)
    batches = opened(proxy.port).scan()
    seen = dict(next(batches))
    proxy.cut_down = 10_000
    for batch in batches:
        seen.update(batch)
    assert (proxy.cuts, seen) == (1, records)


@pytest.mark.parametrize("mode", ["blackhole", "reset"])
def test_a_server_that_does_not_answer_is_unavailable(opened: Opened, proxy: ChaosProxy, mode: Any) -> None:
    store = opened(proxy.port, socket_timeout=0.05)
    proxy.mode = mode
    with pytest.raises(StoreUnavailable, match=r"does not answer.*Run the command again"):
        store.count()
    with pytest.raises(StoreUnavailable):
        store.apply([Action(b"field", b"old", None)])
    assert proxy.connections == 5  # four tries to read, but only one to change


def test_a_server_that_is_not_there_is_unavailable(opened: Opened, proxy: ChaosProxy) -> None:
    proxy.refuse()
    with pytest.raises(StoreUnavailable):
        opened(proxy.port).count()


def test_counts_are_exact_though_answers_are_lost(
    toys: Any, opened: Opened, redis_client: Redis, hash_key: str, proxy: ChaosProxy
) -> None:
    store = opened(proxy.port)
    third = store.batch_size
    fill(redis_client, hash_key, 3 * third)
    plan = toys.plan(opened(), lambda _key, _value: Remove("gone"))
    application = Application(plan, store)
    application.advance(1, Phase("apply", None))
    proxy.cut_down = 0
    with pytest.raises(StoreUnavailable):
        toys.finish(application, plan)
    assert third <= redis_client.hlen(hash_key) < 2 * third, "changes were made, their answers were lost"
    tally = toys.finish(application, plan)
    assert (tally.applied, tally.kept, tally.conflicts, redis_client.hlen(hash_key)) == (3 * third, {}, 0, 0)


@pytest.mark.parametrize(
    "rights", [("+@all", "-hdel"), ("+@read",), ("+@all", "resetkeys", "~other:*"), ("-@all",)], ids=str
)
def test_a_user_who_may_not_is_denied_and_nothing_changes(
    opened: Opened, user: Callable[..., str], fields: Fields, rights: tuple[str, ...]
) -> None:
    fields[b"field"] = b"old"
    store = opened(login=user(*rights))
    with pytest.raises(StoreDenied, match="refuses the command"):
        store.apply([Action(b"field", b"old", None)])
    assert dict(fields) == {b"field": b"old"}


def test_a_user_with_the_rights_that_are_needed_may(opened: Opened, user: Callable[..., str], fields: Fields) -> None:
    fields[b"field"] = b"old"
    rights = ["time", "type", "hlen", "hscan", "hmget", "hset", "hdel", "eval"]
    store = opened(login=user(*(f"+{one}" for one in rights)))
    assert (store.count(), len(list(store.scan()))) == (1, 1)
    assert store.apply([Action(b"field", b"old", None)]) == [DONE]
    assert store.now()

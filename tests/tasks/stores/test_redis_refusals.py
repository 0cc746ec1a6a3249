"""What a Redis refuses is said in one line that names what lacks; what breaks in the middle of a batch is counted."""

import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Connection, Redis
from redis.exceptions import RedisError

from blocks.redis_credentials import RedisCredentials
from sandbox import ChaosProxy
from tasks.changes.apply import Application
from tasks.changes.errors import BadInput, StoreDenied, StoreFailed, StoreUnavailable
from tasks.changes.progress import Phase
from tasks.changes.protocols import Action, Outcome, Remove
from tasks.stores.redis_hash import SCRIPT_FIELDS, RedisHash
from tests.tasks.stores.own_redis import KEY, MakeRedis, free_port, make_redis  # noqa: F401  # a fixture

DONE = Outcome.DONE
ANSWER = SCRIPT_FIELDS + len(b"$100\r\n\r\n")
SCRIPTS = 5
Opened = Callable[..., RedisHash]


def at(url: str, key: str = KEY) -> RedisHash:
    credentials = RedisCredentials.from_argument(url)
    return RedisHash(credentials.get_client(), credentials.location, key)


def removals(records: Any) -> list[Action]:
    return [Action(key, value, None) for key, value in records.items()]


# ---------------------------------------------------------------------------------------------------- counting


@pytest.fixture
def records(redis_client: Redis, hash_key: str) -> dict[bytes, bytes]:
    records = {b"field %d" % i: b"x" * 100 for i in range(SCRIPTS * SCRIPT_FIELDS)}
    redis_client.hset(hash_key, mapping=records)  # type: ignore[arg-type]
    return records


@pytest.mark.parametrize("answers", range(SCRIPTS + 1))
@pytest.mark.parametrize("way", ["cut_down", "cut_up"])
def test_b1_what_was_answered_before_the_connection_broke_is_known(
    opened: Opened,
    records: dict[bytes, bytes],
    redis_client: Redis,
    hash_key: str,
    proxy: ChaosProxy,
    way: str,
    answers: int,
) -> None:
    """The connection breaks at each request of a batch in turn, before it arrives or before it is answered."""
    store, actions = opened(proxy.port), removals(records)
    assert store.exists()
    script = Connection().pack_command(*store._script("remove", actions[:SCRIPT_FIELDS]))
    size = ANSWER if way == "cut_down" else sum(map(len, script))
    proxy.cut_how = "fin"
    setattr(proxy, way, answers * size)
    outcomes, untouched = dict[Any, Any](), set[Any]()
    try:
        outcomes = dict(zip(records, store.apply(actions), strict=True))
    except StoreUnavailable as failed:
        outcomes, untouched = dict(failed.outcomes), set(failed.untouched)
    there = set(redis_client.hkeys(hash_key))  # type: ignore[arg-type]
    assert set(outcomes.values()) <= {DONE}
    assert outcomes.keys() <= records.keys() - there, "what counts as done is done"
    assert untouched <= there, "what counts as untouched is there"
    if way == "cut_down":
        assert len(outcomes) == answers * SCRIPT_FIELDS
    setattr(proxy, way, None)
    rest = [action for action in actions if action.key not in outcomes]
    assert set(store.apply(rest)) <= {DONE, Outcome.ALREADY}
    assert not redis_client.hlen(hash_key)


def test_b1_the_report_counts_what_was_answered_and_what_was_not(
    toys: Any, opened: Opened, records: dict[bytes, bytes], redis_client: Redis, hash_key: str, proxy: ChaosProxy
) -> None:
    store = opened(proxy.port)
    plan = toys.plan(store, lambda *_: Remove("gone"))
    application = Application(plan, store)
    proxy.cut_how = "fin"
    proxy.cut_down = 2 * ANSWER
    with pytest.raises(StoreUnavailable):
        application.advance(1, Phase("apply", None))
    made = len(records) - redis_client.hlen(hash_key)  # type: ignore[operator]
    assert application.tally.applied == 2 * SCRIPT_FIELDS
    assert application.tally.applied < made <= application.tally.applied + application.unknown
    proxy.refuse()
    with pytest.raises(StoreUnavailable):
        application.advance(1, Phase("apply", None))
    assert (application.tally.applied, application.unknown) == (2 * SCRIPT_FIELDS, 0), "nothing was sent"
    proxy.accept_again()
    assert toys.finish(application, plan).applied == len(records)


def test_k1_a_script_that_is_refused_among_others_leaves_their_outcomes(
    store: RedisHash, redis_client: Redis, hash_key: str
) -> None:
    """A type of its own for the hash, by another client, in the middle of a batch."""
    redis_client.hset(hash_key, mapping={f"{n}": "old" for n in range(3 * SCRIPT_FIELDS)})
    send = store._talk._connection.send_command
    sent = []

    def send_command(*command: Any, **options: Any) -> None:
        if command[0] == "EVAL":
            sent.append(command)
            command = command if len(sent) != 2 else (*command[:3], f"{hash_key}:string", *command[4:])
        send(*command, **options)

    redis_client.set(f"{hash_key}:string", "no hash")
    store._talk._connection.send_command = send_command
    actions = [Action(f"{n}", "old", None) for n in range(3 * SCRIPT_FIELDS)]
    with pytest.raises(StoreDenied, match="WRONGTYPE") as refused:
        store.apply(actions)
    redis_client.delete(f"{hash_key}:string")
    left = {f"{n}" for n in range(SCRIPT_FIELDS, 2 * SCRIPT_FIELDS)}
    assert {key.decode() for key in redis_client.hkeys(hash_key)} == left  # type: ignore[union-attr]
    assert set(refused.value.outcomes) == {action.key for action in actions} - left
    assert set(refused.value.untouched) == left


# ------------------------------------------------------------------------------------------------------- rights


@pytest.mark.parametrize(
    ("rights", "lacks"),
    [
        (("+@all", "-hdel"), r"\+hdel"),
        (("+@all", "-eval"), r"\+eval"),
        (("+@read", "+time"), r"\+eval"),
        (("+@all", "resetkeys", "~other:*"), r"~test:"),
    ],
    ids=str,
)
def test_n4_while_changes_are_made_the_right_that_lacks_is_named(
    opened: Opened, user: Callable[..., str], records: dict[bytes, bytes], rights: tuple[str, ...], lacks: str
) -> None:
    store = opened(login=user(*rights))
    with pytest.raises(StoreDenied, match=rf"The user lacks a right: ACL SETUSER … {lacks}") as denied:
        store.apply(removals(records))
    assert (denied.value.outcomes, len(denied.value.untouched)) == ({}, len(records))
    assert "\n" not in str(denied.value)


@pytest.mark.parametrize(("rights", "lacks"), [(("-@all", "+type", "+hlen"), r"\+hscan"), (("resetkeys",), "~test:")])
def test_n9_while_it_is_read_the_right_that_lacks_is_named(
    opened: Opened, user: Callable[..., str], proxy: ChaosProxy, rights: tuple[str, ...], lacks: str
) -> None:
    store = opened(proxy.port, login=user("+@all", *rights))
    with pytest.raises(StoreDenied, match=rf"ACL SETUSER … {lacks}"):
        list(store.scan())
    assert proxy.connections == 1, "no right comes from asking again"


def test_n9_a_replica_is_named(make_redis: MakeRedis) -> None:  # noqa: F811
    server = make_redis()
    records = server.fill(10)
    server.client.replicaof("127.0.0.1", str(free_port()))
    with pytest.raises(StoreDenied, match="It is a replica: give the address of its master") as denied:
        at(f"redis://127.0.0.1:{server.port}").apply(removals(records))
    assert len(denied.value.untouched) == 10


def test_n22_a_password_that_was_not_given_is_bad_input(make_redis: MakeRedis) -> None:  # noqa: F811
    server = make_redis()
    server.client.config_set("requirepass", "pass")
    with pytest.raises(BadInput, match="asks for a password: give one in the URL or the block"):
        at(f"redis://127.0.0.1:{server.port}").count()
    assert at(f"redis://:pass@127.0.0.1:{server.port}").count() == 0


# --------------------------------------------------------------------------------------------- other servers


def test_a_redis_that_knows_no_hello_is_worked_with(toys: Any, make_redis: MakeRedis) -> None:  # noqa: F811
    """A stand-in for Redis 4 and 5: a real Redis of today without HELLO."""
    server = make_redis("--rename-command", "HELLO", "")
    server.fill(200)
    with pytest.raises(RedisError, match="HELLO"):
        Redis(port=server.port, protocol=3).ping()
    store = at(f"redis://127.0.0.1:{server.port}")
    plan = toys.plan(store, lambda *_: Remove("gone"))
    assert toys.apply(plan, store).applied == 200


def test_r13_a_command_that_was_renamed_is_named(make_redis: MakeRedis) -> None:  # noqa: F811
    server = make_redis("--rename-command", "EVAL", "")
    records = server.fill(1) | {b"s3cret": b"s3cret"}
    with pytest.raises(StoreDenied, match=r"EVAL was renamed or disabled there; the job needs TIME, .*EVAL") as denied:
        at(f"redis://127.0.0.1:{server.port}").apply(removals(records))
    assert "s3cret" not in str(denied.value)


def test_r13_a_sentinel_is_named(make_redis: MakeRedis, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "sentinel.conf").touch()
    server = make_redis(str(tmp_path / "sentinel.conf"), "--sentinel")
    for read in (RedisHash.exists, RedisHash.count, lambda store: list(store.scan())):
        with pytest.raises(StoreDenied, match="it is a Redis Sentinel, and the URL must name the master instead"):
            read(at(f"redis://127.0.0.1:{server.port}"))


def test_r13_a_node_of_a_cluster_that_has_not_the_hash_names_the_one_that_has(make_redis: MakeRedis) -> None:  # noqa: F811
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-port")
    nodes = [make_redis(*options, str(free_port())) for _ in range(2)]
    with pytest.raises(StoreUnavailable, match="Redis Cluster"):
        at(f"redis://127.0.0.1:{nodes[0].port}").apply([Action(b"field", b"old", None)])
    nodes[1].client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    bus = nodes[1].client.config_get("cluster-port")["cluster-port"]  # type: ignore[index]
    nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port, bus)
    wanted = f"is a node of a Redis Cluster, and the hash lies at 127.0.0.1:{nodes[1].port}: give that address"
    said = ""
    for _ in range(1_000):
        try:
            at(f"redis://127.0.0.1:{nodes[0].port}").apply([Action(b"field", b"old", None)])
        except StoreUnavailable:  # they have not met yet
            time.sleep(0.02)
        except StoreDenied as denied:
            said = str(denied)
            break
    assert wanted in said


# ---------------------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of one's own, which signs itself, and its key in the same file."""
    pem = tmp_path_factory.mktemp("tls") / "own.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run([*command, *subject, "-keyout", f"{pem}.key", "-out", pem], check=True, capture_output=True)
    return pem


@pytest.fixture
def tls_port(redis_url: str, certificate: Path) -> Iterator[int]:
    """A port that speaks TLS, before the real Redis: the wheel's speaks none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, f"{certificate}.key")

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection(("127.0.0.1", urlsplit(redis_url).port or 0)) as server,
            ):
                while chunk := client.recv(65_536):
                    server.sendall(chunk)
                    client.sendall(server.recv(65_536))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Front) as front:
        threading.Thread(target=front.serve_forever, daemon=True).start()
        yield front.server_address[1]
        front.shutdown()


def test_r10_a_certificate_of_ones_own_is_a_matter_of_configuration(
    tls_port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = tls_port
    with pytest.raises(StoreDenied, match=r"is not trusted: .*SSL_CERT_FILE.*ssl_ca_certs=FILE"):
        at(f"rediss://127.0.0.1:{port}").count()
    assert at(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}").count() == 0
    assert at(f"rediss://127.0.0.1:{port}?ssl_cert_reqs=CERT_NONE").count() == 0
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert at(f"rediss://127.0.0.1:{port}").count() == 0


def test_r10_tls_where_the_server_speaks_none_is_said_at_once(
    proxy: ChaosProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blocks.redis_credentials.HANDSHAKE_SECONDS", 0.2)
    with pytest.raises(StoreDenied, match=r"does not speak TLS: .*Without TLS the URL begins with redis://"):
        at(f"rediss://127.0.0.1:{proxy.port}").count()
    assert proxy.connections == 1


# ------------------------------------------------------------------------------------------------------- border

UNFORESEEN = [RuntimeError, TypeError, AttributeError, KeyError, AssertionError]


@pytest.mark.parametrize("error", UNFORESEEN)
@pytest.mark.parametrize("where", ["send_command", "read_response", "_connect"])
def test_k4_whatever_the_client_raises_is_one_of_our_errors(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, records: dict[bytes, bytes], where: str, error: type[Exception]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error("out of the blue")

    for use in (lambda store: list(store.scan()), RedisHash.count, lambda store: store.apply(removals(records))):
        with monkeypatch.context() as broken_client:
            broken_client.setattr(Connection, where, broken)
            with pytest.raises(StoreFailed, match=rf"^redis://[^ ]+: {error.__name__}: .*out of the blue") as failed:
                use(opened())
        assert failed.value.exit_status == 1
        assert isinstance(failed.value.__cause__, error), "the log has its traceback"


def test_what_speaks_another_protocol_is_no_redis() -> None:
    class Other(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(b"don't know that\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(StoreDenied, match=r"what answers there is no Redis\. Correct the address\."):
            at(f"redis://127.0.0.1:{other.server_address[1]}").count()
        other.shutdown()

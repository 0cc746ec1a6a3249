"""What a server refuses, does not offer, or answers oddly: said once, with the right that lacks; nothing is lost."""

import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pytest
from pydantic import SecretStr

from sandbox.busy import BusyProxy
from tasks.changes.errors import SourceUnreadable, StoreDenied, StoreUnavailable
from tasks.changes.protocols import Action, Outcome, Problem, Remove
from tasks.datajoint.opening import where_bytes_stay
from tasks.stores.key_ranges import Prefix
from tasks.stores.object_store import ObjectStore
from tasks.stores.objects import Objects
from tasks.stores.s3_look import just_before
from tasks.stores.s3_talk import Bucket
from tests.tasks.stores.conftest import InBucket

DONE = Outcome.DONE
FEW = 6
Denying = Callable[..., AbstractContextManager[None]]


def actions_on(toys: Any, store: ObjectStore) -> list[Action]:
    actions: list[Action] = toys.plan(store, lambda _key, _value: Remove("orphan")).first(1000)
    return actions


@pytest.fixture
def guarded(s3_url: str, make_place: type[InBucket]) -> Iterator[InBucket]:
    """A bucket of its own, whose policy a test may change."""
    place = make_place(s3_url, f"test-steward-{uuid4().hex[:8]}")
    yield place
    place.clear()
    place.client.remove_bucket(place.name)


@pytest.fixture
def denying(guarded: InBucket) -> Denying:
    """Deny everybody some actions on the bucket for a while."""

    @contextmanager
    def deny(*actions: str) -> Iterator[None]:
        resources = [f"arn:aws:s3:::{guarded.name}", f"arn:aws:s3:::{guarded.name}/*"]
        denied = {"Effect": "Deny", "Principal": "*", "Action": list(actions), "Resource": resources}
        guarded.client.set_bucket_policy(guarded.name, json.dumps({"Version": "2012-10-17", "Statement": [denied]}))
        try:
            yield
        finally:
            guarded.client.delete_bucket_policy(guarded.name)

    return deny


def as_reader(place: InBucket, mode: Any) -> Objects:
    """Open objects with keys that may list and read, and nothing else."""
    login = {"access_key": "readkey", "secret_key": SecretStr("readsecret")}
    credentials = place.credentials.model_copy(update=login)
    store = Objects(Bucket(credentials.get_client(), place.name, credentials.location), [Prefix(place.base)], mode)
    try:
        store.now()
    except StoreDenied as error:
        pytest.skip(f"this server has no such user: {error}")
    return store


@pytest.mark.parametrize("mode", ["delete", "quarantine", "purge-versions"])
def test_n4_n9_keys_that_may_only_read_are_stopped_by_the_first_refusal(
    toys: Any, in_bucket: InBucket, mode: Any
) -> None:
    in_bucket.fill(60)
    actions = actions_on(toys, in_bucket.store(mode))
    with pytest.raises(StoreDenied, match=r"its keys lack the right s3:DeleteObject there") as denied:
        as_reader(in_bucket, mode).apply(actions)
    assert denied.value.outcomes == {}
    assert (len(in_bucket), in_bucket.quarantined()) == (60, {})


@pytest.mark.parametrize(
    ("action", "right"),
    [("s3:DeleteObject", "s3:DeleteObject"), ("s3:PutObject", "s3:GetObject or s3:PutObject"), ("s3:ListBucket",) * 2],
)
def test_n4_k3_a_move_that_is_refused_half_way_leaves_no_copies(
    toys: Any, guarded: InBucket, denying: Denying, action: str, right: str
) -> None:
    guarded.fill(FEW)
    for _ in range(2):  # every night again
        store = guarded.store("quarantine")
        actions = actions_on(toys, store)
        with denying(action), pytest.raises(StoreDenied, match=f"lack the right {right} there"):
            store.apply(actions)
        assert (len(guarded), guarded.quarantined()) == (FEW, {})
        time.sleep(1.1)  # the next run's part of the quarantine has another name


def test_k3_a_deletion_that_is_refused_after_the_copy_takes_the_copy_back(
    toys: Any, in_bucket: InBucket, busy: BusyProxy
) -> None:
    [key, *_] = in_bucket.fill(FEW)
    actions = actions_on(toys, in_bucket.store("quarantine"))
    denied = f"<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>Held.</Message></Error>"

    def refuse_one(_method: str, _path: str, asked: bytes, body: bytes) -> bytes:
        return f"<DeleteResult>{denied}</DeleteResult>".encode() if f">{key}<".encode() in asked else body

    busy.alter = refuse_one
    outcomes = in_bucket.store("quarantine", bucket=in_bucket.bucket(busy.port)).apply(actions)
    [problem] = [one for one in outcomes if isinstance(one, Problem)]
    assert "AccessDenied: Held." in problem.reason
    assert outcomes.count(DONE) == FEW - 1
    assert key not in in_bucket.quarantined()


def test_k3_an_undo_whose_deletion_is_refused_stops_before_it_copies(
    toys: Any, guarded: InBucket, denying: Denying
) -> None:
    guarded.fill(FEW)
    actions = actions_on(toys, guarded.store("quarantine"))
    guarded.store("quarantine").apply(actions)
    with denying("s3:DeleteObject"), pytest.raises(StoreDenied, match="s3:DeleteObject"):
        guarded.store("quarantine").apply([one.inverse() for one in actions])
    assert (len(guarded), len(guarded.quarantined())) == (0, FEW)


NOT_OFFERED = b"<Error><Code>NotImplemented</Code><Message>No such request.</Message></Error>"


@pytest.mark.parametrize(
    "answer", [(501, NOT_OFFERED), (405, NOT_OFFERED.replace(b"NotImplemented", b"MethodNotAllowed"))]
)
@pytest.mark.parametrize("mode", ["delete", "quarantine"])
def test_k3_where_deletions_in_bulk_are_not_offered_objects_go_one_by_one(
    toys: Any, in_bucket: InBucket, busy: BusyProxy, mode: Any, answer: tuple[int, bytes]
) -> None:
    keys = in_bucket.fill(FEW)
    actions = actions_on(toys, in_bucket.store(mode))
    busy.answer, busy.busy, busy.busy_with = answer, 1000, {"POST"}
    assert in_bucket.store(mode, bucket=in_bucket.bucket(busy.port)).apply(actions) == [DONE] * FEW
    assert (len(in_bucket), len(in_bucket.quarantined())) == (0, FEW if mode == "quarantine" else 0)
    assert busy.refused == 1, f"asked once for {len(keys)} objects"


def test_k2_whether_a_bucket_is_versioned_is_for_the_report_only(
    toys: Any, guarded: InBucket, denying: Denying
) -> None:
    guarded.fill(FEW)
    store = guarded.store()
    with denying("s3:GetBucketVersioning"):
        assert "unknown" in (where_bytes_stay(store) or "")
        plan = toys.plan(store, lambda _key, _value: Remove("orphan"))
        assert (plan.counts.planned, plan.counts.frees) == (FEW, 7 * FEW)
        assert toys.apply(plan, store).applied == FEW


ODD = ["ctl\x01.txt", "ctl\x01", "\x02/in a folder", "at\ufffe", "at\uffff", "next\U00010000", "tab\t"]


def echoing(_method: str, path: str, _asked: bytes, body: bytes) -> bytes:
    """Answer as Ceph's radosgw does, which writes what was asked into the page as it is."""
    query = dict(part.partition("=")[::2] for part in urlsplit(path).query.split("&"))
    if "list-type" not in query and "versions" not in query:
        return body
    echoed = "".join(f"<StartAfter>{unquote(query.get(name, ''))}</StartAfter>" for name in ("start-after", "prefix"))
    return body.replace(b"<IsTruncated>", f"{echoed}<IsTruncated>".encode())


@pytest.mark.parametrize("mode", ["delete", "quarantine", "purge-versions"])
def test_b4_keys_that_no_page_can_carry_cost_nothing(
    toys: Any, in_bucket: InBucket, busy: BusyProxy, mode: Any
) -> None:
    """A stand-in for radosgw before SeaweedFS: start-after and prefix are echoed unencoded."""
    keys = [f"{in_bucket.base}{name}" for name in ODD] + in_bucket.fill(FEW)
    for key in keys[: len(ODD)]:
        in_bucket[key] = b"odd"
    busy.alter = echoing
    store = in_bucket.store(mode, bucket=in_bucket.bucket(busy.port))
    actions = actions_on(toys, store)
    assert len(actions) == len(keys)
    assert dict(zip((one.key for one in actions), store.apply(actions), strict=True)) == dict.fromkeys(keys, DONE)
    if mode == "quarantine":
        assert store.apply([one.inverse() for one in actions]) == [DONE] * len(keys)
        assert in_bucket.keys() == set(keys)


@pytest.mark.parametrize("key", ["a\x01b", "\x01", "a\x00", "\ufffe", "\uffff", "\U00010000", "a\x1f", "a ", "a!", "é"])
def test_b4_what_a_listing_starts_behind_can_be_carried_and_comes_before_the_key(key: str) -> None:
    after = just_before(key)
    assert after < key
    assert after.encode() < key.encode()
    assert not set(after) & {*map(chr, range(32)), "\ufffe", "\uffff"}


REFUSED = b"<Error><Code>InvalidArgument</Code><Message>The continuation token is incorrect.</Message></Error>"


@pytest.mark.parametrize("times", [1, 3])
def test_s3_a_continuation_that_is_refused_begins_the_listing_again(
    in_bucket: InBucket, busy: BusyProxy, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(Bucket.pages, "__defaults__", (None, 5))
    keys = in_bucket.fill(12)
    store = in_bucket.store(bucket=in_bucket.bucket(busy.port))
    busy.answer, busy.busy, busy.busy_where = (400, REFUSED), times, "continuation-token"
    if times == 1:
        assert sorted(key for page in store.scan() for key, _ in page) == sorted(keys)
    else:
        with pytest.raises(SourceUnreadable, match=r"cannot be continued.*InvalidArgument"):
            next(store.scan())
    assert busy.refused == times


@pytest.mark.parametrize("times", [1, 1000])
def test_s3_a_page_that_breaks_in_the_middle_of_a_listing_is_no_end(
    in_bucket: InBucket, busy: BusyProxy, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(Bucket.pages, "__defaults__", (None, 5))
    keys, torn = in_bucket.fill(12), 0

    def tear(_method: str, path: str, _asked: bytes, body: bytes) -> bytes:
        nonlocal torn
        if "continuation-token" not in path or torn == times:
            return body
        torn += 1
        return body[:-30]

    busy.alter = tear
    store = in_bucket.store(bucket=in_bucket.bucket(busy.port))
    if times == 1:
        assert sorted(key for page in store.scan() for key, _ in page) == sorted(keys)
    else:
        with pytest.raises(SourceUnreadable, match="cannot be read in full"):
            next(store.scan())
        assert torn == 9, "three sizes of a page, three times"


@pytest.mark.parametrize("mode", ["delete", "quarantine"])
def test_r9_markers_of_folders_go_with_them_and_come_back(toys: Any, in_bucket: InBucket, mode: Any) -> None:
    keys = [f"{in_bucket.base}obj/{name}" for name in ("", "sub/", "sub/file", "empty/")]
    for key in keys:
        in_bucket[key] = b"" if key.endswith("/") else b"content"
    store = in_bucket.store(mode)
    actions = actions_on(toys, store)
    assert {one.key for one in actions} == set(keys)
    assert store.apply(actions) == [DONE] * 4
    assert not len(in_bucket)
    if mode == "quarantine":
        assert store.apply([one.inverse() for one in actions]) == [DONE] * 4
        assert dict(in_bucket) == {key: b"" if key.endswith("/") else b"content" for key in keys}


def test_r9_what_is_listed_and_yet_cannot_be_copied_is_a_problem(
    toys: Any, in_bucket: InBucket, busy: BusyProxy
) -> None:
    in_bucket.fill(1)
    actions = actions_on(toys, in_bucket.store("quarantine"))
    gone = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
    busy.answer, busy.busy, busy.busy_with = (404, gone), 1, {"PUT"}
    [outcome] = in_bucket.store("quarantine", bucket=in_bucket.bucket(busy.port)).apply(actions)
    assert isinstance(outcome, Problem)
    assert len(in_bucket) == 1


class Answering(BaseHTTPRequestHandler):
    """Answers every request as Go's TLS servers answer to plain HTTP."""

    def do_GET(self) -> None:
        """Refuse."""
        body = b"Client sent an HTTP request to an HTTPS server.\n"
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def own_certificate(tmp_path: Path) -> ssl.SSLContext:
    """A certificate that nobody else trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def refused_at_once(place: InBucket, **changes: Any) -> str:
    """Return what a store says that fails within the time of one try."""
    credentials = place.credentials.model_copy(update=changes)
    store = Objects(Bucket(credentials.get_client(), place.name, credentials.location), [Prefix(place.base)])
    began = time.monotonic()
    with pytest.raises(StoreDenied) as denied:
        store.now()
    assert time.monotonic() - began < 3
    return str(denied.value)


def test_r10_a_certificate_of_one_s_own_ca_is_said_at_once(in_bucket: InBucket, own_certificate: Any) -> None:
    with serving(own_certificate) as port:
        said = refused_at_once(in_bucket, endpoint=f"127.0.0.1:{port}", tls=True)
    assert "its certificate is not trusted: self-signed certificate" in said
    assert "SSL_CERT_FILE" in said


def test_r10_an_own_ca_is_trusted_through_ssl_cert_file(
    in_bucket: InBucket, own_certificate: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with serving(own_certificate) as port:
        assert "certificate" not in refused_at_once(in_bucket, endpoint=f"127.0.0.1:{port}", tls=True)


def test_r10_tls_to_a_server_without_it_is_said_at_once(in_bucket: InBucket) -> None:
    assert "the server speaks no TLS. Say secure = false" in refused_at_once(in_bucket, tls=True)


def test_r10_no_tls_to_a_server_with_it_is_said_at_once(in_bucket: InBucket) -> None:
    with serving() as port:
        said = refused_at_once(in_bucket, endpoint=f"127.0.0.1:{port}")
    assert "the server speaks TLS. Say secure = true" in said


def test_a_network_that_is_away_is_no_setting(in_bucket: InBucket) -> None:
    credentials = in_bucket.credentials.model_copy(update={"endpoint": "127.0.0.1:1"})
    store = Objects(Bucket(credentials.get_client(retries=False), in_bucket.name, "s3"), [Prefix("")])
    with pytest.raises(StoreUnavailable, match="Connection refused"):
        store.now()

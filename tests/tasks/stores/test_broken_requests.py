"""Each request of a change is broken in turn: what is known is said, it is true, and the next try ends it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blocks.object_store_retries import RETRIES
from sandbox.busy import BusyProxy
from tasks.changes.apply import Application
from tasks.changes.errors import StoreDenied, StoreError, StoreFailed, StoreUnavailable
from tasks.changes.protocols import Action, Outcome, Problem, Remove
from tasks.stores import s3_talk
from tasks.stores.file_objects import FileObjects
from tasks.stores.files import Folder
from tasks.stores.key_ranges import Prefix
from tasks.stores.object_store import ObjectStore
from tests.tasks.stores.conftest import InBucket

DONE, ALREADY = Outcome.DONE, Outcome.ALREADY
SETTLED = {DONE, ALREADY}
ONCE = RETRIES.new(total=0)
ORPHANS = 6


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change a few objects in several parts, without pauses."""
    monkeypatch.setattr("tasks.stores.objects.LEAST", 3)
    monkeypatch.setattr(s3_talk, "PAUSES", (0.0, 0.0))


def actions_on(toys: Any, store: ObjectStore) -> list[Action]:
    actions: list[Action] = toys.plan(store, lambda _key, _value: Remove("orphan")).first(1000)
    return actions


def apply_broken(store: ObjectStore, actions: list[Action]) -> tuple[dict[Any, Any], StoreError | None]:
    """Return the outcomes that a store gives or its error carries, and the error."""
    try:
        return dict(zip((one.key for one in actions), store.apply(actions), strict=True)), None
    except StoreError as error:
        return dict(error.outcomes), error


class Changes:
    """A change of a few objects, made as often as there are requests in it."""

    def __init__(self, toys: Any, place: InBucket, kind: str) -> None:
        self.toys, self.place, self.kind = toys, place, kind
        self.mode = "purge-versions" if kind == "purge-versions" else "delete" if kind == "delete" else "quarantine"

    def prepare(self) -> list[Action]:
        self.place.clear()
        self.keys = self.place.fill(ORPHANS)
        actions = actions_on(self.toys, self.place.store(self.mode))  # type: ignore[arg-type]
        if self.kind != "undo":
            return actions
        assert self.place.store(self.mode).apply(actions) == [DONE] * ORPHANS  # type: ignore[arg-type]
        return [one.inverse() for one in actions]

    def done(self) -> set[str]:
        """Return the keys of those changes that the server holds in full."""
        here = {key.removeprefix(self.place.base) for key in self.place}
        inside = f"{self.place.base}.quarantine/"
        there = [key.removeprefix(inside) for key in self.place.keys_there() if key.startswith(inside)]
        aside = {key.partition("/")[2].removeprefix(self.place.base) for key in there}
        assert len(aside) == len(there), "one copy of each"
        every = {key.removeprefix(self.place.base) for key in self.keys}
        found = {"undo": here - aside, "quarantine": aside - here}.get(self.kind, every - here - aside)
        return {self.place.base + key for key in found}


@pytest.mark.parametrize("before", [True, False], ids=["unseen", "unanswered"])
@pytest.mark.parametrize("kind", ["delete", "quarantine", "purge-versions", "undo"])
def test_b1_k1_a_connection_that_breaks_at_any_request_of_an_apply_loses_no_outcome(
    toys: Any, in_bucket: InBucket, busy: BusyProxy, kind: str, before: bool
) -> None:
    change, at = Changes(toys, in_bucket, kind), 0
    while True:
        actions, at = change.prepare(), at + 1
        store = in_bucket.store(change.mode, bucket=in_bucket.bucket(busy.port, retries=ONCE))  # type: ignore[arg-type]
        busy.requests, busy.cuts, busy.cut_at, busy.cut_before = 0, 0, at, before
        known, error = apply_broken(store, actions)
        if not busy.cuts:
            break
        assert {key for key, outcome in known.items() if outcome in SETTLED} <= change.done()
        assert set(known.values()) <= SETTLED
        rest = [one for one in actions if one.key not in known]
        assert (error is None) == (not rest)
        assert len(rest) <= ORPHANS / 2 or at == 1, "the other parts' outcomes are kept"
        assert set(store.apply(rest)) <= SETTLED if rest else True
        assert change.done() == set(change.keys), f"request {at}"
    assert at > (4 if kind == "delete" else 8)
    assert set(known.values()) == {DONE}


@pytest.mark.parametrize("mode", ["delete", "quarantine"])
def test_b1_an_unreadable_page_in_a_second_look_costs_nothing(
    toys: Any, in_bucket: InBucket, busy: BusyProxy, mode: str
) -> None:
    in_bucket.fill(ORPHANS)
    actions = actions_on(toys, in_bucket.store(mode))  # type: ignore[arg-type]
    pages = 0

    def tear_one(_method: str, path: str, _asked: bytes, body: bytes) -> bytes:
        nonlocal pages
        pages += "list-type" in path
        return body[:-20] if "list-type" in path and pages == 2 else body

    busy.alter = tear_one
    store = in_bucket.store(mode, bucket=in_bucket.bucket(busy.port))  # type: ignore[arg-type]
    assert store.apply(actions) == [DONE] * ORPHANS
    assert pages > 2


def test_b1_where_no_page_can_be_read_the_outcomes_say_so(toys: Any, in_bucket: InBucket, busy: BusyProxy) -> None:
    in_bucket.fill(ORPHANS)
    actions = actions_on(toys, in_bucket.store())
    busy.alter = lambda _method, path, _asked, body: body[:-20] if "list-type" in path else body
    known, error = apply_broken(in_bucket.store(bucket=in_bucket.bucket(busy.port)), actions)
    assert (known, type(error), len(in_bucket)) == ({}, StoreUnavailable, ORPHANS)


BUSY = "<Error><Key>{}</Key><Code>SlowDown</Code><Message>Slow down.</Message></Error>"


@pytest.mark.parametrize(("times", "ends"), [(1, DONE), (100, Problem("SlowDown: Slow down."))])
def test_k1_a_busy_code_of_one_key_is_that_key_s(
    toys: Any, in_bucket: InBucket, busy: BusyProxy, times: int, ends: Outcome | Problem
) -> None:
    keys = in_bucket.fill(ORPHANS)
    actions, said = actions_on(toys, in_bucket.store()), 0

    def slow(method: str, _path: str, asked: bytes, body: bytes) -> bytes:
        nonlocal said
        if method != "POST" or keys[3].encode() not in asked or said == times:
            return body
        said += 1
        return f"<DeleteResult>{BUSY.format(keys[3])}</DeleteResult>".encode()

    busy.alter = slow
    outcomes, error = apply_broken(in_bucket.store(bucket=in_bucket.bucket(busy.port)), actions)
    assert (error, outcomes.pop(keys[3])) == (None, ends)
    assert set(outcomes.values()) == {DONE}
    assert said == min(times, 3)


def test_k1_where_the_server_is_busy_for_all_it_is_unavailable(toys: Any, in_bucket: InBucket, busy: BusyProxy) -> None:
    keys = in_bucket.fill(3)
    actions = actions_on(toys, in_bucket.store())
    busy.answer = 200, f"<DeleteResult>{''.join(map(BUSY.format, keys))}</DeleteResult>".encode()
    busy.busy, busy.busy_with = 1, {"POST"}
    known, error = apply_broken(in_bucket.store(bucket=in_bucket.bucket(busy.port)), actions)
    assert (known, type(error), len(in_bucket)) == ({}, StoreUnavailable, 3)


def test_a_key_that_was_not_asked_for_is_no_answer(toys: Any, in_bucket: InBucket, busy: BusyProxy) -> None:
    in_bucket.fill(3)
    actions = actions_on(toys, in_bucket.store())
    busy.answer = 200, f"<DeleteResult>{BUSY.format('other')}</DeleteResult>".encode()
    busy.busy, busy.busy_with = 1, {"POST"}
    known, error = apply_broken(in_bucket.store(bucket=in_bucket.bucket(busy.port)), actions)
    assert (known, type(error)) == ({}, StoreFailed)


def unforeseen(*_: Any, **__: Any) -> Any:
    message = "what nobody foresaw"
    raise RuntimeError(message)


@pytest.mark.parametrize("kind", ["delete", "quarantine", "undo"])
def test_k4_whatever_the_client_raises_becomes_one_of_our_errors(
    toys: Any, in_bucket: InBucket, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    actions = Changes(toys, in_bucket, kind).prepare()
    for name in ("_url_open", "_execute"):
        with monkeypatch.context() as patch:
            patch.setattr(f"minio.Minio.{name}", unforeseen)
            store = in_bucket.store("quarantine")
            for ask in (lambda: next(store.scan()), store.now, lambda: store.apply(actions)):  # noqa: B023
                with pytest.raises(StoreFailed, match="RuntimeError: what nobody foresaw"):
                    ask()


CALLS = ["unlink", "link", "open", "stat", "mkdir", "fstat"]


class FilesToChange:
    """Files in a few folders, and the actions that change them."""

    def __init__(self, toys: Any, folder: Path, kind: str) -> None:
        self.folder, self.kind = folder, kind
        folder.mkdir()
        mode: Any = "delete" if kind == "delete" else "quarantine"
        self.store = FileObjects(Folder(str(folder)), [Prefix("lab/")], mode)
        for number in range(ORPHANS):
            path = folder / f"lab/{number % 2}/{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"content")
        self.actions = actions_on(toys, self.store)
        if kind == "undo":
            assert self.store.apply(self.actions) == [DONE] * ORPHANS
            self.actions = [one.inverse() for one in self.actions]

    def is_done(self, key: Any) -> bool:
        here, aside = (self.folder / key).exists(), list(self.folder.glob(f".steward-quarantine/*/{key}"))
        return {"undo": (True, 0), "quarantine": (False, 1)}.get(self.kind, (False, 0)) == (here, len(aside))


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ENOSPC, errno.EPERM], ids=errno.errorcode.get)
@pytest.mark.parametrize("kind", ["delete", "quarantine", "undo"])
def test_b1_a_disk_that_fails_at_any_step_of_an_apply_loses_no_outcome(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: int
) -> None:
    for call in CALLS:
        at = 0
        while at < 3 * ORPHANS:
            at += 3
            changes = FilesToChange(toys, tmp_path / f"{call}-{at}", kind)
            calls = 0
            real: Callable[..., Any] = getattr(os, call)

            def failing(*args: Any, **options: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls >= at:  # noqa: B023
                    raise OSError(code, os.strerror(code))
                return real(*args, **options)  # noqa: B023

            with monkeypatch.context() as patch:
                patch.setattr(os, call, failing)
                known, _ = apply_broken(changes.store, changes.actions)
            assert all(changes.is_done(key) for key, outcome in known.items() if outcome in SETTLED), (call, at)
            unknown = [one for one in changes.actions if one.key not in known and changes.is_done(one.key)]
            assert len(unknown) <= 1, "what was done is known, but for the one whose answer was lost"
            rest = [one for one in changes.actions if known.get(one.key) not in SETTLED]
            assert set(changes.store.apply(rest)) <= SETTLED if rest else True
            assert all(changes.is_done(one.key) for one in changes.actions), (call, at)
            if calls < at:
                break


def test_k1_a_file_that_cannot_be_read_costs_that_file(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, real = FilesToChange(toys, tmp_path / "files", "delete"), os.unlink

    def failing(name: str, **options: Any) -> None:
        if name == "3":
            raise OSError(errno.EIO, "Input/output error")
        real(name, **options)

    monkeypatch.setattr(os, "unlink", failing)
    outcomes = dict(zip((one.key for one in changes.actions), changes.store.apply(changes.actions), strict=True))
    problem = outcomes.pop("lab/1/3")
    assert isinstance(problem, Problem)
    assert "Input/output error" in problem.reason
    assert set(outcomes.values()) == {DONE}


def test_k4_whatever_the_system_raises_becomes_one_of_our_errors(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = FilesToChange(toys, tmp_path / "files", "delete")
    monkeypatch.setattr("tasks.stores.file_tree.object_of_stat", unforeseen)
    for ask in (lambda: next(changes.store.scan()), lambda: changes.store.apply(changes.actions)):
        with pytest.raises(StoreFailed, match="RuntimeError: what nobody foresaw"):
            ask()


@pytest.mark.parametrize("kind", ["delete", "quarantine"])
def test_n4_a_folder_in_which_nothing_may_be_changed_is_named_once(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Root may do everything: the system says no for it."""
    changes = FilesToChange(toys, tmp_path / "files", kind)

    def denying(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "unlink" if kind == "delete" else "link", denying)
    with pytest.raises(StoreDenied, match=r"Permission denied\. The folder .*/lab/\d has the mode 0\d{3} and is") as no:
        changes.store.apply(changes.actions)
    assert no.value.outcomes == {}


def test_n4_one_line_and_a_count_for_a_plan_that_is_denied(toys: Any, in_bucket: InBucket, busy: BusyProxy) -> None:
    in_bucket.fill(ORPHANS)
    plan = toys.plan(in_bucket.store(), lambda _key, _value: Remove("orphan"))
    application = Application(plan, in_bucket.store(bucket=in_bucket.bucket(busy.port)))
    denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
    busy.answer, busy.busy, busy.busy_with = (403, denied), 1000, {"POST"}
    with pytest.raises(StoreDenied, match="lack the right s3:DeleteObject there"):
        toys.finish(application, plan)
    assert (application.tally.applied, application.tally.problem_count, len(in_bucket)) == (0, 0, ORPHANS)
    assert busy.refused <= 2, "each part asks once at most"

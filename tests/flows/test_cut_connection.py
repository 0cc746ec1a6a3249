"""The connection breaks in the middle: the run goes on and counts exactly, or ends with how far it came."""

from collections.abc import Callable, Sequence

import pytest
from redis import Redis

from flows.apply import apply
from flows.undo import undo
from sandbox.chaos import ChaosProxy
from tasks.changes.apply import apply_segment
from tasks.changes.errors import ApplyStopped, BadInput, PlanRefused, SourceUnreadable, StoreUnavailable
from tasks.changes.protocols import Action, Key, Outcome
from tasks.datashare.archives import ArchiveGone
from tasks.stores.redis_hash import RedisHash
from tests.flows.conftest import Datashare

BATCH = RedisHash.batch_size


@pytest.fixture(autouse=True)
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without the seconds between."""
    quick = apply_segment.with_options(retry_delay_seconds=0.1, retry_jitter_factor=0)
    monkeypatch.setattr("tasks.changes.apply.apply_segment", quick)


@pytest.mark.parametrize("way", ["cut_up", "cut_down"])
def test_a_cut_while_applying_loses_no_count(
    datashare: Datashare, proxy: ChaosProxy, before_batch: Callable[..., None], way: str
) -> None:
    """Cut on its way up a batch was not done; cut on its way down it was, and only the answer is lost."""
    stay = set(datashare.present(3 * BATCH))
    datashare.gone(3 * BATCH)
    before_batch(2, lambda: setattr(proxy, way, 10))
    report = datashare.clean()
    assert proxy.cuts == 1
    assert (report.planned, report.applied, report.conflicts) == (3 * BATCH, 3 * BATCH, 0)
    assert report.kept == {"archive is there": 3 * BATCH}
    assert datashare.tasks == stay


def test_a_cut_while_scanning_reads_on(datashare: Datashare, proxy: ChaosProxy) -> None:
    datashare.present(3 * BATCH)
    proxy.cut_down = 300_000
    report = datashare.plan()
    assert proxy.cuts == 1
    assert (report.scanned, report.planned) == (3 * BATCH, 0)


def test_a_server_gone_for_good_fails_the_run_and_the_next_run_ends_it(
    datashare: Datashare, proxy: ChaosProxy, before_batch: Callable[..., None]
) -> None:
    stay = set(datashare.present(3 * BATCH))
    datashare.gone(3 * BATCH)

    def leave() -> None:
        proxy.refuse()
        proxy.drop_all()

    before_batch(3, leave)
    with pytest.raises(StoreUnavailable, match=r"does not answer.*2,000 of 3,000 changes were made") as failed:
        datashare.clean()
    report = failed.value.report
    assert report
    assert (report.planned, report.applied, report.conflicts) == (3 * BATCH, 2 * BATCH, 0)
    assert len(datashare.tasks) == 4 * BATCH
    proxy.accept_again()
    rest = apply(report.plan, datashare.credentials)
    assert (rest.applied, rest.kept["already as planned"]) == (BATCH, 2 * BATCH)
    assert datashare.tasks == stay


FAILURES = [SourceUnreadable("half a page"), BadInput("a bad value"), PlanRefused("no"), RuntimeError("unforeseen")]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_b1_no_error_after_the_first_change_ends_as_a_refusal(
    datashare: Datashare, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    datashare.present(3 * BATCH)
    datashare.gone(3 * BATCH)
    sends = RedisHash.begin

    def begin(store: RedisHash, actions: Sequence[Action]) -> Callable[[], list[Outcome]]:
        if len(datashare.tasks) < 6 * BATCH:
            raise failure
        return sends(store, actions)

    monkeypatch.setattr(RedisHash, "begin", begin)
    with pytest.raises(ApplyStopped) as stopped:
        datashare.clean()
    assert stopped.value.exit_status == 1
    assert str(failure) in str(stopped.value)
    assert f"{BATCH:,} of {3 * BATCH:,} changes were made before that" in str(stopped.value)
    assert "othing has changed" not in str(stopped.value)
    assert stopped.value.report
    assert (stopped.value.report.applied, stopped.value.report.stage) == (BATCH, "stopped")
    assert len(datashare.tasks) == 5 * BATCH


def test_b1_a_failure_before_the_first_change_says_that_nothing_has_changed(
    datashare: Datashare, monkeypatch: pytest.MonkeyPatch
) -> None:
    datashare.present(2)
    datashare.gone(2)

    def look_again(_judge: ArchiveGone, _actions: Sequence[Action]) -> dict[Key, str]:
        message = "the folder is gone."
        raise SourceUnreadable(message)

    monkeypatch.setattr(ArchiveGone, "look_again", look_again)
    with pytest.raises(SourceUnreadable, match=r"the folder is gone\. Nothing has changed\.") as refused:
        datashare.clean()
    assert refused.value.report
    assert (refused.value.report.applied, refused.value.report.stage) == (0, "refused")
    assert len(datashare.tasks) == 4


def test_a_store_that_is_emptied_while_an_undo_is_cut_off_is_not_filled_any_further(
    datashare: Datashare, redis_client: Redis, before_batch: Callable[..., None]
) -> None:
    datashare.present(3 * BATCH)
    datashare.gone(3 * BATCH)
    plan = datashare.clean().plan

    def empty() -> None:
        redis_client.delete(datashare.key)
        message = "the server is started again"
        raise StoreUnavailable(message)

    before_batch(2, empty)
    with pytest.raises(ApplyStopped, match=r"holds 0 records, less than half .* replaced or emptied") as stopped:
        undo(plan, datashare.credentials)
    assert f"{BATCH:,} of {3 * BATCH:,} changes were made before that" in str(stopped.value)
    assert not redis_client.exists(datashare.key)


def test_a_server_that_is_down_from_the_start_is_said_to_be(datashare: Datashare, proxy: ChaosProxy) -> None:
    proxy.refuse()
    with pytest.raises(StoreUnavailable, match=f"redis://127.0.0.1:{proxy.port}/0#.* does not answer"):
        datashare.clean()

"""The archive folder goes away, or the process stands still, in the middle of apply: what is not known does not go."""

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sandbox.chaos import ChaosProxy
from tasks.changes.errors import ApplyStopped, PlanRefused, SourceUnreadable
from tasks.changes.protocols import Action
from tasks.datashare.archives import ArchiveGone
from tasks.stores.redis_hash import RedisHash
from tests.flows.conftest import Command, Datashare

BATCH = 100
MOUNTED = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
needs_mount = pytest.mark.skipif(MOUNTED.returncode != 0, reason="only root may mount")


def mount(*arguments: object) -> None:
    subprocess.run([*map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def mounted(datashare: Datashare) -> Iterator[Datashare]:
    """A Datashare whose archives are on a file system of their own."""
    mount("mount", "-t", "tmpfs", "none", datashare.folder)
    yield datashare
    while datashare.folder.is_mount():
        mount("umount", "-l", datashare.folder)


@pytest.fixture
def after_look(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Have something happen once the judge has looked again at the nth batch, before that is sent."""
    monkeypatch.setattr(RedisHash, "batch_size", BATCH)
    monkeypatch.setattr("tasks.changes.apply.FRESH_SECONDS", 60)  # one look a batch, however slow the machine

    def do(nth: int, act: Callable[[], object]) -> None:
        looks, looked = ArchiveGone.look_again, [0]

        def look_then(judge: ArchiveGone, actions: list[Action]) -> Any:
            stays = looks(judge, actions)
            looked[0] += 1
            if looked[0] == nth:
                act()
            return stays

        monkeypatch.setattr(ArchiveGone, "look_again", look_then)

    return do


def fill(datashare: Datashare, batches: int = 5) -> None:
    datashare.present(batches * BATCH)
    datashare.gone(batches * BATCH)


def stops_after(datashare: Datashare, applied: int, why: str) -> None:
    """The run stops with true counts, and so many are gone."""
    before = datashare.redis.hlen(datashare.key)
    with pytest.raises(ApplyStopped, match=rf"{why}.*{applied} of 500 changes were made before that") as stopped:
        datashare.clean()
    assert stopped.value.exit_status == 1
    assert stopped.value.report
    assert stopped.value.report.applied == applied == before - datashare.redis.hlen(datashare.key)
    assert stopped.value.report.unmade == {"not tried, or no answer": 500 - applied}


@needs_mount
@pytest.mark.parametrize("left", ["an empty folder under the mount point", "nothing", "another file system"])
def test_n18_the_archives_are_unmounted_between_two_looks(
    mounted: Datashare, after_look: Callable[..., None], left: str
) -> None:
    """Lazily, as by an administrator, while batch 1 is on its way and batch 2 was looked at already."""
    fill(mounted)

    def unmount() -> None:
        mount("umount", "-l", mounted.folder)
        if left == "nothing":
            mounted.folder.rmdir()
        elif left == "another file system":
            mount("mount", "-t", "tmpfs", "none", mounted.folder)

    after_look(2, unmount)
    stops_after(mounted, BATCH, "cannot be read in full" if left == "nothing" else "not the folder it was")
    mounted.folder.mkdir(exist_ok=True)


def test_n18_the_folder_is_exchanged_between_two_looks(
    datashare: Datashare, after_look: Callable[..., None], tmp_path: Path
) -> None:
    fill(datashare)

    def exchange() -> None:
        datashare.folder.rename(tmp_path / "elsewhere")
        datashare.folder.mkdir()

    after_look(2, exchange)
    stops_after(datashare, BATCH, "not the folder it was")


def failing(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Half of the files in a folder that is held open answer so; a stand-in for a failing disk or file server."""
    lstat = os.lstat

    def half(path: Any, *, dir_fd: int | None = None) -> os.stat_result:
        if dir_fd is not None and hash(path) % 2:
            raise OSError(error, os.strerror(error))
        return lstat(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "lstat", half)


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN])
def test_n18_half_of_the_folder_answers_with_an_error(
    datashare: Datashare, after_look: Callable[..., None], monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    fill(datashare)
    after_look(2, lambda: failing(monkeypatch, error))
    stops_after(datashare, 2 * BATCH, "cannot be read in full")  # what was looked at while it answered may go


def test_n18_a_folder_that_is_read_in_half_refuses(datashare: Datashare, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(datashare, 1)
    scandir = os.scandir

    class Half:
        def __init__(self, path: Any) -> None:
            self._entries, self._left = scandir(path), BATCH // 2

        def __enter__(self) -> Iterator[Any]:
            return self

        def __exit__(self, *_: object) -> None:
            self._entries.close()

        def __iter__(self) -> Iterator[Any]:
            return self

        def __next__(self) -> Any:
            self._left -= 1
            if not self._left:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return next(self._entries)

    monkeypatch.setattr("tasks.stores.files.os.scandir", Half)
    with pytest.raises(SourceUnreadable, match="cannot be read in full: Input/output error"):
        datashare.clean()
    assert len(datashare.tasks) == 2 * BATCH


def test_n18_before_the_first_change_it_is_refused(datashare: Datashare, after_look: Callable[..., None]) -> None:
    fill(datashare, 1)
    after_look(1, lambda: datashare.folder.rename(datashare.folder.with_name("elsewhere")))
    with pytest.raises(PlanRefused, match=r"cannot be read in full.*Nothing has changed"):
        datashare.clean()
    assert len(datashare.tasks) == 2 * BATCH


def begun(datashare: Datashare, command: Command) -> "subprocess.Popen[str]":
    """Start the command, and return once its first changes are made."""
    total = datashare.redis.hlen(datashare.key)
    run = command.start("hmap-cleaner", *datashare.arguments, "--json")
    while datashare.redis.hlen(datashare.key) == total:
        assert run.poll() is None, run.communicate()
        time.sleep(0.001)
    return run


def settled(datashare: Datashare) -> int:
    """Return how many records there are once what was sent has arrived."""
    before, now = -1, datashare.redis.hlen(datashare.key)
    while before != now:
        time.sleep(0.3)
        before, now = now, datashare.redis.hlen(datashare.key)
    return now


@needs_mount
def test_n18_unmounted_under_the_command_it_ends_with_1_and_true_counts(
    mounted: Datashare, command: Command, proxy: ChaosProxy
) -> None:
    mounted.present(6000)
    mounted.gone(6000)
    proxy.latency = 0.02  # so that there are moments between a run's batches
    run = begun(mounted, command)
    mount("umount", "-l", mounted.folder)
    then = mounted.redis.hlen(mounted.key)
    out, err = run.communicate(timeout=60)
    left = mounted.redis.hlen(mounted.key)
    assert run.returncode == 1, err
    assert orjson.loads(out)["applied"] == 12_000 - left
    assert then - left <= RedisHash.batch_size, "only what was on its way"
    assert "is not the folder it was" in err


@pytest.mark.parametrize("moment", ["planned", "applying"])
def test_n14_stopped_for_longer_than_what_the_judge_saw_holds_it_looks_again(
    datashare: Datashare, command: Command, proxy: ChaosProxy, plans: Path, moment: str
) -> None:
    datashare.present(4000)
    datashare.gone(4000)
    proxy.latency = 0.02
    if moment == "applying":
        run = begun(datashare, command)
    else:
        run = command.start("hmap-cleaner", *datashare.arguments, "--json")
        while not list(plans.glob("*.zst")):
            assert run.poll() is None, run.communicate()
            time.sleep(0.001)
    os.kill(run.pid, signal.SIGSTOP)
    time.sleep(1.2)  # longer than FRESH_SECONDS
    alive = settled(datashare)
    for task in datashare.tasks:
        (datashare.folder / f"{task}.zip").touch()
    os.kill(run.pid, signal.SIGCONT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    report = orjson.loads(out)
    lost = alive - datashare.redis.hlen(datashare.key)
    assert lost <= RedisHash.batch_size, "only what was on its way"
    assert report["applied"] == 8000 - datashare.redis.hlen(datashare.key)
    assert report["kept"]["archive came back"] == 4000 - report["applied"] > 0

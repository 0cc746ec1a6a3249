"""Files on a real disk: listed in full, changed only where they still look as planned, never through a link."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tasks.changes.errors import SourceUnreadable, StoreUnavailable
from tasks.changes.protocols import Action, Outcome, Problem, Remove
from tasks.stores import file_objects, file_tree
from tasks.stores.file_objects import FileObjects
from tasks.stores.files import Folder
from tasks.stores.key_ranges import Prefix, Shard
from tasks.stores.quarantine import PastGrace

DONE, ALREADY, CONFLICT = Outcome.DONE, Outcome.ALREADY, Outcome.CONFLICT
ORPHAN, HOUR = Remove("orphan"), timedelta(hours=1)


def everything(_key: Any, _value: Any) -> Remove:
    return ORPHAN


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three files, and things that are none."""
    for name in ("lab/ab/one", "lab/ab/two", "lab/cd/three"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "lab_v2").mkdir()
    (tmp_path / "lab_v2/four").touch()
    (tmp_path / "lab/link").symlink_to(tmp_path / "lab_v2")
    (tmp_path / "lab/ab/dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "lab/ab/pipe")
    return tmp_path


Opened = Callable[..., FileObjects]


@pytest.fixture
def opened(root: Path) -> Opened:
    return lambda mode="delete", prefix="lab/", **options: FileObjects(
        Folder(str(root)), [Prefix(prefix)], mode, **options
    )


def keys_of(store: FileObjects) -> set[Any]:
    return {key for page in store.scan() for key, _ in page}


def files_in(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def action_for(store: FileObjects, key: Any) -> Action:
    return next(Action(one, store.image(value), None) for page in store.scan() for one, value in page if one == key)


def test_it_is_named_by_its_path(opened: Opened, root: Path) -> None:
    assert unquote(opened().location) == f"file://{root}/lab/"


def test_a2_one_folder_however_it_is_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    stores = [
        FileObjects(Folder(path), [Prefix("lab/")]) for path in (str(root), f"{root}/", root.name, f"./{root.name}//")
    ]
    assert {store.location for store in stores} == {stores[0].location}
    assert [keys_of(store) for store in stores] == 4 * [{"lab/ab/one", "lab/ab/two", "lab/cd/three"}]


def test_a15_links_are_not_followed_and_no_records(opened: Opened) -> None:
    assert keys_of(opened()) == {"lab/ab/one", "lab/ab/two", "lab/cd/three"}
    assert keys_of(opened(prefix="lab/ab")) == {"lab/ab/one", "lab/ab/two"}


def test_a_link_in_place_of_the_prefix_is_refused(opened: Opened) -> None:
    with pytest.raises(SourceUnreadable, match="lab/link"):
        keys_of(opened(prefix="lab/link/"))


def test_r15_a_schema_folder_that_is_a_link_is_named(opened: Opened) -> None:
    with pytest.raises(SourceUnreadable, match=r"lab/link is a symbolic link, to .*lab_v2; links are not followed"):
        keys_of(opened(prefix="lab/link/"))


@pytest.fixture
def mounted(root: Path) -> Iterator[Path]:
    """A schema's folder that is a file system of its own."""
    folder = root / "lab"
    shutil.rmtree(folder)
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    for name in ("ab/one", "ab/two", "cd/three"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / "ab/two").chmod(0o640)
    os.utime(folder / "ab/two", ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    yield folder
    subprocess.run(["umount", folder], check=True)


def state_of(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return what undo gives back: bytes, mode and time of each file."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_r7_files_move_into_a_quarantine_on_another_file_system_and_back(
    toys: Any, opened: Opened, mounted: Path
) -> None:
    before = state_of(mounted)
    assert mounted.stat().st_dev != mounted.parent.stat().st_dev
    store = opened("quarantine")
    plan = toys.plan(store, everything)
    tally = toys.apply(plan, store)
    assert (tally.applied, tally.problems, state_of(mounted)) == (3, [], {})
    assert state_of(mounted.parent / ".steward-quarantine") == before
    assert toys.apply(plan, store).kept == {ALREADY.value: 3}
    assert toys.undo(plan, store).applied == 3
    assert state_of(mounted) == before
    assert not (mounted.parent / ".steward-quarantine").exists()


@pytest.mark.parametrize("call", ["unlink", "link", "fsync", "utime", "fchmod"])
def test_r7_a_move_across_file_systems_that_dies_half_way_is_finished(
    toys: Any, opened: Opened, mounted: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before, store, real = state_of(mounted), opened("quarantine"), getattr(os, call)
    plan = toys.plan(store, everything)
    calls = 0

    def dying(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OSError(errno.EIO, "Input/output error")
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, dying)
        with pytest.raises(StoreUnavailable):
            toys.apply(plan, store)
    toys.apply(plan, store)
    assert (state_of(mounted), state_of(mounted.parent / ".steward-quarantine")) == ({}, before)


def test_r7_a_file_that_changes_while_it_is_copied_stays(
    toys: Any, opened: Opened, mounted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real = opened("quarantine"), os.fsync
    plan = toys.plan(store, everything)

    def meddling(descriptor: int) -> None:
        (mounted / "ab/one").write_bytes(b"changed while it is copied")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", meddling)
    assert toys.apply(plan, store).conflicts == 1
    assert state_of(mounted).keys() == {"one"}
    assert state_of(mounted.parent / ".steward-quarantine").keys() == {"two", "three"}


def test_n9_a_folder_that_may_not_be_read_is_named_with_its_mode(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denying(_folder: int) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", denying)  # root may read everything
    with pytest.raises(SourceUnreadable, match=r"lab cannot be read in full: Permission denied\. The folder .* mode 0"):
        keys_of(opened())


def test_s3_a_tree_that_breaks_in_the_middle_is_read_again(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    real, broken = os.scandir, 0

    def breaking(folder: int) -> Any:
        nonlocal broken
        if Path(f"/proc/self/fd/{folder}").readlink().name == "ab" and not broken:
            broken += 1
            raise OSError(5, "Input/output error")
        return real(folder)

    monkeypatch.setattr(os, "scandir", breaking)
    pages = list(opened().scan())
    assert sorted(key for page in pages for key, _ in page) == ["lab/ab/one", "lab/ab/two", "lab/cd/three"]
    assert broken == 1


def test_a_prefix_under_which_nothing_was_written_is_empty(opened: Opened) -> None:
    assert keys_of(opened(prefix="new/schema/")) == set()


def test_shards_share_the_files_among_them(tmp_path: Path) -> None:
    names = [f"{i:02x}/{i:04x}" for i in range(0, 256, 5)] + ["README", "zz/last"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    seen = [
        key
        for number in (1, 2, 3)
        for page in FileObjects(Folder(str(tmp_path)), [Prefix("", "0123456789abcdef")], shard=Shard(number, 3)).scan()
        for key, _ in page
    ]
    assert sorted(seen) == sorted(names)


def test_a_name_that_is_no_text_keeps_its_bytes(toys: Any, opened: Opened, root: Path) -> None:
    odd = root / "lab/ab" / os.fsdecode(b"\xff\xfe\n")
    odd.write_bytes(b"odd")
    store = opened("quarantine")
    assert b"lab/ab/\xff\xfe\n" in keys_of(store)
    plan = toys.plan(store, everything)
    assert (toys.apply(plan, store).applied, odd.exists()) == (4, False)
    assert (toys.undo(plan, store).applied, odd.exists()) == (4, True)


def test_a15_empty_folders_go_and_what_the_prefix_names_stays(toys: Any, opened: Opened, root: Path) -> None:
    plan = toys.plan(opened(), everything)
    assert toys.apply(plan, opened()).applied == 3
    assert not (root / "lab/cd").exists()
    assert (root / "lab/ab").exists(), "a pipe and a link are in it"
    (root / "lab/link").unlink()
    shutil.rmtree(root / "lab/ab")
    (root / "lab/ef/gh").mkdir(parents=True)
    (root / "lab/ef/gh/last").touch()
    toys.apply(toys.plan(opened(), everything), opened())
    assert list((root / "lab").iterdir()) == []


def test_empty_folders_that_a_killed_run_left_go_with_the_next(toys: Any, opened: Opened, root: Path) -> None:
    plan = toys.plan(opened(), everything)
    (root / "lab/cd/three").unlink()
    assert toys.apply(plan, opened()).kept == {ALREADY.value: 1}
    assert not (root / "lab/cd").exists()


@pytest.mark.parametrize(
    "key", ["../out", "lab/../lab_v2/four", "/etc/passwd", "lab//ab/one", "lab/./ab/one", "", "lab/", "lab/\0", "."]
)
@pytest.mark.parametrize("way", ["delete", "aside", "back"])
def test_a15_a_key_that_leads_out_is_refused(opened: Opened, root: Path, key: str, way: str) -> None:
    before = files_in(root)
    image = {"size": 0, "etag": "0", "modified": "2024-01-01T00:00:00+00:00"}
    if way != "delete":
        image["aside"] = ".q/1"
    action = Action(key, None, image) if way == "back" else Action(key, image, None)
    assert opened().apply([action]) == [Problem("it leads out of the folder, or to no file")]
    assert files_in(root) == before


def test_a_quarantine_that_leads_out_is_refused(opened: Opened, root: Path) -> None:
    [one] = [action_for(opened(), "lab/ab/one")]
    aside = Action(one.key, {**one.before, "aside": "../outside"}, None)  # type: ignore[dict-item]
    assert opened().apply([aside]) == [Problem("it leads out of the folder, or to no file")]
    assert (root / "lab/ab/one").exists()


def test_a15_a_folder_that_became_a_link_is_left_alone(opened: Opened, root: Path) -> None:
    action = action_for(opened(), "lab/cd/three")
    (root / "lab/cd").rename(root / "elsewhere")
    (root / "lab/cd").symlink_to(root / "elsewhere")
    assert opened().apply([action]) == [CONFLICT]
    assert (root / "elsewhere/three").exists()


@pytest.mark.parametrize("become", [Path.symlink_to, os.symlink, lambda path, _: path.mkdir()])
def test_a_file_that_became_something_else_is_left_alone(opened: Opened, root: Path, become: Any) -> None:
    action, path = action_for(opened(), "lab/ab/one"), root / "lab/ab/one"
    path.unlink()
    become(*((path, root / "lab_v2/four") if become is not os.symlink else (root / "lab/ab/two", path)))
    assert opened().apply([action]) == [CONFLICT]
    assert os.path.lexists(path)


def test_the_same_bytes_written_anew_are_another_version(opened: Opened, root: Path) -> None:
    action = action_for(opened(), "lab/ab/one")
    (root / "lab/ab/one").write_bytes(b"lab/ab/one")
    assert opened().apply([action]) == [CONFLICT]


def test_undo_gives_back_the_file_itself(toys: Any, opened: Opened, root: Path) -> None:
    before = {path: path.stat() for path in map(root.joinpath, ("lab/ab/one", "lab/cd/three"))}
    store = opened("quarantine")
    plan = toys.plan(store, everything)
    toys.apply(plan, store)
    assert keys_of(opened(prefix="")) == {"lab_v2/four"}, "the quarantine is out of sight"
    assert toys.undo(plan, store).applied == 3
    for path, was in before.items():
        now = path.stat()
        assert (now.st_ino, now.st_mtime_ns, now.st_mode, now.st_nlink) == (
            was.st_ino,
            was.st_mtime_ns,
            was.st_mode,
            1,
        )
    assert not (root / ".steward-quarantine").exists()
    assert toys.apply(plan, store).applied == 3, "and the plan may be carried out again"


def test_folders_come_back_with_the_rights_of_those_they_are_in(toys: Any, opened: Opened, root: Path) -> None:
    (root / "lab").chmod(0o2775)
    store = opened("quarantine")
    plan = toys.plan(store, everything)
    toys.apply(plan, store)
    toys.undo(plan, store)
    assert (root / "lab/cd").stat().st_mode & 0o7777 == 0o2775


def test_a_move_that_died_half_way_is_finished(toys: Any, opened: Opened, root: Path) -> None:
    store = opened("quarantine")
    plan = toys.plan(store, everything)
    aside = root / plan.first(1)[0].before["aside"]  # type: ignore[index,operator]
    (aside / "lab/cd").mkdir(parents=True)
    (aside / "lab/cd/three").hardlink_to(root / "lab/cd/three")
    assert toys.apply(plan, store).applied == 3
    assert not (root / "lab/cd").exists()
    (root / "lab/cd").mkdir()
    (root / "lab/cd/three").hardlink_to(aside / "lab/cd/three")
    assert toys.undo(plan, store).applied == 3
    assert (root / "lab/cd/three").stat().st_nlink == 1


def test_undo_never_moves_over_what_came_meanwhile(
    toys: Any, opened: Opened, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = opened("quarantine"), root / "lab/cd/three"
    plan = toys.plan(store, everything)
    toys.apply(plan, store)

    def meddling(name: str, source: int, target: int) -> bool:
        if name == "three":
            path.write_bytes(b"new, between our look and the move")
        return file_tree.move(name, source, target)

    monkeypatch.setattr(file_objects, "move", meddling)
    tally = toys.undo(plan, store)
    assert (tally.applied, tally.conflicts) == (2, 1)
    assert path.read_bytes() == b"new, between our look and the move"


def test_a_disk_without_hard_links_moves_all_the_same(
    toys: Any, opened: Opened, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: Any, **__: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", refusing)
    store, before = opened("quarantine"), files_in(root)
    plan = toys.plan(store, everything)
    assert toys.apply(plan, store).applied == 3
    (root / "lab/cd").mkdir()
    (root / "lab/cd/three").write_bytes(b"new")
    tally = toys.undo(plan, store)
    assert (tally.applied, tally.conflicts) == (2, 1)
    assert (before - files_in(root), (root / "lab/cd/three").read_bytes()) == (set(), b"new")


def test_a_file_in_quarantine_that_was_changed_or_purged_stays_away(toys: Any, opened: Opened, root: Path) -> None:
    store = opened("quarantine")
    plan = toys.plan(store, everything)
    toys.apply(plan, store)
    aside = root / plan.first(1)[0].before["aside"]  # type: ignore[index,operator]
    (aside / "lab/ab/one").write_bytes(b"changed")
    (aside / "lab/ab/two").unlink()
    tally = toys.undo(plan, store)
    assert (tally.applied, tally.conflicts) == (1, 2)
    assert toys.undo(plan, store).kept == {ALREADY.value: 1}


def test_the_quarantine_is_purged_after_a_grace_of_its_own(toys: Any, opened: Opened, root: Path) -> None:
    os.utime(root / "lab/ab/one", (0, 0))  # long before it was moved
    store = opened("quarantine")
    toys.apply(toys.plan(store, everything), store)
    inside, now = opened(prefix=".steward-quarantine/"), opened().now()
    young = toys.plan(inside, PastGrace(now=now, grace=HOUR))
    assert young.counts.planned == 0
    old = toys.plan(inside, PastGrace(now=now + 2 * HOUR, grace=HOUR))
    assert toys.apply(old, inside).applied == 3
    assert list((root / ".steward-quarantine").iterdir()) == []


def missing(root: Path) -> None:
    root.rename(root.with_name(f"{root.name}-elsewhere"))


def another(root: Path) -> None:
    missing(root)
    root.mkdir()


@pytest.mark.parametrize("become", [missing, another])
def test_a8_a_folder_that_is_not_mounted_is_unreadable_not_empty(
    opened: Opened, root: Path, become: Callable[[Path], None]
) -> None:
    store = opened()
    action = action_for(store, "lab/ab/one")
    become(root)
    with pytest.raises(SourceUnreadable):
        keys_of(store)
    with pytest.raises(SourceUnreadable):
        store.apply([action])


def test_a8_one_folder_that_cannot_be_read_makes_the_listing_none(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def broken(folder: int) -> Any:
        if Path(f"/proc/self/fd/{folder}").readlink().name == "ab":
            raise OSError(5, "Input/output error")
        return real(folder)

    monkeypatch.setattr(os, "scandir", broken)
    with pytest.raises(SourceUnreadable, match="Input/output error"):
        keys_of(opened())


def test_a13_a_file_that_may_not_go_is_a_problem_and_the_rest_goes(
    toys: Any, opened: Opened, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.unlink

    def forbidding(name: str, **options: Any) -> None:
        if name == "two":
            raise PermissionError(1, "Operation not permitted")
        real(name, **options)

    monkeypatch.setattr(os, "unlink", forbidding)
    plan = toys.plan(opened(), everything)
    tally = toys.apply(plan, opened())
    assert tally.problems == [{"record": "lab/ab/two", "reason": "Operation not permitted"}]
    assert (tally.applied, (root / "lab/ab/two").exists()) == (2, True)


def test_a_disk_that_is_gone_is_unavailable(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    action = action_for(opened(), "lab/ab/two")

    def gone(*_: Any, **__: Any) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "unlink", gone)
    with pytest.raises(StoreUnavailable, match="Stale file handle"):
        opened().apply([action])

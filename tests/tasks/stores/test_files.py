"""The names in a folder are all found, and a folder that cannot be read in full is never taken for an empty one."""

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.changes.errors import SourceUnreadable
from tasks.stores.files import Folder, Names

ODD = [b"plain", b".hidden", "é".encode(), b"\xff\xfe", b"new\nline", b"a b", b"%41"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with odd names in it."""
    path = tmp_path / "archives"
    path.mkdir()
    for name in ODD:
        (path / os.fsdecode(name)).touch()
    return path


def test_every_name_is_found_and_no_other() -> None:
    names = Names(b"archive %d.zip" % n for n in range(200_000))
    assert len(names) == 200_000
    assert all(b"archive %d.zip" % n in names for n in range(200_000))
    assert not any(b"archive %d.zip" % -n in names for n in range(1, 50_000))
    assert b"" not in names


def test_no_names_hold_nothing() -> None:
    names = Names([])
    assert len(names) == 0
    assert b"" not in names


def test_names_take_little_memory() -> None:
    tracemalloc.start()
    names = Names(b"archive_%d.zip" % n for n in range(250_000))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / len(names) < 16  # bytes; a set takes about 130


def test_a_folder_gives_the_names_of_all_its_entries(folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "dangling").symlink_to("nowhere")
    names = Folder(str(folder)).names()
    assert len(names) == len(ODD) + 2
    assert all(name in names for name in [*ODD, b"folder", b"dangling"])


def test_it_looks_for_one_name_as_it_is_now(folder: Path) -> None:
    held = Folder(str(folder))
    (folder / "dangling").symlink_to("nowhere")
    assert all(map(held.holds, [*ODD, b"dangling"]))
    assert not held.holds(b"new")
    (folder / "new").touch()
    (folder / "plain").unlink()
    assert held.holds(b"new")
    assert not held.holds(b"plain")


def test_a_name_that_no_file_can_have_is_not_there(folder: Path) -> None:
    assert not Folder(str(folder)).holds(b"a" * 256)


def missing(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def a_file(path: Path) -> None:
    missing(path)
    path.touch()


def a_loop(path: Path) -> None:
    missing(path)
    path.symlink_to(path)


def forbidden(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every folder")
    path.chmod(0)


def another(path: Path) -> None:
    missing(path)
    path.mkdir()


@pytest.mark.parametrize("become", [missing, a_file, a_loop, forbidden])
def test_c13_what_is_no_readable_folder_is_refused(folder: Path, become: Callable[[Path], None]) -> None:
    become(folder)
    with pytest.raises(SourceUnreadable, match=f"{folder} cannot be read in full: .*Is it mounted"):
        Folder(str(folder))


@pytest.mark.parametrize("become", [missing, a_file, a_loop])
def test_c13_what_was_a_folder_when_it_was_opened_is_refused(folder: Path, become: Callable[[Path], None]) -> None:
    held = Folder(str(folder))
    become(folder)
    with pytest.raises(SourceUnreadable):
        held.names()
    with pytest.raises(SourceUnreadable):
        held.check()


def test_c13_a_folder_that_was_exchanged_is_noticed(folder: Path) -> None:
    held = Folder(str(folder))
    held.check()
    another(folder)
    with pytest.raises(SourceUnreadable, match=f"{folder} is not the folder it was"):
        held.check()


def test_c13_a_link_that_leads_elsewhere_is_noticed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    held = Folder(str(tmp_path / "link"))
    held.check()
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(SourceUnreadable):
        held.check()


def test_c13_names_of_which_only_some_can_be_read_are_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def breaking(_path: bytes) -> Iterator[Iterator[SimpleNamespace]]:
        def entries() -> Iterator[SimpleNamespace]:
            yield SimpleNamespace(name=b"first")
            raise OSError(5, "Input/output error")

        yield entries()

    held = Folder(str(folder))
    monkeypatch.setattr(os, "scandir", breaking)
    with pytest.raises(SourceUnreadable, match="Input/output error"):
        held.names()

"""Where plans are kept. Stores in a Prefect block are tested with the flows, where there is a server."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.changes.errors import BadInput, PlanDamaged
from tasks.changes.plan_store import PlanStore, default_folder
from tasks.changes.sealed_file import open_file

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "some" / "plans"


def kept(store: PlanStore, content: bytes = b"plan", seal: str = "0123456789abcdef") -> tuple[Path, str]:
    partial = store.new_path("hmap-clean")
    partial.write_bytes(content)
    return store.keep(partial, "hmap-clean", NOW, seal)


def test_its_folder_is_made_for_its_owner_only(folder: Path) -> None:
    PlanStore.at(str(folder))
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_mode_of_a_folder_that_is_there_is_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o750)
    PlanStore.at(str(folder))
    assert folder.stat().st_mode & 0o777 == 0o750


def test_to_read_a_plan_no_folder_is_made(folder: Path) -> None:
    with pytest.raises(PlanDamaged, match=f"There is no plan file {folder}/nowhere"):
        open_file("nowhere", str(folder))
    assert not folder.exists()


def test_a_file_in_its_place_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="Give another folder with --plans"):
        PlanStore.at(str(tmp_path / "file"))


def test_a_plan_is_named_by_job_time_and_hash(folder: Path) -> None:
    path, name = kept(PlanStore.at(str(folder)))
    assert name == str(path) == str(folder / "hmap-clean-20250601T120000Z-01234567.plan.zst")
    assert path.read_bytes() == b"plan"
    assert list(folder.iterdir()) == [path]


def test_plans_in_the_making_do_not_meet(folder: Path) -> None:
    store = PlanStore.at(str(folder))
    paths = {store.new_path("hmap-clean") for _ in range(20)}
    assert len(paths) == 20
    assert not any(path.exists() for path in paths)


def test_a_plan_is_fetched_by_path_and_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PlanStore.at(str(folder))
    path, name = kept(store)
    assert store.fetch(name) == store.fetch(path.name) == path
    elsewhere = PlanStore.at(str(folder.parent / "others"))
    assert elsewhere.fetch(name) == path
    assert not elsewhere.fetch(path.name).exists()
    monkeypatch.chdir(folder.parent)
    assert elsewhere.fetch(f"plans/{path.name}").samefile(path)
    monkeypatch.setenv("HOME", str(folder))
    assert elsewhere.fetch(f"~/{path.name}") == path


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"STEWARD_PLANS": "/x/plans", "XDG_DATA_HOME": "/y"}, "/x/plans"),
        ({"XDG_DATA_HOME": "/y"}, "/y/steward/plans"),
        ({"HOME": "/home/z"}, "/home/z/.local/share/steward/plans"),
    ],
)
def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    for name in ("STEWARD_PLANS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_folder() == Path(expected)


def test_prune_removes_old_plans_and_leftovers_and_nothing_else(folder: Path) -> None:
    store = PlanStore.at(str(folder))
    names = [
        "old.plan.zst",
        "old.partial",
        "young.plan.zst",
        "young.partial",
        "old.txt",
        "old.plan.zst.bak",
        "plan.zst",
    ]
    for name in names:
        age = timedelta(days=1) if name.startswith("young") else timedelta(days=31)
        (folder / name).touch()
        os.utime(folder / name, ((NOW - age).timestamp(),) * 2)
    assert sorted(store.prune(timedelta(days=30), NOW)) == ["old.partial", "old.plan.zst"]
    assert sorted(path.name for path in folder.iterdir()) == sorted({*names} - {"old.partial", "old.plan.zst"})

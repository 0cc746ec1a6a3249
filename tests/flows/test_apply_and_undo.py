"""`apply` carries out exactly the plan that was read; `undo` puts back what a run changed, where nobody else did."""

from pathlib import Path
from typing import Any

import pytest
from prefect.filesystems import LocalFileSystem

from blocks.redis_credentials import RedisCredentials
from flows.apply import apply
from flows.undo import undo
from tasks.changes.errors import BadInput, PlanDamaged, PlanRefused, RecordsUnhandled, WrongStore
from tasks.changes.report import Report
from tasks.stores.redis_talk import Talk
from tests.flows.conftest import Datashare, download


@pytest.fixture
def half(datashare: Datashare) -> Datashare:
    """Six downloads, three of which have lost their archives."""
    datashare.present(3)
    datashare.gone(3)
    return datashare


def carry_out(plan: str, datashare: Datashare, **options: Any) -> Report:
    return apply(plan, datashare.credentials, **options)


def take_back(plan: str, datashare: Datashare, **options: Any) -> Report:
    return undo(plan, datashare.credentials, **options)


def numbers(report: Report) -> tuple[int, int, int]:
    """Give what was planned, done, and left alone because somebody changed it."""
    return report.planned, report.applied, report.conflicts


def test_a_plan_from_a_dry_run_is_carried_out_exactly(half: Datashare) -> None:
    plan = half.plan()
    half.gone(1, "gone-since")
    report = carry_out(plan.plan, half)
    assert numbers(report) == (3, 3, 0)
    assert (report.job, report.dry_run, report.plan_hash) == ("apply", False, plan.plan_hash)
    assert half.tasks == {"present-0", "present-1", "present-2", "gone-since-0"}


def test_applied_twice_is_applied_once(half: Datashare) -> None:
    plan = half.plan().plan
    carry_out(plan, half)
    stands = half.everything()
    again = carry_out(plan, half)
    assert (again.applied, again.conflicts, again.kept["already as planned"]) == (0, 0, 3)
    assert half.everything() == stands


def test_the_archives_are_looked_for_again(half: Datashare) -> None:
    plan = half.plan().plan
    (half.folder / "gone-0.zip").touch()
    assert carry_out(plan, half).kept["archive came back"] == 1
    assert "gone-0" in half.tasks


def test_a_folder_emptied_since_the_plan_is_refused(half: Datashare) -> None:
    plan = half.plan().plan
    for archive in half.folder.iterdir():
        archive.unlink()
    with pytest.raises(PlanRefused, match="is empty"):
        carry_out(plan, half)
    assert len(half.tasks) == 6


@pytest.mark.parametrize("flow", [apply, undo])
def test_another_database_is_refused(half: Datashare, flow: Any) -> None:
    plan = half.plan().plan
    with pytest.raises(WrongStore, match=r"The plan is for redis://.*/0#.*, not for redis://.*/1#"):
        flow(plan, RedisCredentials.from_argument(half.url.removesuffix("/0") + "/1"))
    assert len(half.tasks) == 6


def test_another_server_is_refused_without_asking_it(half: Datashare) -> None:
    plan = half.plan().plan
    with pytest.raises(WrongStore, match="not for redis://localhost:1/0#"):
        apply(plan, RedisCredentials.from_argument("redis://localhost:1/0"))


def test_the_hash_is_the_one_the_plan_was_made_for(half: Datashare) -> None:
    """Another hash cannot even be asked for: apply and undo take the key from the plan."""
    plan = half.plan().plan
    assert "hash_key" not in apply.parameters.properties
    assert numbers(carry_out(plan, half)) == (3, 3, 0)


@pytest.mark.parametrize("flow", [apply, undo])
@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-9], lambda whole: whole[:60] + b"?" + whole[61:], bytes.lower]
)
def test_a_damaged_plan_is_refused(half: Datashare, flow: Any, damage: Any) -> None:
    path = Path(half.plan().plan)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(PlanDamaged):
        flow(str(path), half.credentials)
    assert len(half.tasks) == 6


@pytest.mark.parametrize("flow", [apply, undo])
def test_a_plan_that_is_not_there_is_refused(half: Datashare, flow: Any) -> None:
    with pytest.raises(PlanDamaged, match="no plan file"):
        flow("hmap-clean-20260101T000000Z-00000000.plan.zst", half.credentials)


def test_undo_puts_back_every_byte(half: Datashare) -> None:
    half.add("spaced", b" " + download("spaced", "spaced.zip") + b"\n")
    half.redis.hset(half.key, b"\xff\x00", download("x", "binary-field.zip"))
    before = half.everything()
    plan = half.clean(max_fraction=1).plan
    assert len(half.tasks) == 3
    assert numbers(take_back(plan, half)) == (5, 5, 0)
    assert half.everything() == before


def test_undo_leaves_alone_what_was_written_since(half: Datashare) -> None:
    plan = half.clean().plan
    half.add("gone-1", b"newer")
    assert numbers(take_back(plan, half)) == (3, 2, 1)
    assert half.redis.hget(half.key, "gone-1") == b"newer"


def test_undone_twice_is_undone_once(half: Datashare) -> None:
    before = half.everything()
    plan = half.clean().plan
    take_back(plan, half)
    again = take_back(plan, half)
    assert (again.applied, again.conflicts, again.kept["already as planned"]) == (0, 0, 3)
    assert half.everything() == before


def test_undo_of_a_plan_that_never_ran_changes_nothing(half: Datashare) -> None:
    before = half.everything()
    report = take_back(half.plan().plan, half)
    assert (report.applied, report.conflicts) == (0, 0)
    assert half.everything() == before


def test_undo_needs_no_archive_folder(half: Datashare) -> None:
    before = half.everything()
    plan = half.clean().plan
    for archive in half.folder.iterdir():
        archive.unlink()
    half.folder.rmdir()
    take_back(plan, half)
    assert half.everything() == before


def test_undo_does_not_fail_for_records_that_it_had_nothing_to_do_with(half: Datashare) -> None:
    half.add("broken", b"{")
    before = half.everything()
    with pytest.raises(RecordsUnhandled) as failed:
        half.clean()
    assert failed.value.report
    assert numbers(take_back(failed.value.report.plan, half)) == (3, 3, 0)
    assert half.everything() == before


def test_applied_after_an_undo_it_is_done_again(half: Datashare) -> None:
    plan = half.clean().plan
    take_back(plan, half)
    assert numbers(carry_out(plan, half)) == (3, 3, 0)


def test_a_plan_can_be_carried_out_from_another_directory(half: Datashare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(half.folder.parent)
    plan = half.plan(archive_dir="archives").plan
    monkeypatch.chdir(Path("/"))
    assert numbers(carry_out(plan, half)) == (3, 3, 0)


class TestInABlock:
    """Plans kept in a file system block, as deployments keep them."""

    @pytest.fixture
    def where(self, tmp_path: Path) -> str:
        (tmp_path / "remote").mkdir()
        block = LocalFileSystem(basepath=str(tmp_path / "remote"))
        name = f"plans-{tmp_path.name.replace('_', '-')}".lower()
        block.save(name, overwrite=True)
        return f"block:local-file-system/{name}"

    def test_job_apply_and_undo(self, half: Datashare, where: str) -> None:
        before = half.everything()
        plan = half.plan(plans=where).plan
        assert plan.startswith(f"{where}/hmap-clean-")
        assert numbers(carry_out(plan, half)) == (3, 3, 0)
        assert numbers(take_back(plan.rpartition("/")[2], half, plans=where)) == (3, 3, 0)
        assert half.everything() == before

    def test_the_plan_is_there_before_the_first_change(
        self, half: Datashare, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept: list[bool] = []
        changing = Talk.send

        def look(talk: Talk, scripts: Any) -> Any:
            kept.append(bool(list((tmp_path / "remote").rglob("*.plan.zst"))))
            return changing(talk, scripts)

        monkeypatch.setattr(Talk, "send", look)
        half.clean(plans=where)
        assert kept
        assert all(kept)

    def test_plans_in_a_folder_are_for_their_owner_only(self, half: Datashare) -> None:
        plan = Path(half.plan().plan)
        assert oct(plan.stat().st_mode)[-3:] == "600"
        assert oct(plan.parent.stat().st_mode)[-3:] == "700"

    def test_a_plan_that_is_not_in_it_is_refused(self, half: Datashare, where: str) -> None:
        with pytest.raises(PlanDamaged, match="no plan file"):
            carry_out("hmap-clean-20260101T000000Z-00000000.plan.zst", half, plans=where)

    def test_an_unknown_block_is_bad_input(self, half: Datashare) -> None:
        with pytest.raises(BadInput, match="no Prefect block local-file-system/nowhere"):
            half.plan(plans="block:local-file-system/nowhere")

"""`apply` carries out exactly the plan that was read; `undo` puts back what a run changed, where nobody else did."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.filesystems import LocalFileSystem

from blocks.redis_credentials import RedisCredentials
from flows.apply import apply
from flows.undo import undo
from tasks.changes import sealed_file
from tasks.changes.errors import ApplyStopped, BadInput, PlanDamaged, PlanRefused, RecordsUnhandled, WrongStore
from tasks.changes.report import Report
from tasks.stores.redis_hash import RedisHash
from tasks.stores.redis_talk import Talk
from tests.flows.conftest import Datashare, Here, download
from tests.flows.forging import forge, put_in_its_place, written_over


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


@pytest.mark.parametrize("flow", [apply, undo])
def test_another_sealed_plan_under_its_name_is_refused(half: Datashare, flow: Any) -> None:
    before = half.everything()
    plan = Path(half.plan().plan)
    put_in_its_place(plan, forge(plan, {key.decode(): value for key, value in before.items()}))
    with pytest.raises(PlanDamaged, match="holds another plan than its name says: its hash begins with") as refused:
        flow(str(plan), half.credentials)
    assert refused.value.exit_status == 2
    assert half.everything() == before


@pytest.mark.parametrize("flow", [apply, undo])
def test_a_plan_renamed_to_another_is_refused(half: Datashare, flow: Any) -> None:
    first, second = Path(half.plan().plan), Path(half.plan(states=["DONE", "ERROR"]).plan)
    first.replace(second)
    with pytest.raises(PlanDamaged, match="replaced or renamed"):
        flow(str(second), half.credentials)


def test_a_plan_under_a_name_without_a_hash_is_carried_out(half: Datashare, tmp_path: Path) -> None:
    plan = Path(half.plan().plan).rename(tmp_path / "to be done")
    assert numbers(carry_out(str(plan), half)) == (3, 3, 0)


@pytest.mark.parametrize("flow", [apply, undo])
def test_a_plan_of_another_hash_is_refused(half: Datashare, flow: Any) -> None:
    plan = half.plan()
    with pytest.raises(PlanDamaged, match=f"has the hash {plan.plan_hash}, not {'0' * 64}"):
        flow(plan.plan, half.credentials, hash="0" * 64)
    assert len(half.tasks) == 6
    assert flow(plan.plan, half.credentials, hash=plan.plan_hash).planned == 3
    assert flow(plan.plan, half.credentials, hash=plan.plan_hash[:16].upper()).planned == 3


def test_the_hash_on_the_command_line(half: Datashare, here: Here) -> None:
    plan = half.plan()
    done = here("steward", "apply", plan.plan, half.url, "--hash", "0" * 64)
    assert (done.returncode, len(half.tasks)) == (2, 6)
    assert "it is another plan" in done.stderr
    done = here("steward", "undo", plan.plan, half.url, "--hash", plan.plan_hash[:8])
    assert (done.returncode, len(half.tasks)) == (2, 6)
    assert "--hash" in done.stderr
    assert "is not 16 to 64 hex digits of the plan's hash; the 8 in its name are too few" in done.stderr
    assert here("steward", "apply", plan.plan, half.url, "--hash", "").returncode == 2
    assert here("steward", "apply", plan.plan, half.url, "--hash", plan.plan_hash).returncode == 0
    assert len(half.tasks) == 3


def test_bytes_altered_between_two_batches_are_not_applied(
    half: Datashare, before_batch: Callable[[int, Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read ahead is as approved; of what was altered since, nothing is."""
    monkeypatch.setattr(sealed_file, "CHUNK", 1 << 10)
    monkeypatch.setattr(RedisHash, "batch_size", 20)
    half.gone(400, "more")
    plan = half.plan(max_fraction=1.0)
    before = half.everything()
    forged = forge(Path(plan.plan), before_image(before))
    before_batch(2, lambda: written_over(Path(plan.plan), forged))
    with pytest.raises(ApplyStopped, match="altered since it was read"):
        carry_out(plan.plan, half)
    assert b"forged" not in half.everything().values()
    assert 0 < len(before) - len(half.everything()) < 403


def before_image(records: dict[bytes, bytes]) -> dict[str, bytes]:
    return {key.decode(): value for key, value in records.items()}


class TestUndoDryRun:
    """`undo --dry-run` tells what undo would meet."""

    def test_it_tells_what_would_be_put_back_and_what_has_changed(self, half: Datashare) -> None:
        plan = half.clean().plan
        half.gone(2)
        half.add("gone-0", b"newer")
        stands = half.everything()
        report = take_back(plan, half, dry_run=True)
        assert (report.dry_run, report.job, report.scanned) == (True, "undo", 3)
        assert (report.planned, report.applied, report.conflicts) == (1, 0, 1)
        assert report.kept["already as planned"] == 1
        assert (report.because, report.examples) == ({}, [])
        assert report.bytes_freed == 0
        assert half.everything() == stands
        done = take_back(plan, half)
        assert (done.applied, done.conflicts) == (report.planned, report.conflicts)

    def test_on_the_command_line(self, half: Datashare, here: Here) -> None:
        plan = half.clean().plan
        half.add("gone-1", b"newer")
        stands = half.everything()
        done = here("steward", "undo", plan, half.url, "--dry-run", "--json")
        report = json.loads(done.stdout)
        assert done.returncode == 0
        assert (report["dry_run"], report["planned"], report["conflicts"], report["applied"]) == (True, 2, 1, 0)
        done = here("steward", "undo", plan, half.url, "--dry-run")
        assert done.returncode == 0
        assert "Dry run: 2 of 3 changes would be taken back, 1 conflicts; nothing was changed." in done.stdout
        assert not re.search("because|First changes|more$", done.stdout, re.MULTILINE)
        assert f"steward undo {Path(plan).name}" in done.stdout
        assert half.everything() == stands

    def test_what_it_brings_back_has_the_sign_of_what_comes(self, half: Datashare, here: Here) -> None:
        plan = half.clean().plan
        done = here("steward", "undo", plan, half.url, "--dry-run")
        assert len(re.findall(r"^  \+ gone-\d  archive is gone", done.stdout, re.MULTILINE)) == 3
        assert "  - gone" not in done.stdout
        assert re.search(r"^    because: archive is gone +3$", done.stdout, re.MULTILINE)

    def test_it_says_what_would_be_refused(self, half: Datashare, here: Here) -> None:
        plan = half.clean().plan
        half.redis.delete(half.key)
        done = here("steward", "undo", plan, half.url, "--dry-run")
        assert done.returncode == 0
        assert "This would be refused, without --other-store" in done.stdout
        assert "holds 0 records" in done.stdout
        assert half.tasks == set()

    def test_apply_has_it_too(self, half: Datashare) -> None:
        plan = half.plan().plan
        (half.folder / "gone-0.zip").touch()
        report = carry_out(plan, half, dry_run=True)
        assert (report.dry_run, report.planned, report.kept["archive came back"]) == (True, 2, 1)
        assert (report.because, report.examples) == ({}, [])
        assert len(half.tasks) == 6


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

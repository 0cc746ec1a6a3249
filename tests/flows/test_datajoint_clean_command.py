"""The commands `steward datajoint-clean` and `dj-cleaner`, as an operator or a program uses them."""

import json
import os
import random
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.flows.conftest import Command, Here
from tests.flows.external_store import ExternalStore, Stores, config_of

DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 3
SECRETS = ("testsecret", "s3cret")
KILLS = int(os.environ.get("STEWARD_KILLS", "1"))


@pytest.fixture
def here(here: Here) -> Here:
    """Run a command, and see that it tells no secret."""

    def run(name: str, *arguments: object) -> CompletedProcess[str]:
        done = here(name, *arguments)
        assert not any(secret in done.stdout + done.stderr for secret in SECRETS)
        return done

    return run


def reports_in(done: CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_old_command_reads_the_old_file_and_acts(lab: ExternalStore, command: Command, tmp_path: Path) -> None:
    orphans = set(lab.blobs(tracked=4, orphans=3))
    before, file, log = lab.paths, config_of(lab), tmp_path / "log"
    young = command("dj-cleaner", "--config-file", file)
    assert young.returncode == DONE, young.stderr
    assert "kept: younger than the grace period" in young.stdout, "a day of grace is new"
    assert lab.paths == before
    config_of(lab, grace="0s")
    done = command("dj-cleaner", "-c", file, "--log-file", log, "--log-level", "info")
    assert done.returncode == DONE, done.stderr
    assert done.stdout.startswith("3 of 3 planned changes made, 0 conflicts.\n")
    assert lab.paths == before - orphans
    assert "3 of 3 planned changes made" in log.read_text()
    assert not any(secret in log.read_text() for secret in SECRETS)


def test_steward_plans_only_and_its_plan_is_shown_applied_and_undone(lab: ExternalStore, here: Here) -> None:
    orphans = set(lab.blobs(tracked=4, orphans=3))
    before, file = lab.everything, config_of(lab, grace="0s", mode="quarantine")
    planned = here("steward", "datajoint-clean", "--config-file", file, "--json")
    (report,) = reports_in(planned)
    assert (planned.returncode, report["planned"], report["applied"], lab.everything) == (DONE, 3, 0, before)
    shown = here("steward", "plan", "show", report["plan"]).stdout
    assert f"change: no row of {lab.schema.name} (legacy) references it: 3" in shown
    assert all(orphan in shown for orphan in orphans)
    assert not any(secret in shown for secret in SECRETS)
    told = here("steward", "datajoint-clean", "--config-file", file).stdout
    assert told.endswith(f".plan.zst {file}\n"), "the store is named by the file"
    applied = here("steward", "apply", report["plan"], file, "--json")
    assert (applied.returncode, reports_in(applied)[0]["applied"]) == (DONE, 3)
    assert lab.paths == before.keys() - orphans
    undone = here("steward", "undo", report["plan"], file, "--json")
    assert (undone.returncode, reports_in(undone)[0]["applied"]) == (DONE, 3)
    assert lab.everything == before


def test_the_current_folder_s_file_is_the_default(
    lab: ExternalStore, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.blobs(tracked=2, orphans=1)
    monkeypatch.chdir(Path(config_of(lab, grace="0s")).parent)
    assert here("steward", "datajoint-clean").stdout.startswith("Dry run: 1 of 3 records would change")


def test_each_run_of_a_file_has_its_report_and_the_worst_says_the_status(
    lab: ExternalStore, stores: Stores, here: Here
) -> None:
    emptied, other = stores(), stores()
    for one in (lab, other):
        one.blobs(tracked=4, orphans=2, beginning=one.schema.name)
    emptied.blobs(tracked=0, orphans=2)
    file = config_of(lab, emptied, other, grace="0s")
    done = here("steward", "datajoint-clean", "-c", file, "--apply", "--json")
    assert done.returncode == REFUSED
    assert [one["applied"] for one in reports_in(done)] == [2, 0, 2]
    assert [line for line in done.stderr.splitlines() if line.startswith("Run ")] == [
        f"Run {n} of 3, on {lab.store.location}" for n in (1, 2, 3)
    ]
    assert "has no reference of" in done.stderr
    assert [len(one.paths) for one in (lab, emptied, other)] == [4, 2, 4]
    emptied.schema.drop()
    failed = here("dj-cleaner", "-c", file, "--run", "2")
    assert (failed.returncode, "There is no schema" in failed.stderr) == (REFUSED, True)
    assert here("dj-cleaner", "-c", file, "--run", "3").returncode == DONE


WRONG = {
    "a8 the password": ('password = ""', 'password = "s3cret"', REFUSED, "Access denied for user"),
    "a8 the schema": ('schema = "', 'schema = "x', REFUSED, "There is no schema xlab_"),
    "a8 the store": ('store = "main"', 'store = "mian"', REFUSED, "neither a tracking table nor a column"),
    "a11 the location": ('location = "', 'location = "x', REFUSED, "is it the right location"),
    "the secret key": ('secret_key = "testsecret"', 'secret_key = "s3cret"', FAILED, "the secret key is wrong"),
    "the bucket": ('bucket = "test-steward"', 'bucket = "no-such"', FAILED, "there is no such bucket"),
    "a key": ('schema = "', 'schemaa = "', USAGE, "[[cleaning_runs]] 1, schemaa: not known"),
    "the endpoint": ('endpoint = "', 'endpoint = "http://', USAGE, "minio.s3_0] endpoint: write it without"),
    "the table": ("[storage_servers.minio.s3_0]", "[storage_servers.minio.x]", USAGE, "[storage_servers.minio.s3_0]"),
}


@pytest.mark.parametrize(("old", "new", "status", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_in_the_file_is_said_and_nothing_goes(
    lab: ExternalStore, here: Here, old: str, new: str, status: int, said: str
) -> None:
    lab.blobs(tracked=2, orphans=1)
    file = Path(config_of(lab, grace="0s"))
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    done = here("dj-cleaner", "-c", file)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr
    assert len(lab.paths) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-c", "nowhere.toml"), "nowhere.toml: No such file or directory. Give the file with --config-file."),
        (("--run", "2"), "--run 2: the file has the runs 1 to 1"),
        (("--log-level", "NOISE", "--log-file", "log"), "there is no such level"),
        (("--log-file", "no/such/folder"), "No such file"),
        (("--shard", "3/2"), "is no shard"),
        (("--purge-after", "soon"), "--purge-after: 'soon' is no duration such as 36h or 7d"),
    ],
)
def test_bad_options_end_with_2(
    lab: ExternalStore, here: Here, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    lab.blobs(tracked=2, orphans=1)
    monkeypatch.chdir(Path(config_of(lab)).parent)
    done = here("dj-cleaner", *arguments)
    assert (done.returncode, said in done.stderr) == (USAGE, True), done.stderr
    assert len(lab.paths) == 3


@pytest.mark.parametrize("mode", ["delete", "quarantine"])
def test_killed_with_9_at_random_moments_and_run_again_the_end_is_the_same(
    stores: Stores, command: Command, here: Here, mode: str
) -> None:
    lab = stores(disk=True)
    orphans = set(lab.blobs(tracked=3_000, orphans=2_500))
    before, file = lab.paths, config_of(lab, grace="0s", mode=mode)
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    watched = [Path(lab.store) / lab.place.base / path for path in moments.sample(sorted(orphans), 50)]
    for n in range(KILLS):
        gone = moments.randrange(1, 48)
        run = command.start("dj-cleaner", "-c", file)
        while sum(not path.exists() for path in watched) < gone:  # to look at all takes too long
            assert run.poll() is None, run.communicate()
            time.sleep(0.001)
        run.kill()
        run.communicate()
        killed = lab.paths
        assert before - orphans < killed < before, "some are gone, and nothing but orphans"
        done = here("dj-cleaner", "-c", file, "--json")
        assert (done.returncode, lab.paths) == (DONE, before - orphans)
        assert reports_in(done)[0]["applied"] == len(killed - (before - orphans))
        aside = [path.split("/", 2)[2] for path in lab.everything if path.startswith(".steward-quarantine/")]
        assert sorted(aside) == sorted([*orphans] * (n + 1) if mode == "quarantine" else [])
        lab.blobs(tracked=0, orphans=2_500)

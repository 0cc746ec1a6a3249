"""The commands, as an operator or a program uses them: exit statuses, what stands on which stream, what is said."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, Popen
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import cli
from flows.command import runs_of
from flows.hmap_clean import hmap_clean
from flows.jobs import flow_of, job_names
from sandbox.chaos import ChaosProxy
from sandbox.prefect_server import PrefectServer
from tests.flows.conftest import Command, Datashare, Here

DONE, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130
REPORT_KEYS = [
    *("job", "dry_run", "scanned", "planned", "applied", "conflicts", "kept", "ignored", "problem_count", "problems"),
    *("bytes_freed", "plan", "plan_hash", "started", "finished"),
]


@pytest.fixture
def half(datashare: Datashare) -> Datashare:
    """Six downloads, three of which have lost their archives."""
    datashare.present(3)
    datashare.gone(3)
    return datashare


def words(text: str) -> str:
    """Give a help page's words, without its frames and line breaks."""
    return " ".join(text.translate(dict.fromkeys(map(ord, "│╭╮╰╯─*"), " ")).split())


def report_in(done: CompletedProcess[str]) -> dict[str, Any]:
    """Give the report, which is all there is on stdout."""
    (line,) = done.stdout.splitlines()
    return dict(json.loads(line))


def quiet(done: CompletedProcess[str]) -> bool:
    """Say whether it spared the operator our insides."""
    return "Traceback" not in done.stderr and not done.stdout


class TestHelp:
    @pytest.mark.parametrize("line", [["steward"], ["steward", "--help"]])
    def test_steward_lists_its_jobs_by_system_and_says_what_to_try_first(self, here: Here, line: list[str]) -> None:
        done = here(*line)
        assert done.returncode == DONE
        panels = dict(re.findall(r"─ (\w+) ─+╮(.*?)╰─", done.stdout, re.DOTALL))
        listed = {name: set(re.findall(r"│ (\w\S*)  ", panel)) for name, panel in panels.items()}
        assert listed == {
            "Datashare": {"hmap-clean", "task-model-migrate", "batch-search-migrate"},
            "DataJoint": {"datajoint-clean"},
            "Plans": {"plan", "apply", "undo"},
            "Options": set(),
        }
        assert {*job_names(), "plan"} == set().union(*listed.values())
        assert all(f"Old name: {old}." in words(done.stdout) for old in cli.OLD_NAMES.values())
        first = next(line.split() for line in done.stdout.splitlines() if line.startswith("  steward "))
        assert runs_of(hmap_clean, dict(zip(("redis", "archive_dir"), first[2:], strict=True)), None, live=False)

    @pytest.mark.parametrize("line", ["steward", "steward --help", "steward --version", "hmap-cleaner --version"])
    def test_it_is_told_without_prefect(self, environment: dict[str, str], line: str) -> None:
        name, *arguments = line.split()
        function = {"steward": "main", "hmap-cleaner": "hmap_cleaner"}[name]
        code = f"import sys, flows.cli; sys.argv = {[name, *arguments]}; flows.cli.{function}()"
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == DONE
        assert "flows.cli" in done.stderr
        assert " prefect" not in done.stderr

    @pytest.mark.parametrize("line", ["steward", "steward hmap-clean", *cli.OLD_NAMES.values()])
    def test_the_version_is_that_of_the_project(self, command: Command, line: str) -> None:
        done = command(*line.split(), "--version")
        project = tomllib.loads((Path(cli.__file__).parents[1] / "pyproject.toml").read_text())["project"]
        assert (done.returncode, done.stdout, done.stderr) == (DONE, f"{project['version']}\n", "")

    @pytest.mark.parametrize("line", ["steward hmap-clean", "hmap-cleaner", "steward apply", "steward undo"])
    def test_a_job_lists_every_parameter_of_its_flow_with_its_description(self, here: Here, line: str) -> None:
        name, *job = line.split()
        done = here(name, *job, "--help")
        form = flow_of(*job or ["hmap-clean"]).parameters
        for parameter, shown in form.properties.items():
            option = f"--{parameter.replace('_', '-')}"
            text = shown["description"]
            if parameter == "dry_run" and job == ["hmap-clean"]:
                option, text = "--apply", "Make the changes; without it the command only plans."
            assert (parameter.upper() if parameter in form.required else option) in done.stdout
            assert words(text) in words(done.stdout)
        assert "--json" in done.stdout
        assert ("--apply" in done.stdout, "--dry-run" in done.stdout) == {
            "steward hmap-clean": (True, False),
        }.get(line, (False, True))


class TestModes:
    def test_steward_plans_only(self, half: Datashare, here: Here) -> None:
        done = here("steward", "hmap-clean", *half.arguments)
        assert done.returncode == DONE
        assert done.stdout.startswith("Dry run: 3 of 6 records would change; nothing was changed.\n")
        assert len(half.tasks) == 6

    def test_apply_acts_and_the_report_is_one_json_object(self, half: Datashare, command: Command) -> None:
        done = command("steward", "hmap-clean", *half.arguments, "--apply", "--json", "--verbose")
        assert done.returncode == DONE
        report = report_in(done)
        assert list(report) == REPORT_KEYS
        assert (report["job"], report["dry_run"], report["applied"]) == ("hmap-clean", False, 3)
        assert "Beginning flow run" in done.stderr
        assert len(half.tasks) == 3

    def test_the_old_command_acts(self, half: Datashare, command: Command) -> None:
        done = command("hmap-cleaner", *half.arguments)
        assert done.stdout.startswith("3 of 3 planned changes made, 0 conflicts.\n")
        assert (done.returncode, len(half.tasks)) == (DONE, 3)
        run, plan = done.stderr.splitlines()
        assert run.startswith("Run: http://")
        assert plan == f"Plan: {next(half.folder.parent.joinpath('plans').glob('*.zst'))}"

    def test_c20_the_old_command_only_plans_when_told_dry_run(self, half: Datashare, here: Here) -> None:
        done = here("hmap-cleaner", *half.arguments, "--dry-run", "--json")
        assert (done.returncode, report_in(done)["dry_run"], len(half.tasks)) == (DONE, True, 6)

    def test_a_plan_is_shown_applied_and_undone(self, half: Datashare, here: Here) -> None:
        before = half.everything()
        plan = half.plan().plan
        applied = here("steward", "apply", plan, half.url)
        assert (applied.returncode, len(half.tasks)) == (DONE, 3)
        undone = here("steward", "undo", Path(plan).name, half.url, "--json")
        assert (undone.returncode, report_in(undone)["job"], report_in(undone)["applied"]) == (DONE, "undo", 3)
        assert half.everything() == before

    def test_nothing_to_do_is_done(self, datashare: Datashare, here: Here) -> None:
        done = here("hmap-cleaner", *datashare.arguments, "--json")
        assert (done.returncode, report_in(done)["planned"]) == (DONE, 0)


class TestBadUsage:
    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["redis://localhost/0"], "ARCHIVE_DIR"),
            (["http://localhost", "/tmp"], "REDIS"),
            (["redis://localhost:port/0", "/tmp"], "REDIS"),
            (["redis://localhost/zero", "/tmp"], "REDIS"),
            (["redis://localhost/0?sharp=1", "/tmp"], "REDIS"),
            (["redis://localhost/0", "/tmp", "--min-age", "3 fortnights"], "--min-age"),
            (["redis://localhost/0", "/tmp", "--states", "RUNNING"], "--states"),
            (["redis://localhost/0", "/tmp", "--max-fraction", "7"], "--max-fraction"),
            (["redis://localhost/0", "/tmp", "--max-changes", "-1"], "--max-changes"),
            (["redis://localhost/0", "/tmp", "--hash-keys", "x"], "--hash-keys"),
            (["redis://localhost/0", ""], "ARCHIVE_DIR"),
        ],
    )
    def test_the_message_names_the_option(self, here: Here, arguments: list[str], named: str) -> None:
        done = here("steward", "hmap-clean", *arguments)
        assert done.returncode == USAGE
        assert named in words(done.stderr)
        assert not done.stdout

    def test_approval_needs_a_server_that_people_can_open(self, half: Datashare, here: Here) -> None:
        with temporary_settings(restore_defaults={PREFECT_API_URL}):
            done = here("hmap-cleaner", *half.arguments, "--approve")
        assert done.returncode == USAGE
        assert "--approve" in done.stderr
        assert len(half.tasks) == 6

    def test_no_password_is_repeated_from_a_bad_url(self, here: Here) -> None:
        done = here("steward", "hmap-clean", "redis://:s3cret/part@localhost/0", "/tmp")
        assert done.returncode == USAGE
        assert "s3cret" not in done.stderr


class TestFailures:
    def test_a_wrong_password_is_said_plainly(
        self, half: Datashare, command: Command, login: Callable[..., str]
    ) -> None:
        url = login("right", "+@all").replace("right", "wr0ng-pw")
        done = command("steward", "hmap-clean", url, *half.arguments[1:], "--json")
        assert done.returncode == FAILED
        assert "refuses the user or password" in done.stderr
        assert quiet(done)
        assert "wr0ng-pw" not in done.stderr

    def test_a_redis_that_is_down_is_said_plainly(self, half: Datashare, here: Here, proxy: ChaosProxy) -> None:
        proxy.refuse()
        done = here("steward", "hmap-clean", *half.arguments)
        assert done.returncode == FAILED
        assert "does not answer: " in done.stderr
        assert ". Run the command again.\n" in done.stderr
        assert ".." not in done.stderr
        assert not done.stdout

    def test_c12_a_broken_record_fails_the_command_after_the_rest_is_done(
        self, half: Datashare, command: Command
    ) -> None:
        half.add("broken", b"{")
        done = command("steward", "hmap-clean", *half.arguments, "--apply", "--json")
        assert done.returncode == FAILED
        assert (report_in(done)["applied"], report_in(done)["problem_count"]) == (3, 1)
        assert "1 of 7 records could not be handled, the rest was; the first is broken" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_refused_plan_is_status_3_with_nothing_changed(self, half: Datashare, here: Here) -> None:
        done = here("hmap-cleaner", *half.arguments, "--max-changes", "2", "--json")
        assert done.returncode == REFUSED
        assert (report_in(done)["planned"], report_in(done)["applied"]) == (3, 0)
        assert "Refused: The plan has 3 changes, more than the 2 allowed (--max-changes)." in done.stderr
        assert len(half.tasks) == 6

    def test_c13_a_missing_folder_is_status_3(self, half: Datashare, here: Here) -> None:
        done = here("hmap-cleaner", half.url, half.folder / "gone", "--hash-key", half.key)
        assert done.returncode == REFUSED
        assert not done.stdout
        assert len(half.tasks) == 6

    def test_another_store_is_status_2(self, half: Datashare, here: Here) -> None:
        done = here("steward", "apply", half.plan().plan, half.url.removesuffix("/0") + "/1")
        assert done.returncode == USAGE
        assert "The plan is for" in done.stderr
        assert not done.stdout

    def test_a_prefect_server_that_is_down_is_said_plainly(self, half: Datashare, command: Command) -> None:
        command.environment["PREFECT_API_URL"] = "http://127.0.0.1:1/api"
        done = command("hmap-cleaner", *half.arguments)
        assert done.returncode == FAILED
        assert "http://127.0.0.1:1/api" in done.stderr
        assert quiet(done)
        assert len(half.tasks) == 6

    def test_ctrl_c_ends_the_run_with_130(self, half: Datashare, command: Command, proxy: ChaosProxy) -> None:
        proxy.mode = "blackhole"  # so that the run waits
        run = command.start("steward", "hmap-clean", *half.arguments)
        until(lambda: proxy.swallowed)
        os.killpg(run.pid, signal.SIGINT)
        out, err = run.communicate(timeout=30)
        assert run.returncode == INTERRUPTED
        assert "Interrupted.\n" in err
        assert "Traceback" not in err
        assert not out


class TestPlan:
    def test_show(self, half: Datashare, here: Here) -> None:
        plan = half.plan()
        shown = here("steward", "plan", "show", plan.plan, "--limit", "2")
        assert shown.returncode == DONE
        assert f"hash {plan.plan_hash}" in shown.stdout
        assert "3 of 6 records would change" in shown.stdout
        assert shown.stdout.count("\n- gone-") == 2
        assert "… and 1 more" in shown.stdout

    def test_show_json_is_the_plan_line_by_line(self, half: Datashare, here: Here) -> None:
        plan = half.plan()
        header, *actions, footer = map(
            json.loads, here("steward", "plan", "show", Path(plan.plan).name, "--json").stdout.splitlines()
        )
        assert header["job"] == "hmap-clean"
        before = {action["key"]: action["before"].encode() for action in actions}
        assert before == {task: half.redis.hget(half.key, task) for task in ("gone-0", "gone-1", "gone-2")}
        assert footer["sha256"] == plan.plan_hash

    def test_show_refuses_a_damaged_plan(self, half: Datashare, here: Here) -> None:
        plan = Path(half.plan().plan)
        plan.write_bytes(plan.read_bytes()[:-20])
        shown = here("steward", "plan", "show", plan)
        assert shown.returncode == USAGE
        assert "torn" in shown.stderr
        assert not shown.stdout

    def test_prune_removes_plans_by_age(self, half: Datashare, here: Here) -> None:
        old, new = Path(half.plan().plan), Path(half.plan(max_changes=9).plan)
        os.utime(old, (0, time.time() - 40 * 86400))
        pruned = here("steward", "plan", "prune", "--older-than", "39d")
        assert pruned.returncode == DONE
        assert pruned.stdout == f"{old.name}\n1 removed\n"
        assert new.exists()

    def test_prune_refuses_a_bad_age(self, here: Here) -> None:
        pruned = here("steward", "plan", "prune", "--older-than", "soon")
        assert pruned.returncode == USAGE
        assert pruned.stderr == "--older-than: 'soon' is no duration such as 36h or 7d.\n"


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_with(home: Path) -> list[int]:
    """Give the processes that have this in their environment: a run's, and whatever it started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if bytes(home) in (process / "environ").read_bytes():
                found.append(int(process.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for what is kept between runs, which no other run uses; its name marks the processes of this test."""
    return tmp_path / "home"


@pytest.fixture
def alone(environment: dict[str, str], home: Path) -> Command:
    """Runs commands that are told of no server."""
    told = {name: value for name, value in environment.items() if name != "PREFECT_API_URL"}
    return Command({**told, "PREFECT_HOME": str(home), "XDG_STATE_HOME": str(home)})


class TestPrivateServer:
    """Without PREFECT_API_URL; one test after another, so that the server's database is made only once."""

    def test_a_run_has_its_own_server_which_ends_with_it(self, half: Datashare, alone: Command, home: Path) -> None:
        done = alone("hmap-cleaner", *half.arguments, "--json")
        assert (done.returncode, report_in(done)["applied"]) == (DONE, 3), done.stderr
        assert done.stderr.startswith("PREFECT_API_URL is not set: starting a private Prefect server for this run.\n")
        assert processes_with(home) == []

        killed = self.started(alone, half, home)
        killed.kill()
        killed.communicate()
        until(lambda: processes_with(home) == [])

        interrupted = self.started(alone, half, home)
        os.killpg(interrupted.pid, signal.SIGINT)
        interrupted.communicate(timeout=30)
        assert interrupted.returncode == INTERRUPTED
        until(lambda: processes_with(home) == [])

    def started(self, command: Command, half: Datashare, home: Path) -> "Popen[str]":
        """Start a run and wait until it makes use of its server."""
        run = command.start("steward", "hmap-clean", *half.arguments)
        assert run.stderr
        assert "private" in run.stderr.readline()
        # For a moment there may be one more: Python asks `file` about itself.
        until(lambda: len(processes_with(home)) == 2)
        return run

    def test_none_is_used_where_a_profile_names_a_server(
        self, half: Datashare, alone: Command, home: Path, prefect: PrefectServer
    ) -> None:
        home.mkdir()
        (home / "profiles.toml").write_text(
            f'active = "theirs"\n[profiles.theirs]\nPREFECT_API_URL = "{prefect.api_url}"\n'
        )
        done = alone("hmap-cleaner", *half.arguments)
        assert done.returncode == DONE, done.stderr
        assert "private" not in done.stderr
        assert "Run: " in done.stderr
        assert processes_with(home) == []
        assert not list(home.rglob("*.db"))

    def test_none_outlives_a_command_that_is_wrong_or_interrupted_before(
        self, half: Datashare, alone: Command, home: Path
    ) -> None:
        assert alone("steward", "hmap-clean", *half.arguments, "--no-such-option").returncode == USAGE
        until(lambda: processes_with(home) == [])
        run = alone.start("steward", "hmap-clean", *half.arguments)
        until(lambda: len(processes_with(home)) >= 2)
        os.killpg(run.pid, signal.SIGINT)
        _, told = run.communicate(timeout=30)
        assert (run.returncode, told.partition(".")[0]) == (INTERRUPTED, "Interrupted")
        until(lambda: processes_with(home) == [])
        assert not list(home.rglob("*.db"))

    def test_one_that_cannot_start_is_a_failure_that_says_so(self, half: Datashare, alone: Command, home: Path) -> None:
        (home / "steward/prefect/prefect.db").mkdir(parents=True)
        done = alone("hmap-cleaner", *half.arguments)
        assert done.returncode == FAILED
        assert "Failed: The private Prefect server did not start: " in done.stderr
        assert len(half.tasks) == 6
        assert processes_with(home) == []

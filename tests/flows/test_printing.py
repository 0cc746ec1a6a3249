"""What an operator reads: the first changes, what would be freed, the commands that come next; colours on terminals."""

import os
import pty
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.chaos import ChaosProxy
from tests.flows.conftest import COMMANDS, Api, Command, Datashare, Here, download

ESCAPE = "\x1b["


@pytest.fixture
def half(datashare: Datashare) -> Datashare:
    """Eight downloads, seven of which have lost their archives."""
    datashare.present(1)
    datashare.gone(7)
    return datashare


def commands_in(text: str) -> list[list[str]]:
    """Return the `steward` commands that are shown, as a shell would take them."""
    return [shlex.split(line) for line in text.splitlines() if line.startswith("  steward ")]


def section(text: str, title: str) -> list[str]:
    """Return the lines under a title."""
    return text.partition(f"\n{title}\n")[2].partition("\n\n")[0].splitlines()


def test_a_dry_run_shows_what_would_be_freed_the_first_changes_and_what_comes_next(half: Datashare, here: Here) -> None:
    shown = here("steward", "hmap-clean", *half.arguments, "--max-fraction", "1").stdout
    size = sum(len(half.redis.hget(half.key, f"gone-{i}")) for i in range(7))
    assert re.search(rf"^  bytes that would be freed +{size:,} \({size / 1000:.1f} kB\)$", shown, re.MULTILINE)
    assert "bytes freed" not in shown
    *first, more = section(shown, "First changes:")
    assert len(first) == 5
    assert all(re.fullmatch(r"  - gone-\d  archive is gone  file:///\S+/gone-\d\.zip", line) for line in first)
    assert more == "  … and 2 more"
    assert [line[:3] for line in commands_in(shown)] == [["steward", "plan", "show"], ["steward", "apply", plan(shown)]]
    assert "\x1b" not in shown


def plan(shown: str) -> str:
    """Return the name of the plan that a report is of."""
    return Path(re.findall(r"^  plan +(\S+)$", shown, re.MULTILINE)[0]).name


def test_each_command_that_is_shown_does_what_it_says(half: Datashare, here: Here) -> None:
    before = half.everything()
    planned = here("steward", "hmap-clean", *half.arguments, "--max-fraction", "1").stdout
    show, apply = commands_in(planned)
    assert "7 of 8 records would change" in here(*show).stdout
    applied = here(*apply)
    assert (applied.returncode, half.tasks) == (0, {"present-0"})
    assert applied.stderr.endswith(f"{plan(planned)}\n")
    (undo,) = commands_in(applied.stdout)
    assert section(applied.stdout, "Take it back:") == [f"  {shlex.join(undo)}"]
    undone = here(*undo)
    assert (undone.returncode, half.everything()) == (0, before)
    assert commands_in(undone.stdout) == []


def test_a_refused_plan_is_to_be_read_and_carried_out_only_if_it_is_right(half: Datashare, here: Here) -> None:
    refused = here("steward", "hmap-clean", *half.arguments, "--apply")
    assert refused.returncode == 3
    assert "planned changes made" not in refused.stdout
    assert re.match(r"Refused: \d+ of \d+ records would have changed; nothing was changed\.\n", refused.stdout)
    assert refused.stderr.endswith(f" Read the plan: steward plan show {plan(refused.stdout)}\n")
    assert re.search(r"^  refused +The plan changes 7 of 8 records", refused.stdout, re.MULTILINE)
    shown = section(refused.stdout, "Read the plan, and only if it is right, carry it out, exactly as it is:")
    assert len(shown) == 2
    as_json = here("steward", "hmap-clean", *half.arguments, "--apply", "--json")
    assert (as_json.returncode, "would be refused" in as_json.stderr) == (3, False)
    show, apply = commands_in(refused.stdout)
    assert here(*show).returncode == here(*apply).returncode == 0
    assert half.tasks == {"present-0"}


def test_a_plan_that_is_doubted_is_not_to_be_carried_out_later(datashare: Datashare, here: Here) -> None:
    datashare.gone(3)
    refused = here("steward", "hmap-clean", *datashare.arguments, "--apply")
    assert refused.returncode == 3
    assert re.search(r"^  refused +.* is empty: is it mounted", refused.stdout, re.MULTILINE)
    assert commands_in(refused.stdout) == []


def test_where_there_is_nothing_to_do_nothing_comes_next(datashare: Datashare, here: Here) -> None:
    datashare.present(1)
    shown = here("steward", "hmap-clean", *datashare.arguments).stdout
    assert commands_in(shown) == []
    assert "First changes" not in shown


def test_no_password_is_in_the_commands(half: Datashare, command: Command, login: Callable[..., str]) -> None:
    half.url = login("s3cret", "+@all")
    done = command("hmap-cleaner", *half.arguments, "--max-fraction", "1")
    ((*undo, store),) = commands_in(done.stdout)
    assert undo == ["steward", "undo", plan(done.stdout)]
    assert store == half.url.replace("s3cret", "PASSWORD")
    assert "s3cret" not in done.stdout + done.stderr


def test_what_a_record_holds_does_not_act_on_the_terminal(datashare: Datashare, here: Here) -> None:
    datashare.present(2)
    odd = "\x1b[2J[red]\u202e\n"
    datashare.add(odd, download(odd, "gone.zip"))
    planned = here("steward", "hmap-clean", *datashare.arguments).stdout
    assert r"  - \x1b[2J[red]\u202e\n  archive is gone  file:" in planned
    shown = here(*commands_in(planned)[0]).stdout
    assert "\n- \\x1b[2J[red]\\u202e\\n  archive is gone  file:" in shown
    datashare.add(odd, b"{")
    broken = here("steward", "hmap-clean", *datashare.arguments)
    assert r"the first is \x1b[2J[red]\u202e\n: broken JSON" in broken.stderr
    assert not {"\x1b", "\u202e"} & set(planned + shown + broken.stdout)
    assert not {"\x1b", "\u202e"} & set(broken.stderr.splitlines()[-1])


def test_interrupted_in_the_middle_a_run_says_how_to_go_on_and_how_to_go_back(
    datashare: Datashare, command: Command, proxy: ChaosProxy
) -> None:
    datashare.present(2000)
    datashare.gone(2000)
    before = datashare.everything()
    proxy.latency = 0.01  # so that there are moments between a run's batches
    run = command.start("hmap-cleaner", *datashare.arguments)
    while datashare.redis.hlen(datashare.key) > 3500:
        assert run.poll() is None, run.communicate()
        time.sleep(0.001)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    proxy.latency = 0
    assert run.returncode == 130
    apply, undo = commands_in(said)
    assert f"/{apply[2]}\n" in said.partition("If this run ends early")[0]
    assert [apply[1], undo[1:]] == ["apply", ["undo", apply[2], datashare.url]]
    assert 2000 <= len(datashare.tasks) < 4000
    assert command(*undo).returncode == 0
    assert datashare.everything() == before


def test_a_run_that_is_killed_left_its_plan_and_the_way_back_on_its_page(
    datashare: Datashare, command: Command, proxy: ChaosProxy, api: Api
) -> None:
    datashare.present(2000)
    datashare.gone(2000)
    before = datashare.everything()
    proxy.latency = 0.01
    run = command.start("hmap-cleaner", *datashare.arguments)
    while datashare.redis.hlen(datashare.key) > 3500:
        assert run.poll() is None, run.communicate()
        time.sleep(0.001)
    run.kill()
    run.communicate()
    proxy.latency = 0
    assert len(datashare.tasks) < 4000
    runs = api.post("flow_runs/filter", sort="START_TIME_DESC", limit=50)
    mine = next(one["id"] for one in runs if one["parameters"].get("hash_key") == datashare.key)
    (page,) = api.post("artifacts/filter", artifacts={"flow_run_id": {"any_": [mine]}, "type": {"any_": ["markdown"]}})
    assert page["key"] == "hmap-clean-summary"
    assert "**2,000 changes are being made.**" in page["data"]
    (undo,) = re.findall("^steward (undo .*)$", page["data"], re.MULTILINE)
    assert f"\n\n`{undo.split()[1]}`\n\n" in page["data"]
    assert command("steward", *shlex.split(undo)).returncode == 0
    assert datashare.everything() == before


# ------------------------------------------------------------------------------------------------------ colours


def on_a_terminal(environment: dict[str, str], *line: str) -> str:
    """Run a command whose stdout is a terminal and return what it wrote there."""
    ours, theirs = pty.openpty()
    command = [str(COMMANDS / line[0]), *line[1:]]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as run:
        os.close(theirs)
        written = b""
        while chunk := _read(ours):
            written += chunk
        assert run.wait() == 0, run.stderr and run.stderr.read()
    os.close(ours)
    return written.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # as Linux says that the other end is closed
        return b""


@pytest.fixture
def terminal(environment: dict[str, str]) -> dict[str, str]:
    """The environment of an ordinary terminal."""
    chosen = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "CLICOLOR_FORCE")
    return {name: value for name, value in environment.items() if name not in chosen} | {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("more", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colours_on_a_terminal_unless_told_otherwise(
    half: Datashare, terminal: dict[str, str], more: dict[str, str], coloured: bool
) -> None:
    plan = half.plan(max_fraction=1).plan
    plain = Command(terminal)("steward", "plan", "show", plan).stdout
    shown = on_a_terminal(terminal | more, "steward", "plan", "show", plan)
    assert (ESCAPE in shown) is coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", shown).replace("\r\n", "\n") == plain


def test_a_report_is_coloured_on_a_terminal_and_says_the_same(half: Datashare, terminal: dict[str, str]) -> None:
    shown = on_a_terminal(terminal, "steward", "hmap-clean", *half.arguments, "--max-fraction", "1")
    assert shown.startswith(f"{ESCAPE}1mDry run: 7 of 8 records would change; nothing was changed.{ESCAPE}0m\r\n")
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown).replace("\r\n", "\n")
    assert len(commands_in(plain)) == 2


def test_a_pipe_gets_colours_only_where_they_are_forced(half: Datashare, terminal: dict[str, str]) -> None:
    plan = half.plan(max_fraction=1).plan
    assert ESCAPE not in Command(terminal)("steward", "plan", "show", plan).stdout
    assert ESCAPE in Command(terminal | {"FORCE_COLOR": "1"})("steward", "plan", "show", plan).stdout

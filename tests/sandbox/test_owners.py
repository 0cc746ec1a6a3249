"""Whatever happens to the owner of a sandbox, nothing stays."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.run_folder import sweep
from sandbox.running import Running

Owner = subprocess.Popen[str]
Run = Callable[..., tuple[Owner, list[str]]]


@pytest.fixture
def run(temp: Path) -> Iterator[Run]:
    """`python -m sandbox` in a process of its own and the lines it printed; ended with the test, however it ends."""
    owners: list[Owner] = []

    def start(*names: str) -> tuple[Owner, list[str]]:
        owner = subprocess.Popen([sys.executable, "-m", "sandbox", *names], stdout=subprocess.PIPE, text=True)
        owners.append(owner)
        assert owner.stdout
        return owner, [owner.stdout.readline() for _ in names]

    yield start
    for owner in owners:
        owner.kill()
        owner.wait()
    sweep()
    assert list(temp.iterdir()) == []


def recorded(temp: Path) -> list[Running]:
    return [Running.read(record) for record in temp.glob("steward-sandbox-*/*.json")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_urls_and_ends_cleanly_when_asked(run: Run, temp: Path, number: int) -> None:
    owner, lines = run("redis", "s3")
    servers = recorded(temp)
    assert re.fullmatch(r"redis  redis://127.0.0.1:\d+/0  \(.*\d+\.\d+.*\)\n", lines[0])
    assert re.fullmatch(r"s3  http://testkey:testsecret@127.0.0.1:\d+  \(.*\d+\.\d+.*\)\n", lines[1])
    assert len(servers) == 2
    owner.send_signal(number)
    assert owner.wait(20) == 0
    assert not any(server.alive() for server in servers)
    assert list(temp.iterdir()) == []


def test_the_command_exits_1_for_an_unknown_server(temp: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "sandbox", "mongo"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there are: redis, postgres, mariadb, s3" in done.stderr
    assert list(temp.iterdir()) == []


def test_after_kill_9_of_the_owner_the_next_sandbox_cleans_up(run: Run, temp: Path) -> None:
    owner, _ = run("redis")
    [orphan] = recorded(temp)
    owner.kill()
    owner.wait()
    assert orphan.alive()
    with Sandbox() as sandbox:
        assert list(temp.iterdir()) == [sandbox.folder]
        assert not orphan.alive()


def test_a_sandbox_whose_owner_lives_is_left_alone(run: Run, temp: Path) -> None:
    owner, _ = run("redis")
    [server] = recorded(temp)
    with Sandbox():
        pass
    assert server.alive()
    owner.terminate()
    assert owner.wait(20) == 0


@pytest.mark.usefixtures("temp")
def test_a_pid_that_now_belongs_to_a_stranger_is_left_alone() -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    with Sandbox() as sandbox:
        Running(stranger.pid, "", str(sandbox.folder / "redis"), signal.SIGKILL, []).write(
            sandbox.folder / "redis.json"
        )
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_server_that_ignores_the_request_to_stop_is_killed(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.running.STOP_SECONDS", 0.2)
    with Sandbox() as sandbox:
        sandbox.url("redis")
        [server] = recorded(temp)
        os.kill(server.pid, signal.SIGSTOP)
    assert not server.alive()

"""What tests/conftest.py promises, seen from a pytest session of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

SHARED = """
import pytest, os, pathlib, redis

@pytest.mark.parametrize("n", range(8))
def test_shared(redis_url, hash_key, worker_id, n):
    redis.Redis.from_url(redis_url).hincrby(hash_key, "n", 1)
    (pathlib.Path(__file__).parent / f"{worker_id}-{n}.url").write_text(redis_url)
"""
NEEDS_MARIADB = """
def test_needs_mariadb(mariadb_url):
    pass
"""
INTERRUPTED = """
import os, signal

def test_interrupted(redis_url):
    os.kill(os.getpid(), signal.SIGINT)
"""
NO_MARIADB = """
from dataclasses import replace
from sandbox.kinds import KINDS

KINDS["mariadb"] = replace(KINDS["mariadb"], binary="no-such-binary", places=())
"""


@pytest.fixture
def without_mariadb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "no_mariadb.py").write_text(NO_MARIADB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("TEST_MYSQL_URL", raising=False)
    return ["-p", "no_mariadb"]


def run(folder: Path, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    test = folder / "test_inner.py"
    test.write_text(body)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-rs", *options, test]
    return subprocess.run(command, capture_output=True, text=True)


def test_workers_share_one_server_and_nothing_stays(tmp_path: Path, temp: Path) -> None:
    done = run(tmp_path, SHARED, "-n", "2", "--dist", "each")
    assert "16 passed" in done.stdout, done.stdout
    urls = {file.name: file.read_text() for file in tmp_path.glob("*.url")}
    assert {name[:3] for name in urls} == {"gw0", "gw1"}
    assert len(set(urls.values())) == 1
    assert not list(temp.glob("steward-sandbox-*"))


def test_ctrl_c_leaves_nothing(tmp_path: Path, temp: Path) -> None:
    done = run(tmp_path, INTERRUPTED)
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout
    assert not list(temp.glob("steward-sandbox-*"))


def test_a_missing_server_is_a_skip_that_says_what_to_install(tmp_path: Path, without_mariadb: list[str]) -> None:
    done = run(tmp_path, NEEDS_MARIADB, *without_mariadb)
    assert done.returncode == pytest.ExitCode.OK
    assert "mariadb: NOT AVAILABLE" in done.stdout
    assert "1 skipped" in done.stdout
    assert "apt-get install -y mariadb-server" in done.stdout.split("short test summary")[1]


def test_a_missing_server_is_an_error_when_services_are_required(tmp_path: Path, without_mariadb: list[str]) -> None:
    done = run(tmp_path, NEEDS_MARIADB, *without_mariadb, "--require-services")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 error" in done.stdout

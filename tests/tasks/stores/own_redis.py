"""Redis servers of a test's own, which it may stop, start again, or start as something else."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from sandbox import KINDS, ServerUnavailable
from sandbox.finding import Installed, find

KEY = "test:own"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class OwnRedis:
    """A server that keeps its data when it is started again."""

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        self.port, self._folder, self._options, self._binary = free_port(), folder, options, binary
        self.client = Redis(port=self.port, retry=Retry(NoBackoff(), 0), protocol=2)
        self.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.end()

    def begin(self) -> None:
        command = [self._binary, *self._options, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--save", "3600 1"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()

    def restart(self) -> None:
        self.end()
        self.begin()

    def fill(self, n: int) -> dict[bytes, bytes]:
        records = {b"field %d" % i: b"value %d" % i for i in range(n)}
        if records:
            self.client.hset(KEY, mapping=records)  # type: ignore[arg-type]
        return records

    def _answers(self) -> bool:
        with suppress(RedisError):
            return bool(self.client.ping())
        return False


class MakeRedis:
    """Starts servers, each in a folder of its own, and stops them all at the end."""

    def __init__(self, folder: Path) -> None:
        found = find(KINDS["redis"])
        if not isinstance(found, Installed):
            pytest.skip("the Redis given in the environment cannot be restarted")
        self._binary, self._folder = found.path, folder
        self._servers: list[OwnRedis] = []

    def __call__(self, *options: str) -> OwnRedis:
        folder = self._folder / str(len(self._servers))
        folder.mkdir()
        self._servers.append(OwnRedis(self._binary, folder, *options))
        return self._servers[-1]

    def close(self) -> None:
        for server in self._servers:
            server.__exit__()


@pytest.fixture
def make_redis(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakeRedis]:
    try:
        make = MakeRedis(tmp_path)
    except ServerUnavailable as error:
        if request.config.getoption("--require-services"):
            raise
        pytest.skip(str(error))
    yield make
    make.close()

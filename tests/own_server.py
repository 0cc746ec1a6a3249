"""A server of a test's own, which may be stopped, started again on the same port, or replaced by another."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox import KINDS, ServerUnavailable, starting
from sandbox.finding import Installed, Kind, Launch, find
from sandbox.running import Running, stop


class OwnServer:
    """A server started in a new folder beside `record`, with more options on its command line."""

    def __init__(self, name: str, record: Path, *options: str, ports: Sequence[int] = ()) -> None:
        self._kind, self._record = with_options(KINDS[name], options), record
        self._binary = binary_of(self._kind)
        if ports:
            self._folder = starting._new_folder(self._kind, record.parent)
            launch = Launch(self._binary.path, self._folder)
            if self._kind.prepare:
                starting._prepare(self._kind, self._kind.prepare(launch), self._folder)
            self._ports = tuple(ports)
            self.start()
        else:
            self.running = starting.start(self._kind, self._binary, record)
            self._folder = Path(self.running.folder)
            self._ports = (self.port,)

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def start(self) -> None:
        """Start it in its own folder, on its own port."""
        self.running: Running = starting._start_once(
            self._kind, Launch(self._binary.path, self._folder, self._ports), self._record
        )

    def stop(self) -> None:
        stop(self.running)
        starting.reap()

    def restart(self) -> None:
        self.stop()
        self.start()

    def replaced(self, name: str) -> "OwnServer":
        """Stop it, and start another, in another folder, on its port."""
        self.stop()
        return OwnServer(self._kind.name, self._record.with_name(f"{name}.json"), ports=self._ports)


def with_options(kind: Kind, options: Sequence[str]) -> Kind:
    return replace(kind, command=lambda launch: [*kind.command(launch), *options])


def binary_of(kind: Kind) -> Installed:
    try:
        found = find(kind)
    except ServerUnavailable as error:
        pytest.skip(str(error))
    if not isinstance(found, Installed):
        pytest.skip(f"{kind.variable} names a server that is not ours to stop")
    return found

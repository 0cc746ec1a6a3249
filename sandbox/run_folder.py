"""The temporary folder all servers of one owner live in; it ends with the owner, however the owner ends."""

import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import IO

from sandbox.running import Running, stop

PREFIX = "steward-sandbox-"


def remove(folder: Path) -> None:
    """Stop the servers in a folder and remove it."""
    stop(*(Running.read(record) for record in folder.glob("*.json")))
    shutil.rmtree(folder)


def create(prefix: str = PREFIX, remove: Callable[[Path], None] = remove) -> tuple[Path, IO[str]]:
    """Return a new folder, and the open file whose lock tells others that its owner lives.

    The lock goes when the owner does, even by kill -9; `sweep` then stops the servers and removes the folder.
    """
    sweep(prefix, remove)
    folder = Path(mkdtemp(prefix=prefix))
    folder.chmod(0o755)  # PostgreSQL passes through it as nobody
    draft = folder / "owner.draft"
    owner = draft.open("w")
    fcntl.flock(owner, fcntl.LOCK_EX)
    draft.rename(folder / "owner")  # locked from the first moment it can be seen
    return folder, owner


def sweep(prefix: str = PREFIX, remove: Callable[[Path], None] = remove) -> None:
    """Remove the folders of owners that died, with their servers."""
    for folder in Path(gettempdir()).glob(f"{prefix}*"):
        with suppress(FileNotFoundError):  # not locked yet, or removed by another meanwhile
            if folder.stat().st_uid == os.getuid():
                _remove_if_dead(folder, remove)


def _remove_if_dead(folder: Path, remove: Callable[[Path], None]) -> None:
    with (folder / "owner").open() as owner:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        remove(folder)

"""A folder and all below it, reached from a descriptor that is held open, and never through a link."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from stat import S_IMODE, S_ISREG
from typing import Final

from tasks.changes.protocols import Key
from tasks.stores.files import Folder
from tasks.stores.listing import Object

NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def key_of(path: str) -> Key:
    """Give a path as a key: text, or bytes where it is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def split(key: Key) -> tuple[list[str], str]:
    """Give the folders that lead to a file, and its name.

    Raises ValueError where the key leads out of the tree or to no file.
    """
    *folders, name = os.fsdecode(key).split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in (*folders, name)):
        message = "it leads out of the folder, or to no file"
        raise ValueError(message)
    return folders, name


def object_of_stat(found: os.stat_result) -> Object:
    """Give a file as an object, its version the time of its last change in nanoseconds; none where it is no file."""
    modified = datetime.fromtimestamp(found.st_mtime_ns // 10**9, UTC)
    return Object(found.st_size, f"{found.st_mtime_ns:x}" if S_ISREG(found.st_mode) else "", modified)


def stands(name: str, parent: int) -> Object | None:
    """Look at what stands under a name, whatever it is."""
    try:
        return object_of_stat(os.stat(name, dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        return None


class Tree:
    """What lies below a folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    @contextmanager
    def opened(self, folders: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """Open a folder, with `make` made where it is missing, like the one that it lies in.

        Raises FileNotFoundError, or NotADirectoryError where a link or a file is in the way.
        """
        descriptor = os.open(".", FOLDER, dir_fd=self._folder.descriptor)
        try:
            for name in folders:
                if make:
                    _make(name, descriptor)
                below = os.open(name, FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def look(self, folders: Sequence[str], name: str) -> Object | None:
        """Look at what stands under a name in a folder; None where not even the folder does."""
        with suppress(FileNotFoundError), self.opened(folders) as parent:
            return stands(name, parent)
        return None

    def prune(self, folders: Sequence[str], keep: int = 0) -> None:
        """Remove a folder where it is empty, then those that it lies in, but not the `keep` uppermost."""
        with suppress(OSError):  # one that is not empty, or not there, ends it
            for depth in range(len(folders), keep, -1):
                with self.opened(folders[: depth - 1]) as parent:
                    os.rmdir(folders[depth - 1], dir_fd=parent)


def _make(name: str, parent: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
        like = os.fstat(parent)
        os.chmod(name, S_IMODE(like.st_mode), dir_fd=parent)
        with suppress(PermissionError):  # only root gives away
            os.chown(name, like.st_uid, like.st_gid, dir_fd=parent)


def move(name: str, source: int, target: int) -> bool:
    """Move a file between two folders of a file system, never over another; whoever dies on the way may begin again.

    Returns False where another stands there. Where the file system has no hard links, somebody who writes there in the
    very moment between the look and the move is overwritten.
    """
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        here, there = (os.stat(name, dir_fd=one, follow_symlinks=False) for one in (source, target))
        if not os.path.samestat(here, there):
            return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if stands(name, target):
            return False
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        return True
    os.unlink(name, dir_fd=source)
    return True

"""A folder and all below it, reached from a descriptor that is held open, and never through a link."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from shutil import copyfileobj
from stat import S_IMODE, S_ISREG
from typing import Final

from tasks.changes.errors import SourceUnreadable
from tasks.changes.protocols import Key
from tasks.stores.files import Folder, unreadable
from tasks.stores.listing import Object

NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def key_of(path: str) -> Key:
    """Return a path as a key: text, or bytes where it is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def split(key: Key) -> tuple[list[str], str]:
    """Return the folders that lead to a file, and its name.

    Raises ValueError where the key leads out of the tree or to no file.
    """
    *folders, name = os.fsdecode(key).split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in (*folders, name)):
        message = "it leads out of the folder, or to no file"
        raise ValueError(message)
    return folders, name


def object_of_stat(found: os.stat_result) -> Object:
    """Return a file as an object, its version the time of its last change in nanoseconds; none where it is no file."""
    modified = datetime.fromtimestamp(found.st_mtime_ns // 10**9, UTC)
    return Object(found.st_size, f"{found.st_mtime_ns:x}" if S_ISREG(found.st_mode) else "", modified)


def stands(name: str, parent: int) -> Object | None:
    """Return what is under a name, whatever it is."""
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

    def unreadable(self, folders: Sequence[str], error: OSError) -> SourceUnreadable:
        """Return the error for a folder that cannot be listed in full, with what is wrong with it."""
        path = Path(self._folder.path, *folders)
        if link := next((one for one in self._below(folders) if one.is_symlink()), None):
            message = (
                f"{link} is a symbolic link, to {link.readlink()}; links are not followed. "
                "Let the location be the folder that it leads to, or mount that one here."
            )
            return SourceUnreadable(message)
        if error.errno == errno.EACCES:
            return SourceUnreadable(f"{path} cannot be read in full: {error.strerror}. {self.rights(folders)}")
        return unreadable(str(path), error)

    def rights(self, folders: Sequence[str]) -> str:
        """Return whose a folder is and what its mode says, for somebody who may not do something in it."""
        path = next(path for path in reversed(list(self._below(folders))) if os.access(path, os.F_OK))
        found = path.stat()
        return (
            f"The folder {path} has the mode {S_IMODE(found.st_mode):04o} and is of the user {found.st_uid} and the "
            f"group {found.st_gid}; this run is of the user {os.geteuid()}, who must read, write and enter it."
        )

    def _below(self, folders: Sequence[str]) -> Iterator[Path]:
        """Yield the paths of the folder itself, and of one below the other."""
        path = Path(self._folder.path)
        yield path
        for name in folders:
            path /= name
            yield path

    def look(self, folders: Sequence[str], name: str) -> Object | None:
        """Return what is under a name in a folder; None where not even the folder does."""
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
    """Move a file between two folders, never over another; whoever dies on the way may begin again.

    Returns False where another is there. Where the file system has no hard links, somebody who writes there in the
    very moment between the look and the move is overwritten.
    """
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        here, there = (os.stat(name, dir_fd=one, follow_symlinks=False) for one in (source, target))
        if not (os.path.samestat(here, there) or _is_copy(here, there)):
            return False
        _remove_part(name, target)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return _move_across(name, source, target)
        if error.errno not in NO_LINKS:
            raise
        if stands(name, target):
            return False
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        return True
    os.unlink(name, dir_fd=source)
    return True


def _is_copy(here: os.stat_result, there: os.stat_result) -> bool:
    """Whether one file is what a move to another file system made of the other."""
    return here.st_dev != there.st_dev and object_of_stat(here) == object_of_stat(there)


def part_of(name: str) -> str:
    """Return the name of a copy that is not whole yet: the same for the next run, where this one dies."""
    return f".steward-{sha256(os.fsencode(name)).hexdigest()[:16]}"


def _remove_part(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(part_of(name), dir_fd=folder)


def _move_across(name: str, source: int, target: int) -> bool:
    """Copy a file to another file system, synced, then remove it, unless it has changed meanwhile."""
    part = part_of(name)
    try:
        copied = _copy(name, source, part, target)
        if not _rename_to_new(part, name, target):
            return False
    finally:
        _remove_part(name, target)
    os.fsync(target)
    if stands(name, source) != copied:
        os.unlink(name, dir_fd=target)
        return False
    os.unlink(name, dir_fd=source)
    return True


def _rename_to_new(part: str, name: str, folder: int) -> bool:
    """Rename a file within a folder, not over another where the file system has hard links."""
    try:
        os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if stands(name, folder):
            return False
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    return True


def _copy(name: str, source: int, part: str, target: int) -> Object:
    """Copy a file with its mode, owner and time; return what was copied."""
    with (
        os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=source), "rb") as old,
        os.fdopen(
            os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=target), "wb"
        ) as new,
    ):
        found = os.fstat(old.fileno())
        copyfileobj(old, new)
        new.flush()
        with suppress(PermissionError):  # only root gives away
            os.fchown(new.fileno(), found.st_uid, found.st_gid)
        os.fchmod(new.fileno(), S_IMODE(found.st_mode))
        os.utime(new.fileno(), ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(new.fileno())
    return object_of_stat(found)

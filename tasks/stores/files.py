"""A folder of files, as the reference side of a job: which names are in it."""

from __future__ import annotations

import errno
import os
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tasks.changes.errors import SourceUnreadable

SHELVES: Final = 1 << 14


class Names:
    """A set of names in 8 bytes each: sorted arrays of 64-bit hashes.

    A name that was not put in is found with a chance of n / 2**64; so ask it only where "is there" is the safe answer.
    """

    def __init__(self, names: Iterable[bytes]) -> None:
        shelves = [array("q") for _ in range(SHELVES)]
        for name in names:
            number = hash(name)
            shelves[number % SHELVES].append(number)
        self._shelves = [array("q", sorted(shelf)) for shelf in shelves]

    def __contains__(self, name: bytes) -> bool:
        number = hash(name)
        shelf = self._shelves[number % SHELVES]
        place = bisect_left(shelf, number)
        return place < len(shelf) and shelf[place] == number

    def __len__(self) -> int:
        """Count the names, each as often as it was put in."""
        return sum(map(len, self._shelves))


class Folder:
    """A folder, held open so that it cannot be unmounted or exchanged unnoticed.

    Raises SourceUnreadable where it is missing, no folder, or cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with self._readable():
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        weakref.finalize(self, os.close, self.descriptor)

    def names(self) -> Names:
        """Read the names of all its entries, whatever they are."""
        with self._readable():
            found = Names(self._entries())
        self.check()  # they were read by the path
        return found

    def _entries(self) -> Iterator[bytes]:
        with os.scandir(os.fsencode(self.path)) as entries:
            for entry in entries:
                yield entry.name

    def holds(self, name: bytes) -> bool:
        """Look whether an entry of that name is there now."""
        try:
            os.lstat(name, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
                return False
            raise unreadable(self.path, error) from error
        return True

    def check(self) -> None:
        """Raise SourceUnreadable unless the path still leads to the same folder."""
        with self._readable():
            there, held = Path(self.path).stat(), os.fstat(self.descriptor)
        if (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
            message = f"{self.path} is not the folder it was when the run began; was it unmounted? Look, and run again."
            raise SourceUnreadable(message)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unreadable(self.path, error) from error


def unreadable(path: str, error: OSError) -> SourceUnreadable:
    """Say that a folder could not be read in full."""
    return SourceUnreadable(f"{path} cannot be read in full: {error.strerror}. Is it mounted, and the right folder?")

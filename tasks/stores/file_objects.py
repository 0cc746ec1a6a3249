"""Files below a folder as a store of objects: what `kind = "file"` stores hold."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from tasks.changes.errors import StoreDenied, StoreUnavailable
from tasks.changes.protocols import Identity, Key, Outcome, Problem
from tasks.stores.border import border
from tasks.stores.file_tree import Tree, key_of, move, split, stands
from tasks.stores.files import Folder, unreadable
from tasks.stores.key_ranges import WHOLE, Prefix, Range, Shard
from tasks.stores.listing import Object, Page
from tasks.stores.look_age import LookAge
from tasks.stores.object_store import BATCH, Mode, ObjectStore, Results, Way, aside_of, object_of, same_content
from tasks.stores.one_by_one import one_by_one
from tasks.stores.quarantine import QUARANTINE

FOR_ALL: Final = {errno.EROFS, errno.ENOSPC, errno.EDQUOT}
"""What is wrong with the file system, whichever file is changed."""
GONE_AWAY: Final = {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ETIMEDOUT, errno.EHOSTDOWN}
Image = Mapping[str, Any]


class FileObjects(ObjectStore):
    """The files under some prefixes of a folder; the key of a record is its path from there, with slashes.

    Links are not followed, and neither they nor anything else that is no file is a record. Folders that a removal
    leaves empty go with it. Two hosts that write here should agree on the time.
    """

    def __init__(
        self,
        folder: Folder,
        prefixes: Sequence[Prefix],
        mode: Mode = "delete",
        *,
        shard: Shard = WHOLE,
        quarantine: str = QUARANTINE,
    ) -> None:
        super().__init__(Path(folder.path).absolute().as_uri(), prefixes, mode, shard=shard, quarantine=quarantine)
        self._folder, self._tree = folder, Tree(folder)
        self._granted = False
        self._changes: dict[Way, Callable[[Key, Image], Outcome]] = {
            Way.DELETE: self._delete,
            Way.PURGE: self._delete,
            Way.SET_ASIDE: self._set_aside,
            Way.PUT_BACK: self._put_back,
        }
        self._tops = [prefix.text.split("/")[:-1] for prefix in prefixes]

    def now(self) -> datetime:
        """Return this host's time; a file system has no clock that could be asked without writing."""
        return datetime.now(UTC)

    def listed(self, keys: Range) -> Iterator[Page]:
        """List the files of a range, in no order; nothing, where no file was ever written under its prefix."""
        with border(self.location, unforeseen):
            self._folder.check()
            files = self._walk(keys.prefix.split("/")[:-1], keys)
            while page := list(islice(files, BATCH)):
                yield page
            self._folder.check()

    def _walk(self, folders: list[str], keys: Range) -> Iterator[tuple[Key, Object]]:
        below: list[str] = []
        path = "".join(f"{folder}/" for folder in folders)
        try:
            with (
                suppress(FileNotFoundError),
                self._tree.opened(folders) as folder,
            ):  # it may be gone since it was listed
                yield from self._files(path, folder, keys, below)
        except OSError as error:
            raise self._tree.unreadable(folders, error) from error
        for name in below:
            if f"{path}{name}/" != self._quarantine and keys.may_hold_some_of(f"{path}{name}/"):
                yield from self._walk([*folders, name], keys)

    def _files(self, path: str, folder: int, keys: Range, below: list[str]) -> Iterator[tuple[Key, Object]]:
        """Yield the files of a folder, and put the names of the folders in it into `below`."""
        with os.scandir(folder) as entries:
            for entry in entries:
                key = path + entry.name
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.name)
                elif entry.is_file(follow_symlinks=False) and keys.holds(key) and (file := stands(entry.name, folder)):
                    yield key_of(key), file

    def change(self, way: Way, images: Mapping[Key, dict[str, Any]]) -> Iterator[Results]:
        """Look at the files, and delete, move aside or put back those that look as planned."""
        with border(self.location, unforeseen):
            self._folder.check()
            age = LookAge(self.location, self._looked)

            def change_one(key: Key) -> Outcome | Problem:
                if way is not Way.PUT_BACK:
                    age.check()
                return self._change(way, key, images[key])

            for key, result in one_by_one(images, change_one):
                yield {key: result}

    def _change(self, way: Way, key: Key, image: Image) -> Outcome | Problem:
        try:
            outcome = self._changes[way](key, image)
        except FileNotFoundError:  # not even its folder is there
            return Outcome.CONFLICT if way is Way.PUT_BACK else Outcome.ALREADY
        except NotADirectoryError:  # something else, such as a link, is where its folder was
            return Outcome.CONFLICT
        except ValueError as error:
            return Problem(str(error))
        except OSError as error:
            return self._refused(key, error)
        self._granted = self._granted or outcome is Outcome.DONE
        return outcome

    def _refused(self, key: Key, error: OSError) -> Problem:
        """Return what keeps a file from being changed; raise it where it keeps them all from it."""
        if error.errno in GONE_AWAY:
            message = f"{self.location} does not answer: {error.strerror}. Run the command again."
            raise StoreUnavailable(message) from error
        if error.errno in FOR_ALL:
            message = f"{self.location} cannot be changed: {error.strerror}."
            raise StoreDenied(message) from error
        if error.errno != errno.EACCES:
            return Problem(f"{error.strerror}")
        rights = self._tree.rights(split(key)[0])
        if not self._granted:
            message = f"{self.location} cannot be changed: {error.strerror}. {rights}"
            raise StoreDenied(message) from error
        return Problem(f"{error.strerror}. {rights}")

    def _delete(self, key: Key, image: Image) -> Outcome:
        folders, name = split(key)
        with self._tree.opened(folders) as parent:
            outcome = outcome_of(stands(name, parent), image)
            if outcome is Outcome.DONE:
                os.unlink(name, dir_fd=parent)
        self._prune(folders)
        return outcome

    def _set_aside(self, key: Key, image: Image) -> Outcome:
        folders, name = split(key)
        with self._tree.opened(folders) as parent:
            outcome = outcome_of(stands(name, parent), image)
            if outcome is Outcome.DONE:
                with self._tree.opened(split(aside_of(key, image))[0], make=True) as aside:
                    outcome = Outcome.DONE if move(name, parent, aside) else Outcome.CONFLICT
        self._prune(folders)
        return outcome

    def _put_back(self, key: Key, image: Image) -> Outcome:
        folders, name = split(key)
        asides, _ = split(aside_of(key, image))
        planned, here, there = object_of(image), self._tree.look(folders, name), self._tree.look(asides, name)
        if there is None:
            return Outcome.ALREADY if here and same_content(here, planned) else Outcome.CONFLICT
        if not same_content(there, planned):
            return Outcome.CONFLICT
        with self._tree.opened(asides) as aside, self._tree.opened(folders, make=True) as parent:
            moved = move(name, aside, parent)
        self._tree.prune(asides)
        return Outcome.DONE if moved else Outcome.CONFLICT

    def identity(self) -> Identity:
        """Return which folder it is on its file system; another number may only mean that it was mounted again."""
        there, system = os.fstat(self._folder.descriptor), os.fstatvfs(self._folder.descriptor)
        return Identity({"folder": f"{system.f_fsid or there.st_dev:x}/{there.st_ino}"}, changes_at_restart=True)

    def look(self, keys: Collection[Key]) -> dict[Key, Object | None]:
        """Look at files; what stands where a link or a file is in the way is none of them."""
        try:
            self._folder.check()
            return {key: self._look(key) for key in keys}
        except OSError as error:
            raise unreadable(self._folder.path, error) from error

    def _look(self, key: Key) -> Object | None:
        with suppress(NotADirectoryError, ValueError):
            return self._tree.look(*split(key))
        return None

    def _prune(self, folders: list[str]) -> None:
        lasting = (len(top) for top in self._tops if folders[: len(top)] == top)
        self._tree.prune(folders, keep=max(lasting, default=0))


def outcome_of(stands: Object | None, image: Image) -> Outcome:
    """Return what becomes of a file that is to go, by what is there now."""
    if stands is None:
        return Outcome.ALREADY
    return Outcome.DONE if stands == object_of(image) else Outcome.CONFLICT


def unforeseen(_error: Exception) -> None:
    """Return no meaning: whatever is foreseen is handled where it is raised."""

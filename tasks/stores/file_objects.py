"""Files below a folder as a store of objects: what `kind = "file"` stores hold."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from tasks.changes.errors import StoreUnavailable
from tasks.changes.protocols import Identity, Key, Outcome, Problem
from tasks.stores.file_tree import Tree, key_of, move, split, stands
from tasks.stores.files import Folder, unreadable
from tasks.stores.key_ranges import WHOLE, Prefix, Range, Shard
from tasks.stores.listing import Object, Page
from tasks.stores.object_store import BATCH, Mode, ObjectStore, Results, Way, aside_of, object_of, same_content
from tasks.stores.quarantine import QUARANTINE

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
        self._tops = [prefix.text.split("/")[:-1] for prefix in prefixes]

    def now(self) -> datetime:
        """Give this host's time; a file system has no clock that could be asked without writing."""
        return datetime.now(UTC)

    def listed(self, keys: Range) -> Iterator[Page]:
        """List the files of a range, in no order; nothing, where no file was ever written under its prefix."""
        try:
            self._folder.check()
            files = self._walk(keys.prefix.split("/")[:-1], keys)
            while page := list(islice(files, BATCH)):
                yield page
            self._folder.check()
        except OSError as error:
            raise unreadable(f"{self._folder.path}/{keys.prefix}", error) from error

    def _walk(self, folders: list[str], keys: Range) -> Iterator[tuple[Key, Object]]:
        below: list[str] = []
        path = "".join(f"{folder}/" for folder in folders)
        with suppress(FileNotFoundError), self._tree.opened(folders) as folder:  # it may be gone since it was listed
            with os.scandir(folder) as entries:
                for entry in entries:
                    key = path + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                    elif (
                        entry.is_file(follow_symlinks=False)
                        and keys.holds(key)
                        and (file := stands(entry.name, folder))
                    ):
                        yield key_of(key), file
            for name in below:
                if f"{path}{name}/" != self._quarantine and keys.may_hold_some_of(f"{path}{name}/"):
                    yield from self._walk([*folders, name], keys)

    def change(self, way: Way, images: Mapping[Key, dict[str, Any]]) -> Results:
        """Look at the files, and delete, move aside or put back those that look as planned."""
        self._folder.check()
        return {key: self._change(way, key, image) for key, image in images.items()}

    def _change(self, way: Way, key: Key, image: Image) -> Outcome | Problem:
        try:
            if way is Way.SET_ASIDE:
                return self._set_aside(key, image)
            return self._put_back(key, image) if way is Way.PUT_BACK else self._delete(key, image)
        except FileNotFoundError:  # not even its folder is there
            return Outcome.CONFLICT if way is Way.PUT_BACK else Outcome.ALREADY
        except NotADirectoryError:  # something else, such as a link, stands where its folder was
            return Outcome.CONFLICT
        except ValueError as error:
            return Problem(str(error))
        except OSError as error:
            if error.errno in GONE_AWAY:
                message = (
                    f"{self.location} is gone: {error.strerror}. What was done so far stands; run the command again."
                )
                raise StoreUnavailable(message) from error
            return Problem(f"{error.strerror}")

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
    """Say what becomes of a file that is to go, by what stands there now."""
    if stands is None:
        return Outcome.ALREADY
    return Outcome.DONE if stands == object_of(image) else Outcome.CONFLICT

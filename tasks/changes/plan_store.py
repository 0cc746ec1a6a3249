"""Where plans are kept: a folder, or any Prefect file system block."""

from __future__ import annotations

import atexit
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.changes.errors import BadInput, PlanDamaged, StewardError

SUFFIX = ".plan.zst"
BLOCK = "block:"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def default_folder() -> Path:
    """Give $STEWARD_PLANS, or `steward/plans` in the user's data folder."""
    if chosen := os.environ.get("STEWARD_PLANS"):
        return Path(chosen)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "steward" / "plans"


@dataclass(frozen=True)
class PlanStore:
    """Plans in a folder; with a block, the folder is only where they pass through."""

    folder: Path
    block: str = ""

    @classmethod
    def at(cls, plans: str | None, *, reading: bool = False) -> PlanStore:
        """Open the store that an option or parameter names.

        Its folder is made (mode 0700) where it is missing; for `reading` none is needed.
        """
        if plans and plans.startswith(BLOCK):
            folder = Path(tempfile.mkdtemp(prefix="steward-plans-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)  # plans are confidential: the block keeps them
            return cls(folder, plans.removeprefix(BLOCK))
        folder = Path(plans).expanduser() if plans else default_folder()
        if reading:
            return cls(folder)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"Plans cannot be kept in {folder}: {error.strerror}. Give another folder with --plans."
            raise BadInput(message) from error
        return cls(folder)

    def new_path(self, job: str) -> Path:
        """Give a path for a plan in the making; nothing lists or opens it before it is kept."""
        try:
            handle, path = tempfile.mkstemp(prefix=f"{job}-", suffix=".partial", dir=self.folder)
        except OSError as error:
            message = f"Plans cannot be kept in {self.folder}: {error.strerror}. Give another folder with --plans."
            raise BadInput(message) from error
        os.close(handle)
        Path(path).unlink()
        return Path(path)

    @contextmanager
    def with_room(self) -> Iterator[None]:
        """Write a plan; raises StewardError where the folder's disk has no room for it, or is not written any more."""
        try:
            yield
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            message = f"The plan cannot be written to {self.folder}: {error.strerror}. Make room, or give --plans."
            raise StewardError(message) from error

    def keep(self, partial: Path, job: str, created: datetime, seal: str) -> tuple[Path, str]:
        """Give a sealed plan its name and make it durable.

        Returns the local path, and the name by which an operator refers to the plan.
        """
        path = self.folder / f"{job}-{created:%Y%m%dT%H%M%SZ}-{seal[:8]}{SUFFIX}"
        partial.rename(path)
        if not self.block:
            _sync_folder(self.folder)
            return path, str(path)
        with tempfile.TemporaryDirectory() as lone:
            os.link(path, Path(lone) / path.name)
            _file_system(self.block).put_directory(local_path=lone, to_path=path.name)
        return path, f"{BLOCK}{self.block}/{path.name}"

    def fetch(self, plan: str) -> Path:
        """Give the local path of a plan that is named by path, by its name in this store, or by `block:…/name`."""
        if plan.startswith(BLOCK):
            block, _, name = plan.removeprefix(BLOCK).rpartition("/")
            return PlanStore.at(BLOCK + block)._download(name)
        if self.block:
            return self._download(plan)
        path = Path(plan).expanduser()
        return path if path.exists() or path.is_absolute() else self.folder / path

    def _download(self, name: str) -> Path:
        try:
            _file_system(self.block).get_directory(from_path=name, local_path=str(self.folder))
        except FileNotFoundError as error:
            message = f"There is no plan file {name} in block {self.block}."
            raise PlanDamaged(message) from error
        return self.folder / name

    def prune(self, older_than: timedelta, now: datetime) -> list[str]:
        """Remove the folder's plans, and what killed runs left of unfinished ones, by age; return their names.

        Raises BadInput where plans are kept by a block: its file system has rules of its own for that.
        """
        if self.block:
            message = f"Plans kept by block {self.block} are pruned by the expiry rules of its own storage."
            raise BadInput(message)
        old = [
            path
            for pattern in (f"*{SUFFIX}", "*.partial")
            for path in sorted(self.folder.glob(pattern))
            if path.stat().st_mtime < (now - older_than).timestamp()
        ]
        for path in old:
            path.unlink()
        return [path.name for path in old]


def _file_system(slug: str) -> Any:
    from prefect.blocks.core import Block  # plan show and prune need no Prefect

    try:
        block = Block.load(slug)
    except ValueError as error:
        message = f"There is no Prefect block {slug} to keep plans in; create it, or give a folder with --plans."
        raise BadInput(message) from error
    if not hasattr(block, "put_directory"):
        message = f"Block {slug} is no file system that takes folders; use a local or remote file system block."
        raise BadInput(message)
    return block


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

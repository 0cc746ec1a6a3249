"""What part of an object store a run owns; nothing outside of it is ever touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final, Literal

from tasks.changes.errors import BadInput
from tasks.stores.key_ranges import BASE32, HEX, Prefix

Generation = Literal["legacy", "2"]
"""DataJoint 0.12 to 0.14 track objects in tables of their own; DataJoint 2 writes JSON into the user's columns."""

GENERATIONS: Final[frozenset[Generation]] = frozenset({"legacy", "2"})
Subfolding = tuple[int, ...]
"""Lengths of the folders that objects named by their hash lie in: (2, 2) makes `ab/cd/abcd…`."""

SUBFOLDING: Final[dict[Generation, Subfolding]] = {"legacy": (2, 2), "2": ()}
"""What each generation does where its store does not say."""


def normal_location(location: str) -> str:
    r"""Return a location as DataJoint 0.14 writes it into keys: no slash at either end, no drive, `\` as `/`.

    Raises BadInput where it has a step up.
    """
    parts = PurePosixPath(PureWindowsPath(location)).parts
    if parts and any(mark in parts[0] for mark in ("\\", ":", "/")):
        parts = parts[1:]
    if ".." in parts:
        message = f"The location {location!r} has a step up (..): give the path that it leads to."
        raise BadInput(message)
    return "/".join(parts)


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """The objects of some schemas at one location of a store.

    DataJoint 0.14 tidies the location before it writes it into keys. DataJoint 2 writes it as it is, slashes and all:
    that is `written`.

    `generations`: whose names are judged at all. `hash_prefix`, `schema_prefix`, `token_length`, `subfoldings`: as in
    the settings of the stores in DataJoint. `filepaths`: folders, relative to the location, that hold nothing but
    objects of type filepath; only there such objects may go. Raises BadInput where these overlap.
    """

    schemas: tuple[str, ...]
    location: str = ""
    generations: frozenset[Generation] = GENERATIONS
    hash_prefix: str = "_hash"
    schema_prefix: str = "_schema"
    subfoldings: frozenset[Subfolding] = frozenset()
    token_length: int = 8
    filepaths: tuple[str, ...] = ()
    written: str = ""

    def __post_init__(self) -> None:
        if not all(self.schemas or [""]):
            message = "A run needs the name of at least one schema."
            raise BadInput(message)
        object.__setattr__(self, "written", self.written or self.location)
        for name in ("location", "hash_prefix", "schema_prefix"):
            object.__setattr__(self, name, normal_location(getattr(self, name)))
        object.__setattr__(self, "filepaths", tuple(map(normal_location, self.filepaths)))
        for folder in self.filepaths:
            self._check_apart(folder)

    def _check_apart(self, folder: str) -> None:
        for own in self.sections:
            if f"{folder}/".startswith(own) or own.startswith(f"{folder}/") or not folder:
                message = f"The folder {folder!r} cannot be given as one of filepaths: DataJoint keeps {own!r} there."
                raise BadInput(message)

    @property
    def prefix(self) -> str:
        """Return what every key of DataJoint 0.14 at the location begins with, and the quarantine's."""
        return section(self.location)

    @property
    def written_prefix(self) -> str:
        """Return what every key of DataJoint 2 at the location begins with; some servers tidy it themselves."""
        return section(self.written)

    @property
    def sections(self) -> tuple[str, ...]:
        """Give the folders that DataJoint writes to by itself, relative to the location, each with a slash."""
        by_hash = [f"{section(self.hash_prefix)}{schema}/" for schema in self.schemas]
        by_schema = [section(self.schema_prefix)] if self.schema_prefix else []
        return (*(f"{schema}/" for schema in self.schemas), *by_hash, *by_schema)

    @property
    def prefixes(self) -> list[Prefix]:
        """Return what to list, to see all objects of the run; hashes are spread evenly, so they can be shared."""
        found: list[Prefix] = []
        if "legacy" in self.generations:
            found += [Prefix(f"{self.prefix}{schema}/", HEX) for schema in self.schemas]
        if "2" in self.generations:
            root = f"{self.written_prefix}{section(self.hash_prefix)}"
            found += [Prefix(f"{root}{schema}/", BASE32) for schema in self.schemas]
            found.append(Prefix(self.written_prefix + section(self.schema_prefix)))  # a partition precedes the schema
        roots = {self.prefix, self.written_prefix if "2" in self.generations else self.prefix}
        return found + [Prefix(f"{root}{folder}/") for root in sorted(roots) for folder in self.filepaths]

    def places(self, generation: Generation, folds: str) -> bool:
        """Say whether folders such as `ab/cd/`, made of a hash, are those of one of the subfoldings."""
        return tuple(map(len, folds.split("/")[:-1])) in (self.subfoldings or {SUBFOLDING[generation]})


def section(prefix: str) -> str:
    """Give a prefix as the beginning of a path."""
    return f"{prefix}/" if prefix else ""

"""The names that DataJoint gives to objects, of both generations: from a key to what it means, and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter
from typing import Final, NamedTuple

from tasks.datajoint.namespaces import Generation, Namespace, section


class Form(NamedTuple):
    """One form of names, relative to the location.

    `identity` is what a reference and an object have in common: for content named by its hash the schema and the hash,
    whatever folders it lies in; else the path that a row records, which for a folder is that of all in it. `digest`
    names the part that is a hash, the beginning of which the folds repeat.
    """

    kind: str
    generation: Generation
    path: str
    identity: str
    digest: str = ""


ROOT: Final = "{schema_section}{partition}{schema}/{table}/{primary_key}{object}"
MANIFEST: Final = ".manifest.json"
FORMS: Final = (
    Form("blob", "legacy", "{schema}/{folds}{hash}", "{schema}/{hash}", "hash"),
    Form("attach", "legacy", "{schema}/{folds}{hash}.{filename}", "{schema}/{hash}", "hash"),
    Form("blob of 0.11", "legacy", "{schema}/{old_hash}", "{schema}/{old_hash}"),
    Form("hashed", "2", "{hash_section}{schema}/{folds}{digest}", "{schema}/{digest}", "digest"),
    Form("manifest", "2", f"{ROOT}{MANIFEST}", ROOT),
    Form("object", "2", f"{ROOT}{{inside}}", ROOT),
)
FILEPATH: Final = Form("filepath", "legacy", "{filepath}", "{filepath}")

PAIRS: Final = r"(?:[a-z_][a-z0-9_]*=[^/]*/)*"
PARTS: Final = {
    "folds": r"(?:[0-9a-z]+/)*",
    "hash": r"[0-9a-f]{32}",
    "filename": r"[^/]+",
    "old_hash": r"[A-Za-z0-9_-]{43}[A-Za-z0-9_]{0,8}",
    "digest": r"[a-z2-7]{26}",
    "partition": PAIRS,
    "table": r"[#~]?[a-z_][a-z0-9_]*",
    "primary_key": PAIRS,
    "inside": r"(?:/.*)?",  # a folder's own marker is "/" only
}
REMEMBERED: Final = 1 << 12
"""Paths whose meaning is remembered: those of a batch are asked for several times."""
OBJECT: Final = r"[a-z_][a-z0-9_]*_[A-Za-z0-9_-]{%d}(?:\.[^/]+?)?"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a path means: its form, and the parts that fill it."""

    form: Form
    parts: Mapping[str, str]

    @property
    def path(self) -> str:
        """Write the path that means this."""
        return self.form.path.format_map(self.parts)

    @property
    def identity(self) -> str:
        """Give what a reference to it has in common with it."""
        return self.form.identity.format_map(self.parts)

    @property
    def in_folder(self) -> bool:
        """Say whether it is one object of several that are kept or removed together."""
        return self.form.kind == "manifest" or bool(self.parts.get("inside"))

    @property
    def owner(self) -> str:
        """Name those rows that may reference it, such as `lab (legacy)`."""
        return owner_of(self.parts["schema"], self.form.generation) if "schema" in self.parts else self.form.kind


@dataclass(frozen=True, slots=True)
class Foreign:
    """A path that means nothing to the run."""

    reason: str


ELSEWHERE: Final = Foreign("in none of the run's schemas")
UNKNOWN: Final = Foreign("no name that DataJoint gives in the run's schemas")


def owner_of(schema: str, generation: Generation) -> str:
    """Name the rows of a schema that reference objects in the way of a generation."""
    return f"{schema} ({generation})"


def folders_of(path: str) -> Iterator[str]:
    """Give the folders that a path lies in, the innermost first."""
    while path := path.rpartition("/")[0]:
        yield path


def names_of(path: str, meaning: Meaning | Foreign) -> Iterator[str]:
    """Give what a reference to the object at a path, and not to a folder, may say; the likeliest comes first."""
    if isinstance(meaning, Meaning):
        yield meaning.identity
    yield path
    if path.endswith(MANIFEST):
        yield path.removesuffix(MANIFEST)


def identities(path: str, meaning: Meaning | Foreign) -> Iterator[str]:
    """Give all that a reference may have in common with the object at a path."""
    yield from names_of(path, meaning)
    yield from folders_of(path)


class Grammar:
    """Reads and writes the names in one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._prefixes = sorted({namespace.written_prefix, namespace.prefix}, key=len, reverse=True)
        self._sections = namespace.sections
        self._forms = [
            (form, re.compile(_pattern(form, parts_in(namespace)), re.DOTALL).fullmatch)
            for form in FORMS
            if form.generation in namespace.generations
        ]
        self._filepaths = tuple(f"{folder}/" for folder in namespace.filepaths)
        self.read = lru_cache(REMEMBERED)(self._read)

    def path_of(self, key: str) -> str | None:
        """Return a key's path relative to the location, or None where it is outside."""
        for prefix in self._prefixes:
            if key.startswith(prefix):
                return key.removeprefix(prefix)
        return None

    def _read(self, path: str) -> Meaning | Foreign:
        """Say what a path means."""
        for form, match in self._forms:
            if (found := match(path)) and _folded(form, parts := found.groupdict()):
                return Meaning(form, parts)
        if path.startswith(self._filepaths):
            return Meaning(FILEPATH, {"filepath": path})
        return UNKNOWN if path.startswith(self._sections) else ELSEWHERE

    def identity(self, path: str) -> str:
        """Give the likeliest of a path's identities."""
        return next(names_of(path, self.read(path)))


def parts_in(namespace: Namespace) -> dict[str, str]:
    """Give the pattern of every part in a namespace."""
    return PARTS | {
        "schema": "|".join(map(re.escape, namespace.schemas)),
        "hash_section": re.escape(section(namespace.hash_prefix)),
        "schema_section": re.escape(section(namespace.schema_prefix)),
        "object": OBJECT % namespace.token_length,
    }


def _pattern(form: Form, parts: Mapping[str, str]) -> str:
    return "".join(
        re.escape(literal) + (f"(?P<{part}>{parts[part]})" if part else "")
        for literal, part, _, _ in Formatter().parse(form.path)
    )


def _folded(form: Form, parts: Mapping[str, str]) -> bool:
    """Say whether the folders repeat the beginning of the hash, as any subfolding does."""
    return not form.digest or parts[form.digest].startswith(parts["folds"].replace("/", ""))

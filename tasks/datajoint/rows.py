"""The rows that hold references: asking for them, and what they have in common with objects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from posixpath import normpath
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Dialect,
    Select,
    Text,
    cast,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import JSONB

from tasks.changes.errors import SourceUnreadable
from tasks.datajoint.catalogs import Holds, Place
from tasks.datajoint.grammar import Foreign, Grammar, Meaning, identities, names_of


class Stored(msgspec.Struct):
    """What DataJoint 2 writes into a user's column."""

    path: str


_decode: Final = msgspec.json.Decoder(Stored).decode


@dataclass
class Wanted:
    """What to ask for, to learn whether a batch is referenced: hashes of either generation, and paths."""

    hashes: set[bytes] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, paths: Collection[str], grammar: Grammar) -> Wanted:
        """Say what to ask for."""
        wanted = cls()
        for path in paths:
            wanted.add(path, grammar.read(path))
        return wanted

    def add(self, path: str, meaning: Meaning | Foreign) -> None:
        """Ask for one path too; a tracking table has paths by their MD5."""
        parts = meaning.parts if isinstance(meaning, Meaning) else {}
        self.hashes.add(md5(path.encode(errors="surrogateescape"), usedforsecurity=False).digest())
        if "hash" in parts:
            self.hashes.add(bytes.fromhex(parts["hash"]))
        if "digest" in parts:
            self.digests.add(parts["digest"])
        self.paths.update(identities(path, meaning))


def select_all(place: Place) -> Select[Any]:
    """Ask for all references in a column."""
    values: ColumnElement[Any] = column(place.column)
    asked: dict[Holds, tuple[ColumnElement[Any], ...]] = {
        "hash": (values, column("filepath")),
        "hash of 0.11": (values,),
        "json": (cast(values, Text),),
    }
    return select(*asked[place.holds]).select_from(table(place.table, schema=place.schema)).where(values.is_not(None))


def select_wanted(place: Place, wanted: Wanted, dialect: Dialect) -> Select[Any]:
    """Ask for those references in a column that may be to what is wanted."""
    values: ColumnElement[Any] = column(place.column)
    if place.holds == "hash":
        return select_all(place).where(values.in_(wanted.hashes))
    if place.holds == "hash of 0.11":
        return select_all(place).where(values.in_(path.rpartition("/")[2] for path in wanted.paths))
    path, digest = (_in_json(values, name, dialect) for name in ("path", "hash"))
    return select_all(place).where(or_(_trimmed(path, dialect).in_(wanted.paths), digest.in_(wanted.digests)))


def _in_json(values: ColumnElement[Any], name: str, dialect: Dialect) -> ColumnElement[str]:
    if dialect.name == "postgresql":
        return cast(values, JSONB).op("->>")(literal_column(f"'{name}'"))
    return func.json_unquote(func.json_extract(values, f"$.{name}"))


def _trimmed(path: ColumnElement[str], dialect: Dialect) -> ColumnElement[str]:
    """Give a path without slashes at its ends."""
    return func.btrim(path, "/") if dialect.name == "postgresql" else func.trim(literal("/").op("FROM")(path))


class Reference(NamedTuple):
    """What a row has in common with the objects it references, and whose these are by their name, if anybody's."""

    identities: tuple[str, ...]
    owner: str | None


def reference_in(place: Place, row: Sequence[Any], grammar: Grammar) -> Reference:
    """Read a row; raises SourceUnreadable where its JSON names no path."""
    if place.holds == "json":
        path = path_in(place, row[0])
        meaning = grammar.read(path)
        return Reference((next(names_of(path, meaning)),), _owner(meaning))
    if place.holds == "hash of 0.11":
        return Reference((f"{place.schema}/{row[0]}",), None)
    by_hash = f"{place.schema}/{row[0].hex()}"
    return Reference((by_hash, tidy(row[1])), None) if row[1] else Reference((by_hash,), _owner(grammar.read(by_hash)))


def _owner(meaning: Meaning | Foreign) -> str | None:
    return meaning.owner if isinstance(meaning, Meaning) else None


def path_in(place: Place, stored: str) -> str:
    """Give the path that a row's JSON names, or raise SourceUnreadable."""
    try:
        path = tidy(_decode(stored).path)
    except msgspec.MsgspecError:
        path = ""
    if path in ("", "."):
        message = (
            f"A row of {place} names no path: {stored[:200]}. Was it migrated from an older DataJoint? What it "
            "references is unknown, so nothing may be deleted."
        )
        raise SourceUnreadable(message)
    return path


def tidy(path: str) -> str:
    """Give a recorded path without what a store makes nothing of: slashes at its ends, `//`, `./`."""
    return normpath(path.strip("/"))

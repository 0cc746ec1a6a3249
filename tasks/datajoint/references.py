"""What the rows of the declared schemas reference: all of it, or what of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

from tasks.datajoint.catalogs import places
from tasks.datajoint.grammar import Foreign, Grammar, Meaning, folders_of, identities, names_of, owner_of
from tasks.datajoint.rows import Wanted, reference_in, select_all, select_wanted
from tasks.datajoint.sources import Source
from tasks.stores.files import Names

ROWS: Final = 10_000
"""Rows that are in memory at a time."""
FOLDERS: Final = 1 << 14
"""Folders of which is remembered whether a row records them; a listing goes through one after another."""


class Known:
    """All references of a moment, and how many each source has by owner, as far as it names the declared stores.

    `own`: how many of them there are by whose the objects are by their names.
    """

    def __init__(self, names: Names, counts: Counter[tuple[str, str]], own: Counter[str | None]) -> None:
        self.names, self.counts, self.own = names, counts, own
        self.owners = frozenset(owner for _, owner in counts)
        self._holds = lru_cache(FOLDERS)(self._is_in)

    def covers(self, path: str, meaning: Meaning | Foreign) -> bool:
        """Say whether the object at a path, or a folder that it lies in, is referenced."""
        return any(self._has(one) for one in names_of(path, meaning)) or self._holds(path.rpartition("/")[0])

    def _is_in(self, folder: str) -> bool:
        return self._has(folder) or any(map(self._has, folders_of(folder)))

    def _has(self, identity: str) -> bool:
        return encoded(identity) in self.names

    def without(self, owner: str) -> list[str]:
        """Name the sources where an owner has no reference at all."""
        return [source for (source, one), count in self.counts.items() if one == owner and not count]


def encoded(identity: str) -> bytes:
    """Give an identity as the bytes that stand for it."""
    return identity.encode(errors="surrogateescape")


class References:
    """The references of several sources to the objects of one location."""

    def __init__(self, sources: Sequence[Source], grammar: Grammar) -> None:
        self._sources, self._grammar = sources, grammar
        self.names = sorted({source.name for source in sources})
        """Where the references are read, by address."""

    def read(self) -> Known:
        """Read all references; each takes 8 bytes of memory.

        Raises SourceUnreadable unless every source can be read in full.
        """
        counts: Counter[tuple[str, str]] = Counter()
        own: Counter[str | None] = Counter()
        found = chain.from_iterable(self._all_of(source, counts, own) for source in self._sources)
        return Known(Names(map(encoded, found)), counts, own)

    def _all_of(self, source: Source, counts: Counter[tuple[str, str]], own: Counter[str | None]) -> Iterator[str]:
        with source.reading() as connection:
            for place in places(connection, source):
                number, owners = 0, Counter[str | None]()
                for row in connection.execution_options(yield_per=ROWS).execute(select_all(place)):
                    number += 1
                    reference = reference_in(place, row, self._grammar)
                    owners[reference.owner] += 1
                    yield from reference.identities
                if place.declared and place.generation:
                    counts[source.name, owner_of(place.schema, place.generation)] += number
                    own.update(owners)

    def still(self, paths: Collection[str]) -> set[str]:
        """Give those of these paths that a row references now; meant for batches of a few thousand.

        Raises SourceUnreadable unless every source can be asked.
        """
        wanted = Wanted.of(paths, self._grammar)
        found = set(chain.from_iterable(self._some_of(source, wanted) for source in self._sources))
        return {path for path in paths if not found.isdisjoint(identities(path, self._grammar.read(path)))}

    def _some_of(self, source: Source, wanted: Wanted) -> Iterator[str]:
        with source.reading() as connection:
            for place in places(connection, source):
                for row in connection.execute(select_wanted(place, wanted, source.engine.dialect)):
                    yield from reference_in(place, row, self._grammar).identities

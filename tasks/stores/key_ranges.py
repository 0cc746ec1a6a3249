"""Which keys a run reads: those under its prefixes, shared among workers by what follows the prefix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from os.path import commonprefix
from typing import Final, NamedTuple, Self

from tasks.changes.errors import BadInput

HEX: Final = "0123456789abcdef"
BASE32: Final = "234567abcdefghijklmnopqrstuvwxyz"
MOST: Final = 256
"""Workers that two digits of the smaller alphabet can keep apart."""


def folder_of(*texts: str) -> str:
    """Give the folder that texts have in common, with its slash; "" is all there is."""
    common: str = commonprefix(texts)  # noqa: RUF071  # the last slash is looked for below
    return common[: common.rfind("/") + 1]


def tidied(prefix: str) -> str:
    """Return a prefix as servers have it that keep objects in folders: without empty steps, and those on the spot."""
    return "".join(f"{part}/" for part in prefix.split("/")[:-1] if part not in ("", ".")) + prefix.rpartition("/")[2]


class Prefix(NamedTuple):
    """Keys that begin alike. `digits`: what their next two characters are drawn from, evenly, as in a hash.

    Digits are letters and digits in ASCII order; without any, one worker reads the whole prefix.
    """

    text: str
    digits: str = ""


class Shard(NamedTuple):
    """One worker's part of the keys: the `number`th, from 1, `of` so many."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a shard such as 1/4; raises BadInput where it is none."""
        found = re.fullmatch(r"([1-9]\d{0,2})/([1-9]\d{0,2})", text)
        shard = cls(*map(int, found.groups())) if found else cls(1, 0)
        if not shard.number <= shard.of <= MOST:
            message = f"{text!r} is no shard; it has the form NUMBER/OF, such as 1/4, of at most {MOST}."
            raise BadInput(message)
        return shard


WHOLE: Final = Shard()


class Range(NamedTuple):
    """The keys under a prefix from `first` on, to before `end` where there is one."""

    prefix: str
    first: str
    end: str | None

    def holds(self, key: str) -> bool:
        """Say whether a key lies in the range."""
        return key.startswith(self.prefix) and self.first <= key and not self.ends_before(key)

    def ends_before(self, key: str) -> bool:
        """Say whether a key of this prefix, and all that are listed after it, lie behind the range."""
        return self.end is not None and key >= self.end

    def may_hold_some_of(self, folder: str) -> bool:
        """Say whether a key that begins with `folder`, which ends in a slash, may lie in the range."""
        after = folder[:-1] + chr(ord("/") + 1)
        return self.first < after and not self.ends_before(folder)


def ranges_of(prefixes: Iterable[Prefix], shard: Shard = WHOLE, pieces: int = 1) -> list[Range]:
    """Give the ranges that a worker reads, `pieces` of each prefix that has digits.

    Every key under a prefix lies in exactly one range of one worker.
    """
    return [part for turn, prefix in enumerate(_apart(prefixes)) for part in _parts(prefix, shard, turn, pieces)]


def _apart(prefixes: Iterable[Prefix]) -> Iterator[Prefix]:
    """Leave out the prefixes that lie within another."""
    last: Prefix | None = None
    for prefix in sorted(prefixes):
        if last is None or not prefix.text.startswith(last.text):
            last = prefix
            yield prefix


def _parts(prefix: Prefix, shard: Shard, turn: int, pieces: int) -> list[Range]:
    text, digits = prefix
    if not digits:
        return [Range(text, text, None)] if turn % shard.of == shard.number - 1 else []
    twos = [text + one + other for one in digits for other in digits]
    whole = shard.of * pieces
    # The first range begins, and the last ends, with whatever else there is: each key has one reader.
    cuts = [text, *(twos[len(twos) * n // whole] for n in range(1, whole)), None]
    own = slice((shard.number - 1) * pieces, shard.number * pieces + 1)
    return [Range(text, first, end) for first, end in pairwise(cuts[own]) if first is not None and first != end]

"""What makes a plan look wrong as a whole: references that are none, or that lead nowhere in the listing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from tasks.changes.plan_file import Counts
from tasks.changes.protocols import Ignore, Keep
from tasks.datajoint.grammar import FILEPATH
from tasks.datajoint.references import Known

MISPLACED: Final = Ignore("misplaced: in the folders of another subfolding")
FOREIGN_REFERENCED: Final = Ignore("foreign: referenced, but no object that this run may remove")
REFERENCED: Final = "referenced"
ASK: Final = "Are these the right servers, and is it the right location? If so, say it with --allow-empty."


@cache
def referenced_by(owner: str) -> Keep:
    """Keep what an owner's rows reference."""
    return Keep(f"{REFERENCED} by {owner}", owner)


@cache
def unreferenced_by(owner: str) -> str:
    """Give the reason for which an object goes."""
    return f"no row of {owner} references it"


def empty(known: Known, counts: Counts) -> Iterator[str]:
    """Doubt owners whose objects would go, and who have no reference at all in one of the sources."""
    for owner in sorted(known.owners):
        going, sources = counts.because.get(unreferenced_by(owner)), ", ".join(known.without(owner))
        if going and sources:
            yield f"{going:,} objects would go, but {sources} has no reference of {owner} at all. {ASK}"


def unseen(known: Known, counts: Counts) -> Iterator[str]:
    """Doubt owners none of whose references leads to an object that was listed, also where none would go."""
    for owner in sorted(known.owners | {FILEPATH.kind}):
        going, misplaced = counts.because.get(unreferenced_by(owner)), counts.ignored.get(MISPLACED.reason)
        if counts.kept.get(referenced_by(owner).reason):
            continue
        if going:
            yield f"{going:,} objects would go, and none of those that {owner} references is in the listing. {ASK}"
        elif known.own[owner] and not misplaced:
            yield f"None of the {known.own[owner]:,} objects that {owner} references is in the listing. {ASK}"

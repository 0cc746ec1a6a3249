"""Counting the groups of a plan's records in constant memory, whatever the records name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from tasks.changes.plan_file import Group

MOST_GROUPS: Final = 1000
NAME_LENGTH: Final = 200
OTHERS: Final = "all others"
"""The one group of all those that are met after the first thousand."""


class GroupCounts:
    """How many records of each group are planned to change, and how many could have been."""

    def __init__(self) -> None:
        self._groups: defaultdict[str, Group] = defaultdict(Group)

    def add(self, name: str, records: int, *, planned: bool) -> None:
        """Count records of a group; those of no group have an empty name, and are not counted."""
        if not name:
            return
        name = name[:NAME_LENGTH]
        if name not in self._groups and len(self._groups) >= MOST_GROUPS:
            name = OTHERS
        group = self._groups[name]
        group.population += records
        group.planned += records if planned else 0

    def changed(self) -> Mapping[str, Group]:
        """Return the groups of which something is planned to change."""
        return {name: group for name, group in sorted(self._groups.items()) if group.planned}

"""Groups of records are counted in constant memory."""

from typing import Any

from tasks.changes.groups import MOST_GROUPS, NAME_LENGTH, OTHERS, GroupCounts
from tasks.changes.plan import open_plan
from tasks.changes.plan_file import Group
from tasks.changes.protocols import Ignore, Keep, Remove, Verdict


def test_only_groups_of_which_something_changes_are_given() -> None:
    groups = GroupCounts()
    groups.add("a", 3, planned=True)
    groups.add("a", 4, planned=False)
    groups.add("b", 5, planned=False)
    groups.add("", 6, planned=True)
    assert groups.changed() == {"a": Group(planned=3, population=7)}


def test_beyond_a_thousand_groups_the_others_are_one() -> None:
    groups = GroupCounts()
    for number in range(MOST_GROUPS + 500):
        groups.add(f"{number:05}", 2, planned=True)
    found = groups.changed()
    assert len(found) == MOST_GROUPS + 1
    assert found[OTHERS] == Group(planned=1000, population=1000)


def test_names_of_any_length_are_cut() -> None:
    groups = GroupCounts()
    groups.add("x" * 1_000_000, 1, planned=True)
    assert list(groups.changed()) == ["x" * NAME_LENGTH]


class ByFirstLetter:
    """A judge whose records are grouped by the first letter of their keys: a digit at the end decides what goes."""

    grouped_by = "letter"

    def __call__(self, key: str, _value: bytes) -> Verdict:
        if key.startswith("z"):
            return Ignore("not mine")
        group = key[0]
        return Remove("odd", group=group) if int(key[1:]) % 2 else Keep("even", group)


def test_a_plan_keeps_its_groups_and_what_was_ignored(toys: Any) -> None:
    records = {f"{letter}{number}": b"x" for letter in "abz" for number in range(10)} | {"b98": b"x"}
    plan = toys.plan(toys.Store(records), ByFirstLetter())
    counts = open_plan(plan.name).counts
    assert counts == plan.counts
    assert (counts.scanned, counts.planned, counts.kept, counts.ignored) == (31, 10, {"even": 11}, {"not mine": 10})
    assert counts.population == 21 == counts.planned + sum(counts.kept.values()) + counts.problem_count
    assert counts.grouped_by == "letter"
    assert counts.groups == {"a": Group(planned=5, population=10), "b": Group(planned=5, population=11)}

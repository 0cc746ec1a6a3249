"""A hash that is not there is looked for where other releases of Datashare keep it."""

from typing import Any

import pytest

from tasks.changes.errors import BadInput, StoreDenied
from tasks.datashare.hash_keys import KNOWN, TASKS, check_hash_key, other_hashes

OLDER = "ds:task:manager:tasks"


class Hashes:
    """What is asked of a RedisHash here."""

    def __init__(self, hash_key: str, *there: str) -> None:
        self.hash_key, self.there, self.location = hash_key, there, f"redis://localhost:6379/0#{hash_key}"

    def exists(self, key: str | None = None) -> bool:
        return (key or self.hash_key) in self.there

    def count(self) -> int:
        if self.hash_key == "a list":
            raise StoreDenied
        return 7 if self.exists() else 0


def check(hash_key: str, *there: str) -> None:
    tasks: Any = Hashes(hash_key, *there)
    check_hash_key(tasks)


@pytest.mark.parametrize(
    ("hash_key", "there", "others"),
    [
        (TASKS, (TASKS,), {}),
        (TASKS, (), {}),
        (TASKS, (TASKS, OLDER), {OLDER: 7}),
        (OLDER, (TASKS, OLDER), {TASKS: 7}),
        ("of:my:own", (TASKS, OLDER), {TASKS: 7, OLDER: 7}),
    ],
)
def test_other_hashes_that_hold_tasks_are_told_with_their_numbers(
    hash_key: str, there: tuple[str, ...], others: dict[str, int]
) -> None:
    tasks: Any = Hashes(hash_key, *there)
    assert other_hashes(tasks) == others
    assert tasks.hash_key == hash_key


def test_what_is_no_hash_under_another_key_holds_no_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.datashare.hash_keys.KNOWN", (TASKS, "a list"))
    tasks: Any = Hashes(TASKS, TASKS, "a list")
    assert other_hashes(tasks) == {}


def test_the_keys_of_every_release_are_known() -> None:
    assert KNOWN == ("ds:task:manager", "ds:task:manager:tasks")
    assert TASKS == "ds:task:manager"


@pytest.mark.parametrize("hash_key", [TASKS, OLDER, "of:my:own"])
def test_a_hash_that_is_there_is_fine(hash_key: str) -> None:
    check(hash_key, TASKS, OLDER, "of:my:own")


@pytest.mark.parametrize("hash_key", [TASKS, OLDER, "of:my:own"])
def test_c19_no_hash_at_all_is_nothing_to_do(hash_key: str) -> None:
    check(hash_key)


@pytest.mark.parametrize(
    ("hash_key", "there"), [(TASKS, OLDER), (OLDER, TASKS), ("of:my:own", TASKS), ("of:my:own", OLDER)]
)
def test_c19_another_known_hash_is_proposed(hash_key: str, there: str) -> None:
    with pytest.raises(BadInput, match=f"no hash .*#{hash_key}, but there is {there}: give --hash-key {there}"):
        check(hash_key, there)

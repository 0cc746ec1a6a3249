"""Changed paths are lines that a person reads; what only moved is one of them."""

import pytest

from tasks.changes.json_changes import changes_between
from tasks.changes.json_reading import changes_read, path_read


def read(before: str, after: str) -> list[str]:
    changes = changes_between(before, after)
    assert changes
    return changes_read(changes)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ('{"a":{"b":1}}', '{"a":{"b":2}}', "~ a.b: 1 → 2"),
        ('{"a":[1,2]}', '{"a":[1,"x"]}', '~ a[1]: 2 → "x"'),
        ('{"a":1}', '{"a":1,"b":null}', "+ b: null"),
        ('{"a":1,"b":[]}', '{"a":1}', "- b: []"),
        ('{"a b":1}', '{"a b":2}', '~ ["a b"]: 1 → 2'),
        ('{"a":1.10}', '{"a":12345678901234567890}', "~ a: 1.10 → 12345678901234567890"),
        ('{"a":1}', '{"a":"\\u001b[2J\\u202e"}', r'~ a: 1 → "\u001b[2J\u202e"'),
        ('{"\\u009b":1}', '{"\\u009b":2}', r'~ ["\x9b"]: 1 → 2'),
    ],
)
def test_a_path_is_a_line_with_the_old_and_the_new_value(before: str, after: str, line: str) -> None:
    assert read(before, after) == [line]


def test_what_comes_or_goes_whole_is_taken_apart() -> None:
    assert read('{"x":{"a":1,"b":[2]}}', '{"y":{"c":{}}}') == ["- x.a: 1", "- x.b[0]: 2", "+ y.c: {}"]


def test_what_only_moved_is_one_line() -> None:
    before = '{"id":"t","state":"DONE","args":{"n":1,"old":0}}'
    after = '{"task":{"id":"t","state":"DONE","args":{"n":1}},"retries":3}'
    assert read(before, after) == ["> the top → task: id, state, args.n", "- args.old: 0", "+ retries: 3"]


def test_of_equal_values_the_one_moved_whose_path_is_most_alike() -> None:
    assert read('{"a":{"u":{"id":null}}}', '{"x":{"id":null},"b":{"u":{"id":null}}}') == [
        "> a → b: u.id",
        "+ x.id: null",
    ]


def test_many_equal_values_take_no_quadratic_time() -> None:
    many = ",".join('{"n":null}' for _ in range(20_000))
    (line,) = read(f'{{"old":[{many}]}}', f'{{"new":[{many}]}}')
    assert line.startswith("> old → new: [0].n, [1].n")


def test_a_long_value_is_shown_where_it_differs() -> None:
    same = "x" * 500
    (line,) = read(f'{{"a":"{same}1"}}', f'{{"a":"{same}2"}}')
    assert line == '~ a: …xxxxxxxxxxxxxxxxxxxx1" → …xxxxxxxxxxxxxxxxxxxx2"'


def test_a_path_is_written_as_programs_write_it() -> None:
    assert path_read(("task", "@type", 0, "odd key", "n")) == 'task.@type[0]["odd key"].n'

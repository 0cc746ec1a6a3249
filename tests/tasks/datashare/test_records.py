"""Task records of every generation are read alike; anything else is unreadable, with its reason."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tasks.datashare.records import UnreadableRecord, read_task

BROKEN, FOREIGN = "broken JSON", "not a task record of a known generation"


def test_every_sample_is_read(sample: dict[str, Any], written: Callable[..., bytes]) -> None:
    task, original = read_task(written(sample)), sample.get("task", sample)
    assert (task.id, task.state) == (original["id"], original["state"])


@pytest.mark.parametrize("name", ["org.icij.datashare.asynctasks.TaskView", "org.icij.datashare.tasks.TaskView"])
def test_c07_both_packages_of_task_view_are_read(name: str) -> None:
    record = {"@class": name, "id": "a", "state": "INIT", "properties": {"n": 1}}
    assert read_task(json.dumps(record).encode()).state == "INIT"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", BROKEN),
        (b'{"@type":"Task"', BROKEN),
        (b'\xef\xbb\xbf{"@type":"Task"}', BROKEN),
        (b'{"@type":"Task","state":"DONE","args":{"a":' + b"[" * 100_000, BROKEN),
        (b'{"@type":"Task","state":"DONE","args":{}} and more', BROKEN),
        (b'{"@type":"Task","state":"DONE","args":{},"other":"\xff"}', "not UTF-8"),
        (b'{"@type":"Task","state":"DONE","args":{},"other":"\xed\xa0\x80"}', "not UTF-8"),
        (b"null", FOREIGN),
        (b"[]", FOREIGN),
        (b'"text"', FOREIGN),
        (b"5", FOREIGN),
        (b"{}", FOREIGN),
        (b'{"task":null}', FOREIGN),
        (b'{"task":[]}', FOREIGN),
        (b'{"task":{}}', FOREIGN),
        (b'{"@class":"org.example.Task","state":"DONE","properties":{}}', FOREIGN),
        (b'{"@class":["a"],"@type":{"b":1},"state":"DONE","properties":{}}', FOREIGN),
        (b'{"@type":"Other","state":"DONE","args":{}}', FOREIGN),
        (b'{"@type":"Task","args":{}}', "state"),
        (b'{"@type":"Task","args":{},"state":5}', "state"),
        (b'{"@type":"Task","state":"DONE"}', "arguments"),
        (b'{"@type":"Task","state":"DONE","args":null}', "arguments"),
        (b'{"@type":"Task","state":"DONE","args":["java.util.Map",{}]}', "args"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
def test_c12_what_is_no_task_record_is_unreadable_with_its_reason(value: bytes, reason: str) -> None:
    with pytest.raises(UnreadableRecord, match=reason):
        read_task(value)


def test_of_a_key_given_twice_the_last_counts_as_for_jackson() -> None:
    assert read_task(b'{"@type":"Task","args":{},"state":"DONE","state":"RUNNING"}').state == "RUNNING"


def test_a_huge_number_somewhere_is_no_obstacle() -> None:
    value = b'{"@type":"Task","id":"a","state":"DONE","progress":1%b,"args":{"n":%b}}' % (b"0" * 400, b"9" * 400)
    assert read_task(value).id == "a"

"""The readers accept what Datashare's own did, and refuse what they refused or misread."""

import json
from typing import Any

import pytest

from tasks.datashare import readers
from tasks.datashare.reader import MAX_NESTING_DEPTH, Reader, depth
from tasks.datashare.records import UnreadableRecord

READERS = {"g0": readers.G0, "g1": readers.G1, "g2": readers.G2, "g3": readers.G3, "g4": readers.G4}
DATE = 1730991227192
SEARCH = "org.icij.datashare.tasks.BatchSearchRunner"


def reads(reader: Reader, record: Any) -> bool:
    try:
        reader.check(record if isinstance(record, bytes) else json.dumps(record).encode())
    except UnreadableRecord:
        return False
    return True


def record(result: Any = None, name: str = "n", **changes: Any) -> dict[str, Any]:
    task = {"@type": "Task", "id": "a", "name": name, "state": "DONE", "createdAt": DATE, "args": {}, "result": result}
    return {"task": {**task, **changes}, "group": {"id": "Java"}}


def test_the_decode_matrix(lines: dict[str, list[bytes]]) -> None:
    readable = {
        stem: [name for name, reader in READERS.items() if all(reads(reader, line) for line in found)]
        for stem, found in lines.items()
    }
    assert readable == {
        "g0-taskview-17.1.6-class": ["g0"],
        "g1-18.0.0": [],  # a UriResult without @type
        "g1-18.3.0": ["g1"],
        "g1-19.1.0-projects-as-objects": [],  # projects are objects: the next release did not read them
        "g2-20.2.0": ["g2"],
        "g3-20.3.0": ["g3"],
        "g4-head": ["g4"],
    }


@pytest.mark.parametrize("flat", ["g1-18.0.0", "g1-18.3.0"])
def test_a_flat_record_would_silently_be_a_task_that_is_null(lines: dict[str, list[bytes]], flat: str) -> None:
    for reader in (readers.G2, readers.G3, readers.G4):
        assert not any(reads(reader, line) for line in lines[flat])


@pytest.mark.parametrize(
    ("value", "readable"),
    [
        (["Long", 5], True),
        (5, True),
        (None, True),
        (["java.lang.Integer", 5], False),
        (["Integer", 5], False),
        ({"@type": "BatchSearchRunnerResult", "nbResults": 5, "nbQueriesWithoutResults": -1}, True),
        (
            {"@type": "org.icij.datashare.tasks.BatchSearchRunnerResult", "nbResults": 5, "nbQueriesWithoutResults": 1},
            False,
        ),
        ({"@type": "LinkedHashMap", "nbResults": 5, "nbQueriesWithoutResults": 1}, False),
        ({"nbResults": 5, "nbQueriesWithoutResults": 1}, False),
        ({"@type": "BatchSearchRunnerResult", "nbResults": None, "nbQueriesWithoutResults": 1}, False),
        ({"@type": "BatchSearchRunnerResult", "nbResults": 5}, False),
        ({"@type": "BatchSearchRunnerResult", "nbResults": "5", "nbQueriesWithoutResults": 1}, False),
        ({"@type": "BatchSearchRunnerResult", "nbResults": {"value": 5}, "nbQueriesWithoutResults": 1}, False),
        ({"@type": "BatchSearchRunnerResult", "nbResults": 3_000_000_000, "nbQueriesWithoutResults": 1}, False),
        ({"@type": "BatchSearchRunnerResult", "nbResults": 2**31 - 1, "nbQueriesWithoutResults": -(2**31)}, True),
        ({"@type": "UriResult", "uri": "file:///a%5BGMT%5D.zip", "size": 1}, True),
        ({"@type": "UriResult", "uri": "file:///a[GMT].zip", "size": 1}, False),
        ({"@type": "UriResult", "uri": "file:///a%5.zip", "size": 1}, False),
        ({"@type": "UriResult", "uri": "file:///a b.zip", "size": 1}, False),
        ({"@type": "UriResult", "uri": "file:///\u00e9.zip", "size": 1}, True),
        ({"@type": "UriResult", "size": 1}, False),
        ({"@type": "UriResult", "uri": "a", "size": 2**63}, False),
        ({"uri": "file:///a.zip", "size": 1}, False),
        ({"@type": "BatchDownloadRunnerResult", "uri": "a", "size": 1, "truncationReason": "SIZE_LIMIT"}, True),
    ],
)
def test_results_as_today_s_reader_takes_them(value: Any, readable: bool) -> None:
    assert reads(readers.G4, record({"value": value})) is readable


def test_older_readers_know_fewer_results() -> None:
    download = {"value": {"@type": "BatchDownloadRunnerResult", "uri": "a", "size": 1}}
    search = {"value": {"@type": "BatchSearchRunnerResult", "nbResults": 5, "nbQueriesWithoutResults": -1}}
    assert [reads(reader, record(download)) for reader in (readers.G2, readers.G4)] == [False, True]
    assert [reads(reader, record(search)) for reader in (readers.G2, readers.G4)] == [False, True]
    assert not reads(readers.G3, record(download, createdAt=["java.util.Date", 1], args={"@type": "java.util.HashMap"}))


def test_a_batch_search_must_have_counts() -> None:
    assert not reads(readers.G4, record({"value": 5}, name=SEARCH))
    assert not reads(readers.G4, record({"value": ["Long", 5]}, name=SEARCH))
    assert reads(readers.G4, record({"value": None}, name=SEARCH))
    assert reads(readers.G4, record(None, name=SEARCH, state="RUNNING"))
    assert reads(readers.G2, record({"value": 5}, name=SEARCH))


@pytest.mark.parametrize(
    "changes",
    [
        {"createdAt": ["java.util.Date", DATE]},
        {"createdAt": None},
        {"createdAt": 1.5},
        {"createdAt": 2**63},
        {"completedAt": ["java.util.Date", DATE]},
        {"state": "INIT"},
        {"state": None},
        {"args": None},
        {"args": {"batchDownload": {"filename": "file:///a[GMT].zip"}}},
        {"args": {"batchDownload": {"filename": ["java.nio.file.Path", "file:///a.zip"]}}},
        {"args": {"batchDownload": {"projects": ["java.util.ArrayList", []]}}},
        {"args": {"batchRecord": {"projects": [{"name": "prj1", "id": "prj1"}]}}},
        {"error": {"name": "boom"}},
        {"error": {"@type": "TaskError", "stacktrace": ["java.util.ArrayList", []]}},
        {"retriesLeft": 2**31},
        {"progress": "1.0"},
        {"@type": "Other"},
        {"@type": None},
        {"error": {"@type": "Error"}},
        {"result": 5},
    ],
)
def test_what_today_s_reader_would_fail_on_or_misread_is_refused(changes: dict[str, Any]) -> None:
    assert reads(readers.G4, record())
    assert not reads(readers.G4, record(**changes))


def test_a_class_that_is_missing_is_refused() -> None:
    nameless = record()
    del nameless["task"]["@type"]
    assert not reads(readers.G4, nameless)
    uri = {"value": {"uri": "file:///a.zip", "size": 1}}
    assert not any(reads(reader, record(uri)) for reader in (readers.G2, readers.G4))


@pytest.mark.parametrize("group", [None, "Java", {}, {"id": "Fortran"}])
def test_a_group_must_be_one_that_there_is(group: Any) -> None:
    assert not reads(readers.G4, {**record(), "group": group})


@pytest.mark.parametrize("filename", [None, "/tmp/a[GMT].zip", "file:///tmp/a_2021-07-07T14:53:47Z%5BGMT%5D.zip"])
def test_file_names_that_are_read(filename: str | None) -> None:
    assert reads(readers.G4, record(args={"batchDownload": {"filename": filename}}))


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"@type": "java.util.HashMap", "a": {"b": 1}},
        {"@type": "java.util.HashMap", "a": []},
        {"@type": "java.util.HashMap", "a": [1, 2]},
        {"@type": "java.util.HashMap", "a": ["java.util.ArrayList", [{"b": 1}]]},
        {"@type": "java.util.HashMap", "user": {"@type": "org.icij.datashare.user.User", "details": {"uid": "a"}}},
    ],
)
def test_the_typed_reader_needs_a_class_everywhere(args: Any) -> None:
    typed = {"createdAt": ["java.util.Date", DATE]}
    assert reads(readers.G3, record(args={"@type": "java.util.HashMap", "a": ["java.util.ArrayList", [1]]}, **typed))
    assert not reads(readers.G3, record(args=args, **typed))
    trace = {"@type": "TaskError", "stacktrace": [{"file": "F.java", "lineno": 1, "name": "a"}]}
    assert not reads(readers.G3, record(args={"@type": "java.util.HashMap"}, error=trace, **typed))


@pytest.mark.parametrize("deep", [MAX_NESTING_DEPTH, MAX_NESTING_DEPTH + 1])
@pytest.mark.parametrize("filling", ['"}}}}"', '"[[[[[[[[[[[[[[[[[[[[[["', '"\\\\"', '"\\"[["', '"[{\\\\\\"]{"'])
def test_nesting_is_measured_outside_of_texts(deep: int, filling: str) -> None:
    inner = "[" * (deep - 3) + filling + "]" * (deep - 3)
    value = json.dumps(record(args={"a": 0})).replace('"a": 0', f'"a": {inner}').encode()
    assert depth(value) == deep
    assert reads(readers.G4, value) is (deep == MAX_NESTING_DEPTH)


@pytest.mark.parametrize(
    "value", [b"", b"{", b"null", b"[]", b"\xff", b'{"task":' * 100_000, b'{"a":' + b"[" * 100_000]
)
def test_what_is_no_json_object_is_unreadable(value: bytes) -> None:
    assert not any(reads(reader, value) for reader in READERS.values())

"""The readers accept what Datashare's own did, and refuse what they refused or misread."""

import json
from typing import Any

import pytest

from tasks.datashare import readers
from tasks.datashare.java_dates import milliseconds
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


TYPED = {"createdAt": ["java.util.Date", DATE], "args": {"@type": "java.util.HashMap"}}


@pytest.mark.parametrize("group", [None, {}, {"id": None}, {"id": "Python"}, {"id": "Java"}, {"id": "Test"}])
def test_d2_every_reader_takes_a_known_group_or_none(group: Any) -> None:
    for reader, changes in ((readers.G2, {}), (readers.G3, TYPED), (readers.G4, {})):
        assert reads(reader, {**record(**changes), "group": group})
        assert reads(reader, {"task": record(**changes)["task"]})


def test_d2_only_today_s_reader_takes_any_other_group() -> None:
    group = {"id": "gpu"}
    assert reads(readers.G4, {**record(), "group": group})
    assert not reads(readers.G2, {**record(), "group": group})
    assert not reads(readers.G3, {**record(**TYPED), "group": group})


@pytest.mark.parametrize("group", ["Java", [], 5, {"id": 5}, {"id": ["Java"]}])
def test_d2_what_is_no_group_is_refused(group: Any) -> None:
    assert not reads(readers.G4, {**record(), "group": group})


@pytest.mark.parametrize("progress", ["NaN", "Infinity", "-Infinity", None, 0, 1.0, 0.5])
def test_d3_progress_as_java_writes_it(progress: Any) -> None:
    for reader, changes in ((readers.G2, {}), (readers.G3, TYPED), (readers.G4, {})):
        assert reads(reader, record(progress=progress, **changes))
    flat = {**record()["task"], "progress": progress}
    assert reads(readers.G1, flat)


@pytest.mark.parametrize("progress", ["nan", "+INF", "x", "1.0", True, []])
def test_d3_other_texts_are_no_progress(progress: Any) -> None:
    assert not reads(readers.G4, record(progress=progress))
    assert not reads(readers.G4, json.dumps(record()).replace('"args"', '"progress": NaN, "args"').encode())


def refusal(args: Any) -> str:
    with pytest.raises(UnreadableRecord) as refused:
        readers.G4.check(json.dumps(record(args=args)).encode())
    return str(refused.value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (["java.util.UUID", "00000000-0000-0000-0000-000000000000"], "java.util.UUID"),
        (["java.io.File", "/tmp/a"], "java.io.File"),
        (["java.net.URL", "http://a"], "java.net.URL"),
        (["java.util.Locale", "fr"], "java.util.Locale"),
        (["java.util.regex.Pattern", "a+"], "java.util.regex.Pattern"),
        (["java.lang.Character", "c"], "java.lang.Character"),
        (["[B", "AQI="], "byte[]"),
        (["[J", [1, 2]], "long[]"),
        (["[I", [1, 2]], "int[]"),
        (["[Ljava.io.File;", ["/tmp/a"]], "[Ljava.io.File;"),
        (["java.util.BitSet", "AQ=="], "java.util.BitSet"),
        (["java.util.Optional", 1], "java.util.Optional"),
        (["java.time.Instant", "2024-01-01T00:00:00Z"], "java.time.Instant"),
        ({"@type": "java.lang.Object"}, "java.lang.Object"),
        ({"@type": "org.example.Mine", "a": 1}, "org.example.Mine"),
        ({"a": 1, "@type": "java.util.StringJoiner"}, "java.util.StringJoiner"),
    ],
)
def test_d4_a_class_that_today_s_reader_refuses_is_named(value: Any, name: str) -> None:
    user = {"@type": "org.icij.datashare.user.User", "id": "a"}
    assert f"its argument x is of the class {name}, which Datashare does not read" in refusal(
        {"user": user, "x": value}
    )


@pytest.mark.parametrize(
    "value",
    [
        ["java.util.ArrayList", [1]],
        ["java.util.Arrays$ArrayList", [1]],
        ["java.util.ImmutableCollections$List12", [1]],
        ["java.util.ImmutableCollections$ListN", [1]],
        ["java.util.Collections$SingletonList", [1]],
        ["java.util.Collections$UnmodifiableSet", [1]],
        ["java.util.concurrent.CopyOnWriteArrayList", [1]],
        ["java.util.EnumSet<java.util.concurrent.TimeUnit>", ["DAYS"]],
        {"@type": "java.util.EnumMap<java.util.concurrent.TimeUnit,java.lang.Object>", "DAYS": 1},
        {"@type": "java.util.HashMap", "b": {"c": ["java.util.UUID", "x"]}},
        {"@type": "java.util.Collections$UnmodifiableMap"},
        {"@type": "java.util.ImmutableCollections$Map1", "a": 1},
        {"@type": "java.util.Properties", "a": "1"},
        {"@type": "java.lang.IllegalStateException"},
        ["java.util.concurrent.TimeUnit", "DAYS"],
        ["java.lang.Long", 5],
        ["java.math.BigDecimal", 1.10],
        ["java.util.Date", "2024-11-07"],
        ["java.nio.file.Path", "file:///tmp/a"],
        ["java.net.URI", "file:///tmp/a"],
        ["[Ljava.lang.String;", ["a"]],
        {"@type": "org.icij.datashare.text.Project", "name": "a"},
        {"@type": "org.icij.extract.queue.DocumentQueue"},
        "java.util.UUID",
        ["x", 5],
        5,
        1.5,
        True,
        None,
    ],
)
def test_d4_what_today_s_reader_takes_is_read(value: Any) -> None:
    assert reads(readers.G4, record(args={"x": value}))


@pytest.mark.parametrize("digits", [100, 101])
@pytest.mark.parametrize("form", ["{}", "-{}", "1.{:.99}", "-1.{:.99}", "1e{:.99}"])
def test_d4_numbers_of_more_than_100_digits_are_refused(form: str, digits: int) -> None:
    number = (
        form.format("9" * digits) if form in ("{}", "-{}") else form.replace(".99", f".{digits - 1}").format("9" * 101)
    )
    for beside in (f'"args": {{"x": {number}}}', f'"args": {{}}, "other": [1, {number}]'):
        value = json.dumps(record()).replace('"args": {}', beside).encode()
        assert reads(readers.G4, value) is (digits == 100)
        assert reads(
            readers.G3, json.dumps(record(**TYPED)).replace('"group"', f'"n": {number}, "group"').encode()
        ) is (digits == 100)


def test_d4_digits_in_texts_are_no_number() -> None:
    assert reads(readers.G4, record(args={"x": "9" * 500, "9" * 500: 1, "y": '\\"' + "9" * 500}))


@pytest.mark.parametrize(
    "date",
    [
        "2024-11-07",
        "2024-11-07T14:53",
        "2024-11-07T14:53Z",
        "2024-11-07T14:53:47",
        "2024-11-07T14:53:47Z",
        "2024-11-07T14:53:47.192Z",
        "2024-11-07T14:53:47.123456789Z",
        "2024-11-07T14:53:47.192+0100",
        "2024-11-07T14:53:47.192+01:00",
        "2024-11-07T14:53:47-08",
        "Thu, 07 Nov 2024 14:53:47 GMT",
        "Thu, 7 Nov 2024 14:53:47 +0100",
        "1730991227192",
        "-5",
    ],
)
def test_d7_dates_as_texts_are_read(date: str) -> None:
    for reader in (readers.G2, readers.G4):
        assert reads(reader, record(createdAt=date, completedAt=date))
        assert reads(reader, record(args={"batchRecord": {"date": date}}))
    pair = ["java.util.Date", date]
    assert reads(readers.G3, record(**{**TYPED, "createdAt": pair, "completedAt": pair}))
    assert reads(readers.G1, {**record()["task"], "createdAt": date})
    assert isinstance(milliseconds(date), int)
    assert milliseconds(pair) == milliseconds(date)


@pytest.mark.parametrize(
    "date",
    [
        "",
        "null",
        "x",
        "2024-11",
        "2024-11-07 14:53:47",
        "2024-11-07T14:53:47,192Z",
        "2024-11-07T14:53:47.1234567891Z",
        "2024-11-07t14:53:47z",
        "2024-11-07T14:53:47Z[GMT]",
        "2024-11-07Z",
        "2024-13-41T99:99:99Z",
        "0000-00-00",
        "+5",
        "99999999999999999999",
        "Thu, 07 Nov 2024 14:53:47 XYZ",
        "Thu, 07 Nov 2024 14:53:47",
    ],
)
def test_d7_texts_that_are_no_date_or_another_one_are_refused(date: str) -> None:
    assert not reads(readers.G4, record(createdAt=date))
    assert milliseconds(date) is None


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2024-11-07T14:53:47.192Z", DATE),
        ("2024-11-07T15:53:47.192+0100", DATE),
        ("2024-11-07T14:53:47.192999", DATE),
        ("Thu, 07 Nov 2024 15:53:47 +0100", DATE - 192),
        ("Thu, 07 Nov 2024 14:53:47 GMT", DATE - 192),
        ("1730991227192", DATE),
    ],
)
def test_d7_a_text_is_the_time_that_java_takes_it_for(date: str, expected: int) -> None:
    assert milliseconds(date) == expected


@pytest.mark.parametrize(
    "value",
    ["", "some text", {"@type": "UriResult", "uri": "file:///a%5BGMT%5D.zip", "size": 1}, None],
)
def test_d7_a_batch_search_with_another_task_s_result_is_read(value: Any) -> None:
    assert reads(readers.G4, record({"value": value}, name=SEARCH))
    assert reads(readers.G3, record({"value": value}, name=SEARCH, **TYPED))


def test_d7_a_task_need_have_no_name() -> None:
    nameless = record()
    del nameless["task"]["name"]
    for reader in (readers.G2, readers.G4):
        assert reads(reader, record({"value": 5}, name=None))
        assert reads(reader, nameless)
    assert reads(readers.G3, record(name=None, **TYPED))


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

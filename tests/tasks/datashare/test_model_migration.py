"""Records of every generation become what the target reads, or stay and say why."""

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from tasks.changes.errors import BadInput
from tasks.changes.protocols import Keep, Problem, Replace
from tasks.datashare.model_migration import ToGeneration, all_steps

DATE = 1730991227192  # the samples' 2024-11-07T14:53:47.192Z
UNDATED = datetime(2024, 1, 1, tzinfo=UTC)
SEARCH, SCAN = "org.icij.datashare.tasks.BatchSearchRunner", "org.icij.datashare.tasks.ScanTask"
DOWNLOAD = "org.icij.datashare.tasks.BatchDownloadRunner"
USER = {"@type": "org.icij.datashare.user.User", "id": "a"}
Json = dict[str, Any]
Judge = ToGeneration


@pytest.fixture(scope="module")
def plain() -> Judge:
    return ToGeneration()


@pytest.fixture(scope="module")
def typed() -> Judge:
    return ToGeneration("typed")


def view(name: str = SCAN, *, properties: Json | None = None, **changes: Any) -> Json:
    """Make a record of G0."""
    return {
        "@class": "org.icij.datashare.asynctasks.TaskView",
        "id": "a",
        "name": name,
        "state": "DONE",
        "progress": 1.0,
        "user": {"@class": "org.icij.datashare.user.User", "id": "a"},
        "properties": {"@class": "java.util.Collections$UnmodifiableMap", **(properties or {})},
        **changes,
    }


def flat(name: str = SCAN, *, args: Json | None = None, **changes: Any) -> Json:
    """Make a record of G1."""
    task = {"@type": "Task", "id": "a", "name": name, "state": "DONE", "progress": 1.0, "createdAt": DATE}
    return {**task, "retriesLeft": 3, "args": {"user": USER} if args is None else args, **changes}


def wrapped(name: str = SCAN, **changes: Any) -> Json:
    """Make a record of G2 or G4."""
    return {"task": flat(name, **changes), "group": {"id": "Java"}}


def as_bytes(record: Any) -> bytes:
    return (
        record if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    )


def migrated(judge: Judge, record: Any) -> Json:
    """Judge a record that must change, and again what it becomes, which must not."""
    verdict = judge(b"key", as_bytes(record))
    assert isinstance(verdict, Replace), verdict
    assert isinstance(verdict.after, bytes)
    assert isinstance(judge(b"key", verdict.after), Keep)
    after: Json = json.loads(verdict.after)
    return after


def task_of(judge: Judge, record: Any) -> Json:
    task: Json = migrated(judge, record)["task"]
    return task


def problem(judge: Judge, record: Any) -> str:
    verdict = judge(b"key", as_bytes(record))
    assert isinstance(verdict, Problem), verdict
    return verdict.reason


def reason(judge: Judge, record: Any) -> str:
    verdict = judge(b"key", as_bytes(record))
    assert isinstance(verdict, Replace), verdict
    return verdict.reason


def counts(number: int) -> Json:
    return {"@type": "BatchSearchRunnerResult", "nbResults": number, "nbQueriesWithoutResults": -1}


@pytest.mark.parametrize("target", ["plain", "typed"])
def test_every_sample_becomes_what_the_target_reads(lines: dict[str, list[bytes]], target: str) -> None:
    judge = ToGeneration(target, UNDATED)
    for line in (line for found in lines.values() for line in found):
        verdict = judge(b"key", line)
        after = verdict.after if isinstance(verdict, Replace) else line
        assert judge(b"key", bytes(after)) == Keep(f"already {'G4' if target == 'plain' else 'G3'}")


def test_m1_a_g0_batch_search(lines: dict[str, list[bytes]]) -> None:
    after = migrated(ToGeneration(undated=UNDATED), lines["g0-taskview-17.1.6-class"][1])
    user = {"id": "fbar", "name": "Foo Bar", "email": "fbar@icij.org", "provider": "icij"}
    assert after == {
        "task": {
            "@type": "Task",
            "id": "771c45b4-1fac-421f-9791-64ac4e1eb4ab",
            "name": SEARCH,
            "state": "DONE",
            "progress": 1.0,
            "result": {"value": counts(5)},
            "args": {"user": {"@type": "org.icij.datashare.session.DatashareUser", **user}},
            "retriesLeft": 3,
            "createdAt": 1704067200000,
        },
        "group": {"id": "Java"},
    }


def test_m1_the_class_that_an_older_script_left_among_the_arguments_goes(plain: Judge) -> None:
    left = flat(args={"@type": "java.util.Collections$UnmodifiableMap", "user": USER})
    assert task_of(plain, left)["args"] == {"user": USER}


def test_m1_a_user_who_is_there_twice_is_one_and_two_users_are_a_problem(plain: Judge) -> None:
    user = {"@class": "org.icij.datashare.user.User", "id": "a"}
    dated = {"createdAt": DATE}
    assert task_of(plain, view(properties={"user": user}, **dated))["args"] == {"user": USER}
    assert problem(plain, view(properties={"user": {**user, "id": "b"}}, **dated)) == "args.user is there already"


def archived(filename: str, result: Any = None) -> Json:
    download = {"@class": "org.icij.datashare.batch.BatchDownload", "filename": ["java.nio.file.Path", filename]}
    return view(DOWNLOAD, properties={"batchDownload": download}, result=result)


URI = "file:///home/dev/tmp/archive_fbar_2024-08-20T07_27_42.192Z%5BGMT%5D.zip"


def test_m2_a_g0_download_s_uri_stays_as_it_is(plain: Judge) -> None:
    result = {"@class": "org.icij.datashare.tasks.UriResult", "uri": URI, "size": 12345}
    assert task_of(plain, archived(URI, result))["result"] == {
        "value": {"@type": "UriResult", "uri": URI, "size": 12345}
    }
    assert reason(plain, archived(URI, result)) == "G0 to G4, dated by its archive, no group given: Java"


@pytest.mark.parametrize(
    "file",
    [
        "/home/dev/tmp/archive_fbar_2024-08-20T07_27_42.192Z[GMT].zip",
        ["java.io.File", "/home/dev/tmp/archive_fbar_2024-08-20T07_27_42.192Z[GMT].zip"],
        ["java.nio.file.Path", URI],
    ],
)
def test_m2_a_g0_download_s_file_becomes_a_percent_encoded_uri(plain: Judge, file: Any) -> None:
    result = {"@class": "org.icij.datashare.tasks.FileResult", "file": file, "size": 12345}
    assert task_of(plain, archived(URI, result))["result"]["value"] == {"@type": "UriResult", "uri": URI, "size": 12345}
    assert "no absolute path" in problem(plain, archived(URI, {**result, "file": "a.zip"}))


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("user", ["fbar", "jean_paul", "2020-01-01T00_00_00Z"])
def test_m2_times_come_from_the_archive_s_name_whatever_the_machine_s_timezone(
    plain: Judge, zone: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        record = archived(URI.replace("fbar", user))
        assert task_of(plain, record)["createdAt"] == 1724138862192
        for older in ("T07:27:42", "T07%3A27%3A42"):
            assert task_of(plain, archived(URI.replace("T07_27_42.192", older)))["createdAt"] == 1724138862000
    finally:
        monkeypatch.undo()
        time.tzset()
    assert os.environ.get("TZ") != "Asia/Kolkata"


def test_m2_the_date_may_stand_in_the_result_only(plain: Judge) -> None:
    result = {"@class": "org.icij.datashare.tasks.UriResult", "uri": URI, "size": 12345}
    assert task_of(plain, archived("file:///tmp/custom.zip", result))["createdAt"] == 1724138862192


def test_m3_a_g0_number_has_its_short_class(plain: Judge) -> None:
    record = view(result=["java.lang.Long", 42], createdAt=DATE)
    assert task_of(plain, record)["result"] == {"value": ["Long", 42]}


@pytest.mark.parametrize("record", [view(), archived("file:///tmp/custom.zip"), archived("a_2024-13-41T99_99_99Z.zip")])
def test_m4_without_a_date_anywhere_the_fallback_is_asked_for(plain: Judge, record: Json) -> None:
    assert "--undated 2024-01-01T00:00:00Z" in problem(plain, record)
    east = datetime(2024, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    for undated in (UNDATED, east):
        judge = ToGeneration(undated=undated)
        assert task_of(judge, record)["createdAt"] == 1704067200000
        assert f"no date: {undated.isoformat()}" in reason(judge, record)


def test_m4_a_flat_record_without_a_date_is_as_undated(plain: Judge) -> None:
    record = flat()
    del record["createdAt"]
    assert "--undated" in problem(plain, record)
    assert task_of(ToGeneration(undated=UNDATED), record)["createdAt"] == 1704067200000


def test_m4_a_fallback_without_a_timezone_is_refused() -> None:
    with pytest.raises(BadInput, match="timezone"):
        ToGeneration(undated=datetime(2024, 1, 1))


def test_m5_the_group_is_lifted_out_of_the_arguments(plain: Judge) -> None:
    group = {"@type": "org.icij.datashare.asynctasks.Group", "id": "Python"}
    for given in (group, {"id": "Python"}):
        record = flat(args={"group": given, "user": USER})
        assert migrated(plain, record)["group"] == {"id": "Python"}
        assert task_of(plain, record)["args"] == {"user": USER}
        assert reason(plain, record) == "G1 to G4"


def test_m5_no_group_is_java_and_said(plain: Judge) -> None:
    for args in ({"user": USER}, {"user": USER, "group": None}):
        assert migrated(plain, flat(args=args))["group"] == {"id": "Java"}
        assert reason(plain, flat(args=args)) == "G1 to G4, no group given: Java"


def test_m5_a_group_that_is_none_is_a_problem(plain: Judge) -> None:
    assert "group" in problem(plain, flat(args={"group": "Java"}))
    assert "Expected `str | null`, got `int`" in problem(plain, flat(args={"group": {"id": 5}}))


def test_m6_projects_as_objects_become_names(plain: Judge, lines: dict[str, list[bytes]]) -> None:
    task = task_of(plain, lines["g1-19.1.0-projects-as-objects"][0])
    assert task["args"]["batchRecord"]["projects"] == ["prj1", "prj2"]
    assert task["result"] == {"value": counts(5)}


@pytest.mark.parametrize("project", [{"name": "a", "id": "b"}, {"id": "b"}, {"name": None}, {}])
def test_m6_a_project_whose_name_cannot_be_told_is_a_problem(plain: Judge, project: Json) -> None:
    assert "cannot be told" in problem(plain, flat(args={"batchRecord": {"projects": ["x", project]}}))


@pytest.mark.parametrize("name", [SEARCH, f"{SEARCH}Proxy"])
@pytest.mark.parametrize("value", [5, ["Long", 5], ["java.lang.Integer", 5]])
def test_m7_a_batch_search_s_number_becomes_its_counts(plain: Judge, name: str, value: Any) -> None:
    assert migrated(plain, wrapped(name, result={"value": value})) == wrapped(name, result={"value": counts(5)})
    assert reason(plain, wrapped(name, result={"value": value})) == "G2 to G4"


def test_m7_the_sample_changes_in_its_result_only(plain: Judge, lines: dict[str, list[bytes]]) -> None:
    before = lines["g2-20.2.0"][1]
    verdict = plain(b"key", before)
    assert isinstance(verdict, Replace)
    new = b'{"@type":"BatchSearchRunnerResult","nbResults":5,"nbQueriesWithoutResults":-1}'
    assert verdict.after == before.replace(b'"result":{"value":5}', b'"result":{"value":%b}' % new)


def test_m7_a_truth_is_no_number(plain: Judge) -> None:
    assert "no BatchSearchRunnerResult" in problem(plain, wrapped(SEARCH, result={"value": True}))


@pytest.mark.parametrize("state", ["CREATED", "QUEUED", "RUNNING", "ERROR", "CANCELLED"])
@pytest.mark.parametrize("result", [{}, {"result": None}, {"result": {"value": None}}])
def test_m7_a_batch_search_without_a_result_is_current(plain: Judge, state: str, result: Json) -> None:
    assert plain(b"key", as_bytes(wrapped(SEARCH, state=state, **result))) == Keep("already G4")


def test_m7_too_great_a_number_is_a_problem(plain: Judge) -> None:
    assert "2147483647" in problem(plain, wrapped(SEARCH, result={"value": 3_000_000_000}))


def test_m7_what_the_script_by_hand_left_half_done_is_finished(plain: Judge) -> None:
    projects = [{"name": "prj1", "id": "prj1"}]
    half = wrapped(SEARCH, result=5, args={"batchRecord": {"projects": projects}})
    assert migrated(plain, half) == wrapped(
        SEARCH, result={"value": counts(5)}, args={"batchRecord": {"projects": ["prj1"]}}
    )
    assert task_of(plain, wrapped(result=["java.lang.Long", 42]))["result"] == {"value": ["Long", 42]}


def comparable(record: Json, **changes: Any) -> Json:
    """Give a record without what differs between the samples of two releases."""
    text = json.dumps(record).replace(record["task"]["id"], "ID")
    task: Json = json.loads(text)["task"]
    if "batchRecord" in task["args"]:
        task["args"]["batchRecord"].pop("uuid")
    task.pop("type", None)
    return {**task, **changes}


@pytest.mark.parametrize("place", range(4))
def test_m8_g3_becomes_g4_as_the_samples_show(plain: Judge, lines: dict[str, list[bytes]], place: int) -> None:
    before, expected = (json.loads(lines[stem][place]) for stem in ("g3-20.3.0", "g2-20.2.0"))
    same_result = {"result": before["task"].get("result")}
    assert comparable(migrated(plain, before), **same_result) == comparable(expected, **same_result)
    assert reason(plain, before) == "G3 to G4"


def test_m8_a_number_that_is_a_batch_search_s_result_becomes_its_counts(plain: Judge) -> None:
    typed = wrapped(SEARCH, createdAt=["java.util.Date", DATE], args={}, result={"value": 5})
    assert task_of(plain, typed)["result"] == {"value": counts(5)}


def test_m8_what_scripts_wrote_half_typed_and_in_another_order_becomes_plain(plain: Judge) -> None:
    user = {
        "id": "local",
        "details": {"groups": ["java.util.ArrayList", ["a"]], "uid": "local"},
        "@type": USER["@type"],
    }
    half = wrapped(createdAt=["java.util.Date", DATE], args={"user": user, "@type": "java.util.HashMap"})
    expected = {"@type": USER["@type"], "id": "local", "details": {"groups": ["a"], "uid": "local"}}
    assert task_of(plain, half)["args"] == {"user": expected}


def test_m8_the_class_of_a_value_right_under_args_stays_as_the_plain_mapper_writes_it(plain: Judge) -> None:
    args = {
        "@type": "java.util.HashMap",
        "since": ["java.util.Date", DATE],
        "paths": ["java.util.ArrayList", [["java.nio.file.Path", "file:///a"], {"@type": "java.util.HashMap", "b": 1}]],
    }
    assert task_of(plain, wrapped(createdAt=["java.util.Date", DATE], args=args))["args"] == {
        "since": ["java.util.Date", DATE],
        "paths": ["java.util.ArrayList", ["file:///a", {"b": 1}]],
    }


@pytest.mark.parametrize("place", range(4))
def test_m9_g2_becomes_g3_as_the_samples_show(typed: Judge, lines: dict[str, list[bytes]], place: int) -> None:
    before, expected = (json.loads(lines[stem][place]) for stem in ("g2-20.2.0", "g3-20.3.0"))
    after = migrated(typed, before)
    if before["task"]["name"] == SEARCH and "result" in before["task"]:
        assert after["task"].pop("result") == {"value": counts(5)}
        del expected["task"]["result"]
    assert comparable(after) == comparable(expected)
    assert json.dumps(comparable(after)) == json.dumps(comparable(expected)), "the order of keys"


def test_m9_a_long_stack_trace_and_user_data_are_typed(typed: Judge) -> None:
    trace = [{"file": "F.java", "lineno": line, "name": "a.b"} for line in range(3)]
    data = {"@type": "java.util.HashMap", "deep": {"list": [1, {"x": None}]}}
    task = task_of(
        typed, wrapped(args={"data": data, "more": {"y": []}}, error={"@type": "TaskError", "stacktrace": trace})
    )
    assert task["error"]["stacktrace"][0] == "java.util.ImmutableCollections$ListN"
    hash_map = "java.util.LinkedHashMap"
    inner = ["java.util.ArrayList", [1, {"@type": hash_map, "x": None}]]
    assert task["args"]["data"] == {"@type": "java.util.HashMap", "deep": {"@type": hash_map, "list": inner}}
    assert task["args"]["more"] == {"@type": hash_map, "y": ["java.util.ArrayList", []]}


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            {"x": {"@type": "org.icij.datashare.Other", "a": 1}},
            "how the typed mapper writes a org.icij.datashare.Other",
        ),
        ({"@type": "mine"}, "@type is there already"),
        ({"x": {"@type": "mine"}}, "@type is there already"),
    ],
)
def test_m9_what_is_not_known_is_not_guessed(typed: Judge, args: Json, text: str) -> None:
    assert text in problem(typed, wrapped(args=args))


def test_m9_a_download_s_newer_result_gets_its_older_name_and_it_is_said(typed: Judge) -> None:
    result = {"@type": "BatchDownloadRunnerResult", "uri": URI, "size": 1, "truncationReason": "SIZE_LIMIT"}
    record = wrapped(DOWNLOAD, result={"value": result})
    assert task_of(typed, record)["result"] == {"value": {**result, "@type": "UriResult"}}
    assert reason(typed, record) == "G4 to G3, BatchDownloadRunnerResult called UriResult"


@pytest.mark.parametrize("layout", [{"indent": 2}, {"sort_keys": True}, {"ensure_ascii": True}, {}])
def test_m10_a_current_record_stays_whatever_its_layout(
    plain: Judge, lines: dict[str, list[bytes]], layout: Any
) -> None:
    for line in lines["g4-head"]:
        record = json.loads(line)
        record["task"]["args"]["note"] = "\u00e9\U0001f600"
        assert plain(b"key", json.dumps(record, **layout).encode()) == Keep("already G4")


NUMBERS = b"[1.0,1.10,1E5,1e-7,-0.0,0.1e+3,1e400,123456789012345678901234567890,18446744073709551616,-1]"


@pytest.mark.parametrize("kind", ["g0", "g1", "g2", "g3"])
def test_m11_numbers_texts_order_and_unknown_keys_are_preserved(plain: Judge, kind: str) -> None:
    mine: Json = {"z": '\u00e9\U0001f600/"\\\n', "a": None, "B": [], "": {}, "n": "NUMBERS"}
    marker = {"g0": {"@class": "java.util.HashMap"}, "g3": {"@type": "java.util.HashMap"}}.get(kind, {})
    args = {"mine": {**marker, **mine}}
    record = {
        "g0": view(properties=args, createdAt=DATE),
        "g1": flat(args=args),
        "g2": wrapped(SEARCH, args=args, result={"value": 5}),
        "g3": wrapped(args=args, createdAt=["java.util.Date", DATE]),
    }[kind]
    record.get("task", record).update(retriesLeft=1, progress=0.5, type="SCAN", another={"q": ["a", 1]})
    verdict = plain(b"key", as_bytes(record).replace(b'"NUMBERS"', NUMBERS))
    assert isinstance(verdict, Replace), verdict
    assert isinstance(verdict.after, bytes)
    kept = json.dumps(mine, ensure_ascii=False, separators=(",", ":")).encode()[1:].replace(b'"NUMBERS"', NUMBERS)
    assert kept in verdict.after
    task = json.loads(verdict.after)["task"]
    assert task["retriesLeft"] == 1
    assert task["another"] == {"q": ["a", 1]}
    assert task["type"] == "SCAN"
    assert b'"progress":0.5' in verdict.after


@pytest.mark.parametrize("name", ["properties", "@class", "args", "user", "group"])
@pytest.mark.parametrize("value", ["mine", {"@class": "mine", "properties": {"@class": 1}}, None])
def test_m12_user_data_that_is_called_like_a_field_stays(plain: Judge, name: str, value: Any) -> None:
    mine = {"deep": {name: value}, "list": ["java.util.Date", 5]}
    typed = {"deep": {name: value}, "list": ["java.util.ArrayList", ["java.util.Date", 5]]}
    for record, expected in (
        (
            view(properties={"mine": {"@class": "java.util.Map", **typed}}, createdAt=DATE),
            {"@type": "java.util.Map", **mine},
        ),
        (view(properties={"mine": {name: value}}, createdAt=DATE), {name: value}),
        (flat(args={"mine": mine}), mine),
        (wrapped(SEARCH, args={"mine": mine}, result={"value": 5}), mine),
        (
            wrapped(args={"mine": {"@type": "java.util.Map", **typed}}, createdAt=["java.util.Date", DATE]),
            {"@type": "java.util.Map", **mine},
        ),
    ):
        assert task_of(plain, record)["args"]["mine"] == expected


def test_m12_arguments_may_be_called_like_fields(plain: Judge) -> None:
    for name in ("properties", "args", "@class"):
        assert task_of(plain, view(properties={name: "mine"}, createdAt=DATE))["args"] == {name: "mine", "user": USER}
        assert task_of(plain, flat(args={name: "mine"}))["args"] == {name: "mine"}


def test_m12_a_key_that_would_hide_another_is_a_problem(plain: Judge) -> None:
    record = view(properties={"mine": {"@class": "java.util.HashMap", "@type": "mine"}}, createdAt=DATE)
    assert "@type is there already" in problem(plain, record)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", "broken JSON"),
        (b"{", "broken JSON"),
        (b"null", "no object"),
        (b"[]", "no object"),
        (b"5", "no object"),
        (b"NaN", "broken JSON"),
        (b'{"task":NaN}', "broken JSON"),
        (b"\xef\xbb\xbf{}", "broken JSON"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        (as_bytes(wrapped(args={"a": "X"})).replace(b"X", b"\xff"), "not UTF-8"),
        (b'{"a":' * 100_000, "broken JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "broken JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", "not a task record"),
        (b"{}", "not a task record"),
        (as_bytes(flat()).replace(b'"state":"DONE"', b'"state":"DONE","state":"RUNNING"'), "the key state twice"),
        (
            as_bytes(wrapped(SEARCH, result={"value": 5})).replace(b'"value":5', b'"value":4,"value":5'),
            "key value twice",
        ),
        (as_bytes(wrapped(createdAt=None)), "G4, but Datashare would not read it: Expected `int | str`, got `null`"),
        (as_bytes(wrapped(id=None, result={"value": 5})), "G4, but Datashare would not read it"),
        (as_bytes(wrapped(SEARCH, args="x", result={"value": 5})), "Expected `object`, got `str`"),
        (as_bytes(wrapped(SEARCH, args=[], result=5)), "Expected `object`, got `array`"),
        (as_bytes(flat(result={"uri": "file:///a[GMT].zip", "size": 1})), "must be percent-encoded"),
        (as_bytes(flat(result={"size": 1})), "missing required field `@type`"),
        (as_bytes(flat(result={"@type": "Strange"})), "G1, and as G4 Datashare would not read it"),
        (as_bytes(flat(args={"batchRecord": {"projects": 5}})), "Expected `array"),
        (as_bytes(view(createdAt=DATE, state="SLEEPING")), "SLEEPING"),
        (
            as_bytes(view(createdAt=DATE, error={"@class": "java.lang.Error", "stackTrace": 5})),
            "does not know this form",
        ),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else "",
)
def test_m13_a_bad_record_is_a_problem_and_never_an_exception(plain: Judge, value: bytes, text: str) -> None:
    assert text in problem(plain, value)


def test_m13_too_deep_a_record_is_a_problem_of_the_target_only(plain: Judge) -> None:
    inner: Any = 1
    for _ in range(17):
        inner = [inner]
    assert plain(b"key", as_bytes(wrapped(args={"deep": inner}))) == Keep("already G4")
    assert "nested deeper" in problem(plain, wrapped(args={"deep": [inner]}))
    typed = {"@type": "java.util.HashMap", "deep": 1}
    for _ in range(14):
        typed = {"@type": "java.util.HashMap", "deep": ["java.util.ArrayList", [typed]]}
    assert "nested deeper" in problem(plain, wrapped(args={"deep": typed}, createdAt=["java.util.Date", DATE]))


@pytest.mark.parametrize("shape", [("[", "]"), ('{"a":', "}"), ('["java.util.ArrayList",[', "]]")])
@pytest.mark.parametrize("date", ["1", '["java.util.Date",1]'])
@pytest.mark.parametrize("deep", [50, 300, *range(450, 1020, 13)])
def test_m13_no_depth_is_too_deep_to_be_told(plain: Judge, shape: tuple[str, str], date: str, deep: int) -> None:
    inner = f"{shape[0] * deep}1{shape[1] * deep}"
    for layout in ("", " "):
        text = json.dumps(wrapped(SEARCH, createdAt="DATE", args={"x": "INNER"}, result={"value": 5})) + layout
        value = text.replace('"DATE"', date).replace('"INNER"', inner).encode()
        assert isinstance(plain(b"key", value), Problem)


@pytest.mark.parametrize("digits", [4000, 4299, 4300, 4301, 5000])
def test_m13_no_number_is_too_long_to_be_told(plain: Judge, digits: int) -> None:
    for layout in ({"indent": 1}, {}):
        text = json.dumps(wrapped(SEARCH, args={"x": "NUMBER"}, result={"value": 5}), **layout)
        verdict = plain(b"key", text.replace('"NUMBER"', "9" * digits).encode())
        assert isinstance(verdict, Replace | Problem)


TYPED: Json = {"createdAt": ["java.util.Date", DATE], "args": {"@type": "java.util.HashMap"}}


@pytest.mark.parametrize("group", [None, {}, {"id": None}, {"id": "Python"}, {"id": "gpu"}])
def test_d2_any_group_is_taken_to_what_today_s_datashare_reads(plain: Judge, group: Any) -> None:
    for record in (wrapped(**TYPED), wrapped(SEARCH, result={"value": 5})):
        assert migrated(plain, {**record, "group": group})["group"] == group
    assert plain(b"key", as_bytes({**wrapped(), "group": group})) == Keep("already G4")
    assert migrated(plain, {"task": wrapped(**TYPED)["task"]}) == {"task": flat(args={})}
    if group and group.get("id"):
        assert migrated(plain, flat(args={"group": group}))["group"] == group


def test_d2_a_group_that_the_target_does_not_know_is_a_problem_of_the_target_only(typed: Judge) -> None:
    assert "as G3 Datashare would not read it: Invalid enum value 'gpu'" in problem(
        typed, {**wrapped(), "group": {"id": "gpu"}}
    )
    for group in (None, {"id": None}):
        assert migrated(typed, {**wrapped(), "group": group})["group"] == group


@pytest.mark.parametrize("progress", ["NaN", "Infinity", "-Infinity", None])
@pytest.mark.parametrize("target", ["plain", "typed"])
def test_d3_progress_that_is_no_number_is_taken_along(target: str, progress: Any) -> None:
    judge = ToGeneration(target)
    records = [view(createdAt=DATE, progress=progress), flat(progress=progress)]
    records += [wrapped(SEARCH, result={"value": 5}, progress=progress), wrapped(progress=progress)]
    for record in records if target == "typed" else [*records[:3], wrapped(progress=progress, **TYPED)]:
        assert task_of(judge, record)["progress"] == progress


UNREAD = [
    (["java.util.UUID", "00000000-0000-0000-0000-000000000000"], "java.util.UUID"),
    (["java.io.File", "/tmp/a"], "java.io.File"),
    (["[B", "AQI="], "byte[]"),
    (["[J", [1, 2]], "long[]"),
]


@pytest.mark.parametrize(("value", "name"), UNREAD)
def test_d4_an_argument_that_today_s_datashare_refuses_is_a_problem_that_names_its_class(
    plain: Judge, value: Any, name: str
) -> None:
    said = f"Datashare would not read it: its argument x is of the class {name}, which Datashare does not read"
    args = {"user": USER, "x": value}
    assert problem(plain, wrapped(args=args)).startswith(f"G4, but {said}")
    assert problem(plain, wrapped(SEARCH, args=args, result={"value": 5})).startswith(f"G2, and as G4 {said}")
    typed = wrapped(**{**TYPED, "args": {"@type": "java.util.HashMap", **args}})
    assert problem(plain, typed).startswith(f"G3, and as G4 {said}")
    assert problem(plain, flat(args=args)).startswith(f"G1, and as G4 {said}")


def test_d4_what_is_inside_of_an_argument_has_lost_its_class(plain: Judge) -> None:
    inner = {"@type": "java.util.HashMap", "id": ["java.util.UUID", "0-0-0-0-0"]}
    record = wrapped(**{**TYPED, "args": {"@type": "java.util.HashMap", "x": inner}})
    assert task_of(plain, record)["args"] == {"x": {"@type": "java.util.HashMap", "id": "0-0-0-0-0"}}


@pytest.mark.parametrize("digits", [100, 101, 5000])
def test_d4_a_number_that_is_too_long_for_datashare_is_a_problem(plain: Judge, digits: int) -> None:
    for before in (wrapped(SEARCH, args={"x": "N"}, result={"value": 5}), wrapped(args={"x": "N"})):
        verdict = plain(b"key", as_bytes(before).replace(b'"N"', b"9" * digits))
        assert isinstance(verdict, Problem) == (digits > 100)
        assert digits == 100 or "more than the 100 digits" in str(verdict) or digits == 5000


@pytest.mark.parametrize(
    "date", ["2024-11-07T14:53:47.192Z", "2024-11-07", "Thu, 07 Nov 2024 14:53:47 GMT", "1730991227"]
)
def test_d7_a_date_that_is_a_text_is_taken_along_in_every_generation(plain: Judge, typed: Judge, date: str) -> None:
    pair = ["java.util.Date", date]
    assert task_of(plain, wrapped(**{**TYPED, "createdAt": pair, "completedAt": pair}))["completedAt"] == date
    for judge, expected in ((plain, date), (typed, pair)):
        for record in (
            view(createdAt=date),
            flat(createdAt=date),
            wrapped(SEARCH, createdAt=date, result={"value": 5}),
        ):
            assert task_of(judge, record)["createdAt"] == expected
    assert plain(b"key", as_bytes(wrapped(createdAt=date, completedAt=date))) == Keep("already G4")


def test_d7_a_task_without_a_name_is_taken_along(plain: Judge, typed: Judge) -> None:
    for record in (view(createdAt=DATE), flat(), wrapped(**TYPED)):
        record.get("task", record)["name"] = None
        assert task_of(plain, record)["name"] is None
    assert task_of(typed, wrapped(name=None, result={"value": 5}))["result"] == {"value": 5}
    assert plain(b"key", as_bytes(wrapped(name=None, result={"value": 5}))) == Keep("already G4")


@pytest.mark.parametrize("value", ["", "text", {"@type": "UriResult", "uri": URI, "size": 1}])
def test_d7_a_batch_search_may_have_another_task_s_result(plain: Judge, typed: Judge, value: Any) -> None:
    result = {"result": {"value": value}}
    assert plain(b"key", as_bytes(wrapped(SEARCH, **result))) == Keep("already G4")
    assert task_of(plain, wrapped(SEARCH, **result, **TYPED))["result"] == {"value": value}
    assert task_of(plain, flat(SEARCH, result=value))["result"] == {"value": value}
    assert task_of(typed, wrapped(SEARCH, **result))["result"] == {"value": value}


@pytest.mark.parametrize("number", ["1.10", "1E5", "1e-7", "-0.0", "-0", "0.1e+3", "1e400", "9" * 30, "-" + "9" * 100])
@pytest.mark.parametrize("target", ["plain", "typed"])
def test_d7_numbers_are_kept_digit_by_digit(target: str, number: str) -> None:
    judge = ToGeneration(target)
    records = [view(createdAt=DATE, n="N"), flat(n="N"), wrapped(SEARCH, result={"value": 5}, n="N")]
    for record in [*records, wrapped(n="N", **(TYPED if target == "plain" else {}))]:
        verdict = judge(b"key", as_bytes(record).replace(b'"N"', number.encode()))
        assert isinstance(verdict, Replace), verdict
        assert f'"n":{number}'.encode() in bytes(verdict.after)


@pytest.mark.parametrize("name", ["org.example.TaskView", "org.icij.datashare.TaskView", "", None, ["a"], 5])
def test_m16_an_unknown_class_is_untouched(plain: Judge, name: Any) -> None:
    assert "not a task record of a known generation" in problem(plain, {**view(createdAt=DATE), "@class": name})


def test_m17_the_oldest_task_view_and_its_state(plain: Judge) -> None:
    record = {**view(createdAt=DATE, state="INIT"), "@class": "org.icij.datashare.tasks.TaskView"}
    assert task_of(plain, record)["state"] == "CREATED"


def test_g0_errors_become_task_errors(plain: Judge) -> None:
    item = {"className": "a.b.C", "methodName": "d", "fileName": "F.java", "lineNumber": 12, "nativeMethod": False}
    native = {"className": "a.N", "methodName": "m", "fileName": None, "lineNumber": -2, "nativeMethod": True}
    throwable = {
        "@class": "java.lang.RuntimeException",
        "cause": {"@class": "java.io.IOException", "message": "disk"},
        "stackTrace": [item, native],
        "message": "boom",
        "suppressed": ["[Ljava.lang.Throwable;", []],
    }
    lines = [{"file": "F.java", "lineno": 12, "name": "a.b.C.d"}, {"file": None, "lineno": -2, "name": "a.N"}]
    expected = {"name": "java.lang.RuntimeException", "message": "boom", "cause": "java.io.IOException: disk"}
    assert task_of(plain, view(createdAt=DATE, state="ERROR", error=throwable))["error"] == {
        "@type": "TaskError",
        **expected,
        "stacktrace": lines,
    }
    item_class = "org.icij.datashare.asynctasks.bus.amqp.TaskError$StacktraceItem"
    error = {
        "@type": "TaskError",
        **expected,
        "stacktrace": ["java.util.ArrayList", [{"@class": item_class, **lines[0]}]],
    }
    assert task_of(plain, view(createdAt=DATE, state="ERROR", error=error))["error"] == {
        "@type": "TaskError",
        **expected,
        "stacktrace": lines[:1],
    }


def test_a_target_is_named_by_its_use_or_its_generation() -> None:
    assert ToGeneration("G3")(b"key", as_bytes(wrapped())) == ToGeneration("typed")(b"key", as_bytes(wrapped()))
    with pytest.raises(BadInput, match="no generation G9, only plain, typed, G4, G3, G2, G1, G0"):
        ToGeneration("G9")


def test_where_there_is_no_way_it_is_a_problem(lines: dict[str, list[bytes]]) -> None:
    assert "no step that leads from G4 to G1" in problem(ToGeneration("G1"), lines["g4-head"][0])


def test_each_step_makes_what_the_reader_of_its_target_accepts(lines: dict[str, list[bytes]]) -> None:
    registry, taken = all_steps(), set()
    for step in registry.steps:
        judge = ToGeneration(str(step.target), UNDATED)
        for line in (line for found in lines.values() for line in found):
            if registry.recognise(msgspec.json.decode(line)) is step.source:
                assert isinstance(judge(b"key", line), Replace), step.name
                taken.add(step.name)
    assert taken == {step.name for step in registry.steps}


ANYTHING: list[Callable[[Any], Any]] = [
    lambda _: None,
    lambda _: 5,
    lambda _: [],
    lambda _: {},
    lambda _: "x",
    lambda v: [v],
]


@pytest.mark.parametrize("target", ["plain", "typed"])
def test_m13_no_sample_with_any_one_value_exchanged_raises(lines: dict[str, list[bytes]], target: str) -> None:
    judge = ToGeneration(target, UNDATED)
    for line in (line for found in lines.values() for line in found):
        for place in range(sum(1 for _ in places(json.loads(line)))):
            for exchange in ANYTHING:
                record = json.loads(line)
                holder, key = list(places(record))[place]
                holder[key] = exchange(holder[key])
                verdict = judge(b"key", as_bytes(record))
                assert isinstance(verdict, Keep | Replace | Problem)
                if isinstance(verdict, Replace):
                    assert isinstance(judge(b"key", verdict.after), Keep)


def places(value: Any) -> Any:
    """Give every place in a record."""
    for key in list(value) if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0):
        yield value, key
        yield from places(value[key])

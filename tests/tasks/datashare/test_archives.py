"""A finished batch download whose archive is gone goes; every other record stays, with its reason."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.changes.errors import SourceUnreadable
from tasks.changes.plan_file import Counts
from tasks.changes.protocols import Action, Ignore, Keep, Problem, Remove
from tasks.datashare.archives import (
    AGELESS,
    CAME_BACK,
    GONE,
    GONE_MISNAMED,
    NO_DOWNLOAD,
    PRESENT,
    TOO_YOUNG,
    UNFINISHED,
    ArchiveGone,
    UnusableName,
    names_of,
)
from tasks.stores.files import Folder

GMT = "archive_fbar_2024-11-07T14_53_47.192Z[GMT].zip"
GMT_G0 = "archive_fbar_2024-07-07T14_53_47.192Z[GMT].zip"
MADE = datetime(2024, 11, 7, 14, 53, 47, 192000, UTC)  # 1730991227192, the samples' createdAt and completedAt
MADE_G0 = datetime(2024, 7, 7, 14, 53, 47, 192000, UTC)
NOW = datetime(2025, 1, 1, tzinfo=UTC)
WANTED = "file:///home/dev/tmp/"
Write = Callable[..., bytes]


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., ArchiveGone]:
    """Make a judge by a folder with some names in it."""

    def make(*names: str | bytes, **options: Any) -> ArchiveGone:
        for name in (b"another.zip", *names):
            (tmp_path / os.fsdecode(name)).touch()
        return ArchiveGone(Folder(str(tmp_path)), **{"now": NOW, **options})

    return make


def id_of(record: dict[str, Any]) -> str:
    name: str = record.get("task", record)["id"]
    return name


def location_of(value: bytes) -> str:
    verdict = value.decode().split('"filename": ')[1]
    return verdict.split('"')[3 if verdict.startswith("[") else 1]


def test_c01_keeps_what_has_its_archive(download: dict[str, Any], judge: Any, written: Write) -> None:
    assert judge(GMT, GMT_G0)(id_of(download), written(download)) == PRESENT


def test_c02_c05_c06_c07_removes_what_has_no_archive(download: dict[str, Any], judge: Any, written: Write) -> None:
    value = written(download)
    assert judge()(id_of(download).encode(), value) == Remove(GONE, location_of(value))


@pytest.mark.parametrize("state", ["CREATED", "INIT", "QUEUED", "RUNNING", "SOME_NEW_STATE"])
def test_c03_keeps_what_is_not_finished(download: dict[str, Any], judge: Any, written: Write, state: str) -> None:
    everything = ("DONE", "ERROR", "CANCELLED")
    assert judge(states=everything)(id_of(download), written(download, state=state)) == UNFINISHED


@pytest.mark.parametrize("state", ["ERROR", "CANCELLED"])
def test_c04_failed_downloads_go_only_where_asked(
    download: dict[str, Any], judge: Any, written: Write, state: str
) -> None:
    value = written(download, state=state)
    assert judge()(id_of(download), value) == Ignore(f"state {state} is not to be removed")
    assert judge(states=["DONE", state])(id_of(download), value) == Remove(GONE, location_of(value))
    assert judge(GMT, GMT_G0, states=[state])(id_of(download), value) == PRESENT


def test_states_are_only_those_asked_for(download: dict[str, Any], judge: Any, written: Write) -> None:
    assert judge(states=["ERROR"])(id_of(download), written(download)) == Ignore("state DONE is not to be removed")


@pytest.mark.parametrize(
    ("last", "on_disk"),
    [
        ("a%23b.zip", "a#b.zip"),
        ("a%3Fb.zip", "a?b.zip"),
        ("a%20b+c.zip", "a b+c.zip"),
        ("%C3%A9t%C3%A9.zip", "été.zip"),
        ("été.zip", "été.zip"),
        ("%FF.zip", b"\xff.zip"),
        ("a%0Ab.zip", "a\nb.zip"),
    ],
)
def test_c08_keeps_names_with_escapes(
    download: dict[str, Any], judge: Any, written: Write, last: str, on_disk: str | bytes
) -> None:
    value = written(download, WANTED + last)
    assert judge()(id_of(download), value) == Remove(GONE, WANTED + last)
    assert judge(on_disk)(id_of(download), value) == PRESENT


def test_c09_decodes_once(download: dict[str, Any], judge: Any, written: Write) -> None:
    value = written(download, WANTED + "x%2541.zip")
    for wrong in ("xA.zip", "x%2541.zip"):
        assert isinstance(judge(wrong)(id_of(download), value), Remove)
    assert judge("x%41.zip")(id_of(download), value) == PRESENT


@pytest.mark.parametrize("on_disk", ["x%41.zip", "xA.zip"])
def test_c09_a_plain_path_may_be_meant_either_way(
    download: dict[str, Any], judge: Any, written: Write, on_disk: str
) -> None:
    value = written(download, "/home/dev/tmp/x%41.zip")
    assert judge()(id_of(download), value) == Remove(GONE, "/home/dev/tmp/x%41.zip")
    assert judge(on_disk)(id_of(download), value) == PRESENT


UNUSABLE = [
    "",
    "/",
    "file:///",
    "file:///data/dir/",
    "/data/dir/",
    ".",
    "..",
    "/data/..",
    "file:///data/..",
    "file:///data/%2E%2E",
    "file:///data/%2e",
    "file:///data/%2F..",
    "file:///data/..%2F..%2Fetc%2Fpasswd",
    "file:///data/a%2Fb.zip",
    "/data/%2F..",
    "file:///data/a%00.zip",
    "/data/a\0.zip",
    "file:///data/a#b.zip",
    "file:///data/a.zip?x=1",
    "file:///data/100%.zip",
    "file:///data/%zz.zip",
    "http://example.org/a.zip",
    "HTTPS://example.org/a.zip",
    "s3://bucket/a.zip",
    "git+ssh://host/a.zip",
    "jar:file:///x.jar!/a.zip",
    "file:a.zip",
    "C:\\Users\\dev\\a.zip",
]


@pytest.mark.parametrize("location", UNUSABLE)
def test_c10_a_location_that_leads_to_no_file_in_the_folder_has_no_name(location: str) -> None:
    with pytest.raises(UnusableName):
        names_of(location)


@pytest.mark.parametrize("location", ["", "file:///data/dir/", "/data/..", "file:///data/%2F..", "http://x.org/a.zip"])
def test_c10_such_a_location_is_a_problem(download: dict[str, Any], judge: Any, written: Write, location: str) -> None:
    assert isinstance(judge("dir", "a.zip")(id_of(download), written(download, location)), Problem)


@pytest.mark.parametrize("filename", [None, 5, True, [], {}, {"path": "file:///a.zip"}, ["a"], ["a", None], ["a"] * 3])
def test_c10_a_file_name_that_is_no_text_is_a_problem(judge: Any, written: Write, filename: Any) -> None:
    record = {"@type": "Task", "id": "a", "state": "DONE", "args": {"batchDownload": {"filename": filename}}}
    assert judge()("a", written(record)) == Problem("its batchDownload names no file")


@pytest.mark.parametrize("described", [None, [], "text", 5, ["org.icij.datashare.batch.BatchDownload", {}]])
def test_c10_a_batch_download_that_is_no_object_is_a_problem(judge: Any, written: Write, described: Any) -> None:
    record = {"@type": "Task", "id": "a", "state": "DONE", "args": {"batchDownload": described}}
    assert isinstance(judge()("a", written(record)), Problem)


def test_c10_without_a_file_name_it_is_a_problem(judge: Any, written: Write) -> None:
    record = {"@type": "Task", "id": "a", "state": "DONE", "args": {"batchDownload": {}}}
    assert isinstance(judge()("a", written(record)), Problem)


@pytest.mark.parametrize(
    ("location", "names"),
    [
        ("file:///C:/Users/dev/a%20b.zip", (b"a b.zip",)),
        ("C:/Users/dev/a.zip", (b"a.zip", b"a.zip")),
        ("file:///x/a.zip", (b"a.zip",)),
        ("file:/x/a.zip", (b"a.zip",)),
        ("file://host/share/a.zip", (b"a.zip",)),
        ("a.zip", (b"a.zip", b"a.zip")),
        ("archive_x_2021-07-07T14:53:47Z[GMT].zip", (b"archive_x_2021-07-07T14:53:47Z[GMT].zip",) * 2),
        ("file:///x/...", (b"...",)),
    ],
)
def test_only_the_last_part_of_a_location_counts(location: str, names: tuple[bytes, ...]) -> None:
    assert names_of(location) == names


@pytest.mark.parametrize("field", ["another", "8b6e4c14", b"\xff\xfe", b""])
def test_c11_it_is_the_field_that_goes_and_the_mismatch_is_said(
    download: dict[str, Any], judge: Any, written: Write, field: str | bytes
) -> None:
    value = written(download)
    assert judge()(field, value) == Remove(GONE_MISNAMED, location_of(value))


def test_c11_a_record_without_an_id_goes_by_its_field(download: dict[str, Any], judge: Any, written: Write) -> None:
    assert judge()("None", written(download, id=None)).reason == GONE_MISNAMED


def test_c12_a_broken_record_is_a_problem(judge: Any) -> None:
    for value in (b"", b"null", b"[]", b"{", b"\xff", b'{"@class":"unknown"}'):
        assert isinstance(judge()("a", value), Problem)


def test_c17_other_tasks_are_left_alone(other: dict[str, Any], judge: Any, written: Write) -> None:
    assert judge(states=("DONE", "ERROR", "CANCELLED"))(id_of(other), written(other)) == NO_DOWNLOAD


@pytest.mark.parametrize("name", ["archive_x_2021-07-07T14:53:47Z[GMT].zip", "archive_a_b_2021-07-07T14:53:47.1Z.zip"])
def test_c21_keeps_older_names_with_colons(download: dict[str, Any], judge: Any, written: Write, name: str) -> None:
    value = written(download, WANTED + name.replace("[", "%5B").replace("]", "%5D"))
    assert judge(name)(id_of(download), value) == PRESENT


def test_min_age_keeps_what_is_younger(download: dict[str, Any], judge: Any, written: Write) -> None:
    made = MADE_G0 if "@class" in download else MADE
    value, just = written(download), timedelta(seconds=1)
    assert judge(min_age=NOW - made + just)(id_of(download), value) == TOO_YOUNG
    assert isinstance(judge(min_age=NOW - made)(id_of(download), value), Remove)
    assert isinstance(judge(min_age=NOW - made - just)(id_of(download), value), Remove)
    assert isinstance(judge()(id_of(download), value), Remove)


@pytest.mark.parametrize(
    ("times", "age_in_days"),
    [
        ({"createdAt": 1735689600000 - 9 * 86_400_000, "completedAt": 1735689600000 - 2 * 86_400_000}, 2),
        ({"createdAt": 1735689600000 - 9 * 86_400_000}, 9),
        ({"createdAt": ["java.util.Date", 1735689600000 - 9 * 86_400_000]}, 9),
        ({"createdAt": "2024-12-23"}, 9),
        ({"createdAt": "2024-12-23", "completedAt": "2024-12-30T00:00:00.000+00:00"}, 2),
        ({"createdAt": ["java.util.Date", "2024-12-23T00:00:00Z"]}, 9),
    ],
)
@pytest.mark.parametrize("name", ["a.zip", "archive_x_2020-01-01T00_00_00Z%5BGMT%5D.zip"])
def test_d7_min_age_goes_by_the_end_else_by_the_beginning(
    judge: Any, written: Write, times: dict[str, Any], age_in_days: int, name: str
) -> None:
    record = {"@type": "Task", "id": "a", "state": "DONE", "args": {"batchDownload": {"filename": WANTED + name}}}
    value = written(record, **times)
    assert judge(min_age=timedelta(days=age_in_days, hours=1))("a", value) == TOO_YOUNG
    assert isinstance(judge(min_age=timedelta(days=age_in_days, hours=-1))("a", value), Remove)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("archive_fbar_2024-12-31T00_00_00.192Z%5BGMT%5D.zip", TOO_YOUNG),
        ("archive_jean_paul_2024-12-31T00_00_00Z%5BGMT%5D.zip", TOO_YOUNG),
        ("archive_2024-01-01T00_00_00Z_2024-12-31T00_00_00Z%5BGMT%5D.zip", TOO_YOUNG),
        ("archive_a_b_2024-12-31T00:00:00.123456789Z%5BGMT%5D.zip", TOO_YOUNG),
        ("archive_2025-01-01T00_00_00Z_2024-12-01T00_00_00Z%5BGMT%5D.zip", None),
        ("archive_jean_paul_2024-12-01T00_00_00.1Z%5BGMT%5D.zip", None),
        ("custom.zip", AGELESS),
        ("archive_fbar_2024-13-41T99_99_99Z%5BGMT%5D.zip", AGELESS),
        ("archive_fbar_0000-00-00T00_00_00Z%5BGMT%5D.zip", AGELESS),
    ],
)
def test_min_age_reads_the_date_in_the_name_from_the_right_where_the_record_has_none(
    judge: Any, written: Write, name: str, expected: Keep | None
) -> None:
    record = {"@type": "Task", "id": "a", "state": "DONE", "args": {"batchDownload": {"filename": WANTED + name}}}
    verdict = judge(min_age=timedelta(days=7))("a", written(record))
    assert verdict == expected or (expected is None and isinstance(verdict, Remove))


@pytest.mark.parametrize(
    "time",
    [
        None,
        True,
        "2024-01-01 noon",
        "2024-02-30",
        1.5,
        ["java.lang.Long", 5],
        ["java.util.Date"],
        ["java.util.Date", None],
    ]
    + [sign * size for sign in (1, -1) for size in (10**17, 9 * 10**18, 10**40)],
)
@pytest.mark.parametrize("name", ["createdAt", "completedAt"])
def test_min_age_of_a_time_that_no_calendar_has_is_unknown(judge: Any, written: Write, name: str, time: Any) -> None:
    record = {"@type": "Task", "id": "a", "state": "DONE", "args": {"batchDownload": {"filename": WANTED + "a.zip"}}}
    assert judge(min_age=timedelta(days=7))("a", written(record, **{name: time})) == AGELESS


def removal(location: str) -> Action:
    return Action(b"field", b"before", None, 6, GONE, location)


def test_c18_an_archive_that_came_back_is_seen(judge: Any, tmp_path: Path) -> None:
    judged, actions = judge(), [removal(WANTED + GMT.replace("[", "%5B").replace("]", "%5D"))]
    assert judged.look_again(actions) == {}
    (tmp_path / GMT).touch()
    assert judged.look_again(actions) == {b"field": CAME_BACK}


def test_c18_a_plain_path_is_looked_for_either_way(judge: Any, tmp_path: Path) -> None:
    judged = judge()
    (tmp_path / "xA.zip").touch()
    assert judged.look_again([removal("/tmp/x%41.zip")]) == {b"field": CAME_BACK}


def test_c18_a_name_too_long_for_any_file_is_not_there(judge: Any) -> None:
    assert judge().look_again([removal(WANTED + "a" * 300)]) == {}


def test_c18_a_folder_that_was_exchanged_stops_the_run(judge: Any, tmp_path: Path) -> None:
    judged = judge()
    tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-elsewhere"))
    tmp_path.mkdir()
    with pytest.raises(SourceUnreadable):
        judged.look_again([removal(WANTED + "a.zip")])


def test_c13_a_folder_without_any_of_the_archives_is_doubted(judge: Any) -> None:
    nothing_kept, some_kept = Counts(planned=1), Counts(planned=1, kept={PRESENT.reason: 1})
    assert "holds none of the archives" in judge().doubt(nothing_kept)
    assert judge().doubt(some_kept) is None
    assert judge(allow_empty=True).doubt(nothing_kept) is None


def test_c13_an_empty_folder_is_doubted(tmp_path: Path) -> None:
    doubt = ArchiveGone(Folder(str(tmp_path)), now=NOW).doubt(Counts(planned=1))
    assert doubt
    assert f"{tmp_path} is empty" in doubt
    assert "--allow-empty" in doubt
    assert ArchiveGone(Folder(str(tmp_path)), now=NOW, allow_empty=True).doubt(Counts(planned=1)) is None

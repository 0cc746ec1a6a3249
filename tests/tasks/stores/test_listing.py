"""A listing is whole before it is given, takes no memory to speak of, and leaves nothing behind."""

import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from threading import Barrier

import pytest

from tasks.changes.errors import SourceUnreadable
from tasks.stores.listing import Object, Page, ahead, spooled
from tasks.stores.s3_pages import page_of, versions_of

NOW = datetime(2026, 11, 21, 12, 30, 15, tzinfo=UTC)


def pages(n: int, read: list[int] | None = None) -> Iterator[Page]:
    for i in range(n):
        if read is not None:
            read.append(i)
        yield [(f"key {i} {k}", Object(k, f"{k:032x}", NOW + timedelta(seconds=k))) for k in range(1000)]


def of_one(listing: Iterable[Page]) -> Iterator[tuple[int, Page]]:
    return ((0, page) for page in listing)


def test_it_comes_back_as_it_was() -> None:
    odd: Page = [("é\n😀", Object(0, "", NOW)), (b"\xff", Object(1 << 40, "x-5", NOW))]
    assert list(spooled(of_one([odd, [], *pages(2)]))) == [odd, [], *pages(2)]
    assert list(spooled([])) == []


def test_listings_come_back_one_after_the_other() -> None:
    first, second, third, last = pages(4)
    assert list(spooled([(1, second), (0, first), (2, last), (1, third)])) == [first, second, third, last]


def test_a7_everything_is_read_before_the_first_page_is_given() -> None:
    read: list[int] = []
    next(spooled(of_one(pages(7, read))))
    assert read == list(range(7))


def test_a_listing_that_breaks_gives_nothing() -> None:
    def breaking() -> Iterator[Page]:
        yield from pages(3)
        raise SourceUnreadable("broken")

    with pytest.raises(SourceUnreadable, match="broken"):
        next(spooled(of_one(breaking())))


def test_nothing_is_left_and_nobody_else_can_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    listing = spooled(of_one(pages(3)))
    next(listing)
    assert list(tmp_path.iterdir()) == [], "it has no name, so that not even kill -9 leaves it"
    assert opened_in(tmp_path) == 1
    listing.close()  # type: ignore[attr-defined]
    assert opened_in(tmp_path) == 0


def opened_in(folder: Path) -> int:
    links = [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return sum(link.startswith(f"{folder}/") for link in links)


def test_memory_does_not_grow_with_the_listing() -> None:
    peaks = []
    for n in (5, 50):
        tracemalloc.start()
        for _ in spooled(of_one(pages(n))):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3


def test_the_next_page_is_read_meanwhile_and_no_further() -> None:
    read: list[int] = []
    taken = list(islice(ahead([pages(5, read)]), 2))
    assert (len(taken), len(read)) in ((2, 2), (2, 3))


def test_listings_are_read_at_the_same_time_each_page_once() -> None:
    together = Barrier(2, timeout=20)

    def listing(name: str) -> Iterator[str]:
        for place in range(3):
            if name in "ab":
                together.wait()
            yield f"{name}{place}"

    found = list(ahead([listing("a"), listing("b"), listing("c")], 2))
    assert sorted(found) == [(turn, f"{name}{place}") for turn, name in enumerate("abc") for place in range(3)]
    assert [page for turn, page in found if turn == 0] == ["a0", "a1", "a2"]


def test_one_listing_that_breaks_breaks_all() -> None:
    def broken() -> Iterator[str]:
        yield "b0"
        message = "torn"
        raise SourceUnreadable(message)

    with pytest.raises(SourceUnreadable, match="torn"):
        list(ahead([iter(["a0", "a1"]), broken()], 2))


ONE = "<Contents><Key>{key}</Key><Size>1</Size><ETag>&#34;x&#34;</ETag><LastModified>{at}</LastModified></Contents>"


def listed(
    *contents: str, more: str = "<IsTruncated>false</IsTruncated>", encoding: str = "url", space: str = ""
) -> bytes:
    space = f' xmlns="{space}"' if space else ""
    return (
        f"<ListBucketResult{space}><EncodingType>{encoding}</EncodingType>{more}{''.join(contents)}</ListBucketResult>"
    ).encode()


@pytest.mark.parametrize("space", ["", "http://s3.amazonaws.com/doc/2006-03-01/"])
@pytest.mark.parametrize("at", ["2026-11-21T12:30:15Z", "2026-11-21T12:30:15.678Z", "2026-11-21T12:30:15.678901234Z"])
def test_a_page_with_or_without_namespace_and_fractions(space: str, at: str) -> None:
    body = listed(ONE.format(key="a+b%2Fc", at=at), space=space)
    assert page_of(body, "s3") == ([("a b/c", Object(1, "x", NOW))], None)


def test_a_key_is_taken_as_it_is_where_the_server_encodes_none() -> None:
    body = listed(ONE.format(key="a+b%2F&amp;", at="2026-11-21T12:30:15Z"), encoding="")
    assert page_of(body, "s3").objects[0][0] == "a+b%2F&"


AT = "2026-11-21T12:30:15Z"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        listed()[:-5],
        listed(more=""),
        listed(more="<IsTruncated>perhaps</IsTruncated>"),
        listed(more="<IsTruncated>true</IsTruncated>"),
        listed(more="<IsTruncated>true</IsTruncated><NextContinuationToken/>"),
        listed("<Contents><Key>a</Key></Contents>"),
        listed(ONE.format(key="a", at="yesterday")),
        listed(ONE.format(key="a", at=AT).replace("<Size>1", "<Size>")),
    ],
    ids=range(10),
)
def test_a8_a_page_that_is_not_whole_is_refused(body: bytes) -> None:
    with pytest.raises(SourceUnreadable, match="The listing of s3 cannot be read in full"):
        page_of(body, "s3")


def test_versions_of_one_key_among_others() -> None:
    said = f"<Size>1</Size><ETag>x</ETag><LastModified>{AT}</LastModified>"
    version = f"<Version><Key>{{}}</Key><VersionId>{{}}</VersionId>{said}</Version>"
    marker = "<DeleteMarker><Key>{}</Key><VersionId>{}</VersionId></DeleteMarker>"
    body = listed(marker.format("a", 1), version.format("a", 2), more="<IsTruncated>true</IsTruncated>")
    found, more = versions_of(body, "a", "s3")
    assert ([(one.id, one.object is not None) for one in found], more) == ([("1", False), ("2", True)], True)
    body = listed(version.format("a", 2), version.format("ab", 3), more="<IsTruncated>true</IsTruncated>")
    found, more = versions_of(body, "a", "s3")
    assert ([one.id for one in found], more) == (["2"], False)
    with pytest.raises(SourceUnreadable):
        versions_of(b"<nothing", "a", "s3")

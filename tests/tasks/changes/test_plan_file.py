"""A plan file gives back what was written, or says that it is damaged."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tasks.changes.errors import PlanDamaged
from tasks.changes.plan_file import (
    FORMAT,
    TRAILER,
    TRAILER_LENGTH,
    TRAILER_MAGIC,
    Header,
    PlanWriter,
    action_of,
    add_line,
)
from tasks.changes.protocols import Action
from tasks.changes.sealed_file import SealedFile

HEADER = Header(job="toy", version="1", store="toy://", undoable=True, parameters={"n": 1}, created="2025-01-01")
ACTIONS = [Action(f"key {n}", bytes([n, 255]), f"after {n}", n, "because", "detail") for n in range(100)]

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
images = st.none() | st.text() | st.binary() | st.dictionaries(st.text(), values, max_size=4)
actions = st.builds(Action, st.text() | st.binary(), images, images, st.integers(-(2**63), 2**63), st.text(), st.text())


def write(path: Path, written: Iterable[Action] = ACTIONS) -> str:
    with PlanWriter(path, HEADER) as writer:
        for action in written:
            writer.write(action)
        return writer.seal()


def same(image: Any) -> Any:
    """Bytes that are UTF-8 come back as text, and are the same to a store."""
    try:
        return image.decode() if isinstance(image, bytes) else image
    except UnicodeDecodeError:
        return image


def line_of(action: Action) -> bytes:
    lines = bytearray(b"before it")
    add_line(action, lines)
    assert lines.startswith(b"before it")
    assert lines.endswith(b"\n")
    return bytes(lines.removeprefix(b"before it"))


def read(path: Path) -> tuple[Any, ...]:
    file = SealedFile(path)
    actions = [action_of(line) for line in islice(file.lines(), 1, 1 + file.counts.planned)]
    return file.header, file.counts, file.hash, actions


@settings(deadline=None)
@given(actions)
def test_an_action_of_any_bytes_text_or_object_comes_back(action: Action) -> None:
    expected = replace(action, key=same(action.key), before=same(action.before), after=same(action.after))
    assert action_of(line_of(action)) == expected


@pytest.mark.parametrize("image", [{"base64": "AAAA"}, {"base64": 1}, {"base64": "no base64"}])
def test_an_object_that_looks_like_our_form_of_bytes_comes_back(image: dict[str, Any]) -> None:
    assert action_of(line_of(Action("key", image, None))).before == image


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**40])
def test_an_integer_of_any_size_comes_back(number: int) -> None:
    assert action_of(line_of(Action("key", {"number": number}, {"number": number}))).after == {"number": number}


def test_a_number_that_json_cannot_hold_is_refused_and_not_altered() -> None:
    with pytest.raises((TypeError, ValueError)):
        line_of(Action("key", {"number": float("nan")}, None))


def test_a_sealed_plan_is_read_back(tmp_path: Path) -> None:
    seal = write(tmp_path / "plan")
    header, counts, read_seal, found = read(tmp_path / "plan")
    assert (header, read_seal, found) == (HEADER, seal, ACTIONS)
    assert (counts.planned, counts.frees, counts.because) == (100, sum(range(100)), {"because": 100})


def test_a_plan_of_nothing_is_a_plan(tmp_path: Path) -> None:
    seal = write(tmp_path / "plan", [])
    assert read(tmp_path / "plan")[2:] == (seal, [])


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    write(tmp_path / "plan")
    assert (tmp_path / "plan").stat().st_mode & 0o777 == 0o600


def test_it_is_never_written_over_another_file(tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        write(tmp_path / "plan")
    assert (tmp_path / "plan").read_bytes() == b"precious"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_plan_that_failed_is_removed(tmp_path: Path, failure: type[BaseException]) -> None:
    def failing() -> Iterator[Action]:
        yield ACTIONS[0]
        raise failure

    with pytest.raises(failure):
        write(tmp_path / "plan", failing())
    assert not list(tmp_path.iterdir())


def test_a_plan_that_was_not_sealed_is_removed(tmp_path: Path) -> None:
    with PlanWriter(tmp_path / "plan", HEADER) as writer:
        writer.write(ACTIONS[0])
    assert not list(tmp_path.iterdir())


def test_a_header_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    header = HEADER.model_copy(update={"parameters": {"max_changes": 2**64}})
    with pytest.raises(TypeError), PlanWriter(tmp_path / "plan", header):
        pass
    assert not list(tmp_path.iterdir())


def test_a_plan_cut_short_anywhere_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "plan")
    whole, cut = (tmp_path / "plan").read_bytes(), tmp_path / "cut"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(PlanDamaged):
            read(cut)


def test_a_plan_with_any_byte_altered_is_damaged_or_reads_the_same(tmp_path: Path) -> None:
    """A few bits mean nothing to zstd, such as those of the footer's window."""
    write(tmp_path / "plan", ACTIONS[:9])
    whole, altered, damaged = (tmp_path / "plan").read_bytes(), tmp_path / "altered", 0
    expected = read(tmp_path / "plan")
    for bit in range(8 * len(whole)):
        place = bit // 8
        altered.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit % 8]) + whole[place + 1 :])
        try:
            assert read(altered) == expected
        except PlanDamaged:
            damaged += 1
    assert damaged > 0.98 * 8 * len(whole)


def take_apart(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Give the packed header and actions of a new plan, and its footer."""
    write(path)
    whole = path.read_bytes()
    *_, place = TRAILER.unpack(whole[-TRAILER.size :])
    return whole[:place], json.loads(zstandard.decompress(whole[place : -TRAILER.size]))


def put_together(path: Path, body: bytes, footer: dict[str, Any]) -> None:
    packed = zstandard.compress(json.dumps(footer).encode())
    path.write_bytes(body + packed + TRAILER.pack(TRAILER_MAGIC, TRAILER_LENGTH, len(body)))


@pytest.mark.parametrize(
    ("key", "value"),
    [("scanned", 1), ("planned", 99), ("frees", 0), ("problem_count", 1), ("because", {}), ("kept", {"more": 1})],
)
def test_altered_counts_are_found(tmp_path: Path, key: str, value: Any) -> None:
    body, footer = take_apart(tmp_path / "plan")
    put_together(tmp_path / "plan", body, footer)
    SealedFile(tmp_path / "plan")
    footer["counts"][key] = value
    put_together(tmp_path / "plan", body, footer)
    with pytest.raises(PlanDamaged, match="altered"):
        SealedFile(tmp_path / "plan")


def test_an_action_that_was_taken_out_is_found(tmp_path: Path) -> None:
    body, footer = take_apart(tmp_path / "plan")
    lines = zstandard.ZstdDecompressor().decompressobj().decompress(body).splitlines(keepends=True)
    put_together(tmp_path / "plan", zstandard.compress(b"".join(lines[:-1])), footer)
    with pytest.raises(PlanDamaged, match="altered"):
        SealedFile(tmp_path / "plan")


@pytest.mark.parametrize("footer", [{}, {"counts": {}}, {"sha256": ""}, {"counts": 1, "sha256": ""}, [], None, 5])
def test_a_footer_of_another_kind_is_damage(tmp_path: Path, footer: Any) -> None:
    body, _ = take_apart(tmp_path / "plan")
    put_together(tmp_path / "plan", body, footer)
    with pytest.raises(PlanDamaged):
        SealedFile(tmp_path / "plan")


def test_what_follows_the_footer_is_found(tmp_path: Path) -> None:
    write(tmp_path / "plan")
    with (tmp_path / "plan").open("ab") as file:
        file.write(zstandard.compress(b"{}\n"))
    with pytest.raises(PlanDamaged):
        SealedFile(tmp_path / "plan")


@pytest.mark.parametrize("more", [{}, {"store": {"of": "another form"}}])
def test_n27_a_plan_of_another_format_says_which_version_to_use(tmp_path: Path, more: dict[str, Any]) -> None:
    header = HEADER.model_dump() | {"format": FORMAT + 1, "version": "9.1.0"} | more
    (tmp_path / "plan").write_bytes(zstandard.compress(json.dumps(header).encode() + b"\n"))
    with pytest.raises(PlanDamaged, match=rf"format {FORMAT + 1} \(made by toy 9\.1\.0\).*the version that made it"):
        SealedFile(tmp_path / "plan")


@pytest.mark.parametrize("content", [b"", b"no plan", b"\x28\xb5\x2f\xfd", zstandard.compress(b'{"no": "header"}\n')])
def test_another_file_is_no_plan(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan").write_bytes(content)
    with pytest.raises(PlanDamaged, match="not a plan file"):
        SealedFile(tmp_path / "plan")


def test_a_missing_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanDamaged, match=r"no plan file .*/missing"):
        SealedFile(tmp_path / "missing")


MANY = """
import resource, sys
from pathlib import Path
from tasks.changes.plan import open_plan
from tasks.changes.plan_file import Action, Header, PlanWriter

path, n = Path(sys.argv[1]), int(sys.argv[2])
header = Header(job="toy", version="1", store="toy://", undoable=True, parameters={}, created="")
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
with PlanWriter(path, header) as writer:
    for i in range(n):
        writer.write(Action(f"key {i}", b'{"value": "%d"}' % i + b"x" * 100, None, 100, "because"))
    writer.seal()
plan = open_plan(str(path))
read = sum(len(batch) for batch in plan.batches(500))
print(read, peak() - before)
"""


def test_a_million_actions_are_written_and_read_in_constant_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MANY, str(tmp_path / "plan"), "1000000"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    read_back, grown = map(int, answer.split())
    assert read_back == 1_000_000
    assert grown < 64  # MiB, of 170 MB of JSON

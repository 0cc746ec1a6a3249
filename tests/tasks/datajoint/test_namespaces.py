"""A location is the same however it is written, and what a run owns does not overlap with what it does not."""

from typing import Any

import pytest

from tasks.changes.errors import BadInput
from tasks.datajoint.grammar import Grammar, Meaning
from tasks.datajoint.namespaces import Namespace, normal_location

HASH = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "location",
    [
        "loc/deep",
        "/loc/deep",
        "loc/deep/",
        "/loc/deep/",
        "loc//deep",
        "./loc/./deep",
        "loc\\deep",
        "C:\\loc\\deep",
        "C:loc/deep",
    ],
)
def test_a2_a_location_is_the_same_however_it_is_written(location: str) -> None:
    grammar = Grammar(Namespace(schemas=("lab",), location=location))
    path = grammar.path_of(f"loc/deep/lab/01/23/{HASH}")
    assert path == f"lab/01/23/{HASH}"
    assert isinstance(grammar.read(path), Meaning)


@pytest.mark.parametrize("location", ["", "/", ".", "C:\\", "\\"])
def test_a2_an_empty_location_is_the_whole_bucket(location: str) -> None:
    assert Grammar(Namespace(schemas=("lab",), location=location)).path_of("lab/x") == "lab/x"


@pytest.mark.parametrize("location", ["..", "a/../b", "C:\\a\\..\\b"])
def test_a_location_with_a_step_up_is_refused(location: str) -> None:
    with pytest.raises(BadInput, match="step up"):
        normal_location(location)


@pytest.mark.parametrize("key", ["loc/deeper/lab/x", "loc/deep", "lab/x", "loc/dee/p/lab"])
def test_a1_what_only_begins_alike_lies_outside(key: str) -> None:
    assert Grammar(Namespace(schemas=("lab",), location="loc/deep")).path_of(key) is None


@pytest.mark.parametrize("folder", ["lab", "lab/sub", "_hash", "_hash/lab", "_schema", "_schema/lab/t", "", "/"])
def test_a6_filepath_objects_cannot_be_owned_where_datajoint_writes_by_itself(folder: str) -> None:
    with pytest.raises(BadInput, match="filepaths"):
        Namespace(schemas=("lab",), filepaths=(folder,))


@pytest.mark.parametrize("schemas", [(), ("lab", "")])
def test_a_run_without_a_schema_is_refused(schemas: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="schema"):
        Namespace(schemas=schemas)


@pytest.mark.parametrize(
    ("subfoldings", "in_place", "misplaced"),
    [
        (set(), ["ab/cd/"], ["", "ab/", "a/bcd/", "ab/cd/ef/"]),
        ({()}, [""], ["ab/cd/"]),
        ({(), (1, 3)}, ["", "a/bcd/"], ["ab/cd/", "a/"]),
    ],
)
def test_a5_objects_lie_in_the_folders_of_a_subfolding(subfoldings: set[Any], in_place: Any, misplaced: Any) -> None:
    namespace = Namespace(schemas=("lab",), subfoldings=frozenset(subfoldings))
    assert all(namespace.places("legacy", folds) for folds in in_place)
    assert not any(namespace.places("legacy", folds) for folds in misplaced)
    assert Namespace(schemas=("lab",)).places("2", "")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"dj/lab/", "dj/lab_v2/", "dj/_hash/lab/", "dj/_hash/lab_v2/", "dj/_schema/"}),
        ({"generations": frozenset({"legacy"})}, {"dj/lab/", "dj/lab_v2/"}),
        ({"generations": frozenset({"2"}), "schema_prefix": "s"}, {"dj/_hash/lab/", "dj/_hash/lab_v2/", "dj/s/"}),
        ({"generations": frozenset({"2"}), "schema_prefix": ""}, {"dj/_hash/lab/", "dj/_hash/lab_v2/", "dj/"}),
        ({"generations": frozenset({"legacy"}), "filepaths": ("raw",)}, {"dj/lab/", "dj/lab_v2/", "dj/raw/"}),
    ],
)
def test_all_that_a_run_owns_is_listed_and_no_neighbour(options: dict[str, Any], expected: set[str]) -> None:
    namespace = Namespace(schemas=("lab", "lab_v2"), location="dj", **options)
    assert {prefix.text for prefix in namespace.prefixes} == expected

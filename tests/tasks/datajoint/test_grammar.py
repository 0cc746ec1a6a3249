"""Every name that DataJoint gives is read and written alike, and no other name is taken for one."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.datajoint.grammar import ELSEWHERE, FORMS, UNKNOWN, Foreign, Grammar, Meaning, identities
from tasks.datajoint.namespaces import Namespace, Subfolding

HASH = "0123456789abcdef0123456789abcdef"
DIGEST = "wxoyolcva2d3ahestrwypvbmn4"
OLD_HASH = "Zt3n0vXq-4h0FQe_5cC0p9yOeGmX1sR7uJkLwA2bD8E"
NAMESPACE = Namespace(schemas=("lab", "lab_v2", "a", "lab-old"), location="dj/store")
GRAMMAR = Grammar(NAMESPACE)

REAL = {
    f"lab/01/23/{HASH}": ("blob", f"lab/{HASH}"),
    f"lab/{HASH}": ("blob", f"lab/{HASH}"),
    f"lab-old/01/23/{HASH}": ("blob", f"lab-old/{HASH}"),
    f"lab/01/23/{HASH}.notes.lab.v4.tar.gz": ("attach", f"lab/{HASH}"),
    f"lab/01/23/{HASH}.été & <b>.txt": ("attach", f"lab/{HASH}"),
    f"lab/01/23/{HASH}..hidden": ("attach", f"lab/{HASH}"),
    f"lab_v2/{OLD_HASH}": ("blob of 0.11", f"lab_v2/{OLD_HASH}"),
    f"lab_v2/{OLD_HASH}shared": ("blob of 0.11", f"lab_v2/{OLD_HASH}shared"),
    f"_hash/lab/{DIGEST}": ("hashed", f"lab/{DIGEST}"),
    f"_hash/lab/wx/oy/{DIGEST}": ("hashed", f"lab/{DIGEST}"),
    "_schema/lab/session/subject=4/day=1/image_k0x7Ox36.ome.tif": (
        "object",
        "_schema/lab/session/subject=4/day=1/image_k0x7Ox36.ome.tif",
    ),
    "_schema/lab/session/subject=4/day=1/scan_BSdaNi6o/chunks/0.0": (
        "object",
        "_schema/lab/session/subject=4/day=1/scan_BSdaNi6o",
    ),
    "_schema/lab/session/subject=4/day=1/scan_BSdaNi6o.manifest.json": (
        "manifest",
        "_schema/lab/session/subject=4/day=1/scan_BSdaNi6o",
    ),
    "_schema/lab/#t/day=2026%2F05%3Da%20b/x_y_image_Vi4bI_mU.zarr/.zattrs": (
        "object",
        "_schema/lab/#t/day=2026%2F05%3Da%20b/x_y_image_Vi4bI_mU.zarr",
    ),
    "_schema/lab/__t__part/data_AAAAAAAA.zarr.manifest.json": ("manifest", "_schema/lab/__t__part/data_AAAAAAAA.zarr"),
    "_schema/subject=0/lab/session/day=1/spikes_HHGPrbtW.npy": (
        "object",
        "_schema/subject=0/lab/session/day=1/spikes_HHGPrbtW.npy",
    ),
}


@pytest.mark.parametrize(("path", "kind", "identity"), [(path, *meaning) for path, meaning in REAL.items()])
def test_names_as_datajoint_gave_them_are_read_and_written(path: str, kind: str, identity: str) -> None:
    meaning = GRAMMAR.read(path)
    assert isinstance(meaning, Meaning)
    assert (meaning.form.kind, meaning.identity, meaning.path) == (kind, identity, path)


FOREIGN = [
    "lab/README.md",
    f"lab/01/23/{HASH[:8]}-{HASH[8:12]}-{HASH[12:16]}-{HASH[16:20]}-{HASH[20:]}",
    f"lab/01/23/{HASH.upper()}",
    f"lab/01/23/{HASH[:31]}",
    f"lab/01/23/{HASH}0",
    f"lab/99/23/{HASH}",
    f"lab/23/01/{HASH}",
    f"lab/01/23/{HASH}.",
    f"lab/01/23/{HASH}.d/file",
    f"lab/01/23/{HASH}/file",
    f"lab//01/23/{HASH}",
    "lab/.manifest.json",
    f"_hash/lab/{DIGEST[:25]}",
    f"_hash/lab/{DIGEST.upper()}",
    f"_hash/lab/{DIGEST}.manifest.json",
    f"_hash/lab/xx/oy/{DIGEST}",
    f"_hash/lab/{HASH}",
    "_schema/lab/session/subject=4/notes.txt",
    "_schema/lab/session/subject=4/my_notes.txt",
    "_schema/lab/session/image_k0x7Ox3.tif",
    "_schema/lab/session/backup/image_k0x7Ox36.tif",
    "_schema/lab/README",
    "_schema/lab/Session/subject=4/image_k0x7Ox36.tif",
]


@pytest.mark.parametrize("path", FOREIGN)
def test_a3_p5_names_that_datajoint_never_gives_are_foreign(path: str) -> None:
    assert GRAMMAR.read(path) == UNKNOWN


@pytest.mark.parametrize(
    "path",
    [
        f"lab_v/01/23/{HASH}",
        f"lab_v22/01/23/{HASH}",
        f"LAB/01/23/{HASH}",
        f"b/lab/01/23/{HASH}",
        f"labs/{HASH}",
        f"raw/{HASH}",
        HASH,
        f"_hash/b/{DIGEST}",
        f"x_hash/lab/{DIGEST}",
        "a b",
        "",
    ],
)
def test_a1_names_of_other_schemas_and_nested_locations_are_foreign(path: str) -> None:
    assert GRAMMAR.read(path) == ELSEWHERE


def test_a1_a_schema_that_is_the_folder_of_another_location_does_not_own_it() -> None:
    assert isinstance(GRAMMAR.read(f"a/b/lab/01/23/{HASH}"), Foreign)


def test_p6_each_generation_reads_only_its_own_names() -> None:
    rooted = Namespace(schemas=("lab",), schema_prefix="", generations=frozenset({"2"}))
    assert isinstance(Grammar(rooted).read(f"lab/01/23/{HASH}"), Foreign)
    assert isinstance(Grammar(rooted).read(f"lab/01/{HASH}.my_notes12.txt"), Foreign)
    assert isinstance(Grammar(rooted).read("lab/session/subject=4/image_k0x7Ox36.tif"), Meaning)
    legacy = Namespace(schemas=("lab",), generations=frozenset({"legacy"}))
    assert isinstance(Grammar(legacy).read(f"_hash/lab/{DIGEST}"), Foreign)


def test_prefixes_and_tokens_are_those_of_the_store() -> None:
    grammar = Grammar(Namespace(schemas=("lab",), hash_prefix="/h/", schema_prefix="s/t", token_length=4))
    assert isinstance(grammar.read(f"h/lab/{DIGEST}"), Meaning)
    assert isinstance(grammar.read("s/t/lab/session/subject=1/image_AbC1.tif"), Meaning)
    assert isinstance(grammar.read("s/t/lab/session/subject=1/image_AbC12.tif"), Foreign)


def test_a_path_is_referenced_as_itself_by_its_folders_and_by_what_it_is_a_manifest_of() -> None:
    assert list(identities("a/b_x.manifest.json", UNKNOWN)) == ["a/b_x.manifest.json", "a/b_x", "a"]
    assert list(identities("a/b/c", UNKNOWN)) == ["a/b/c", "a/b", "a"]
    path = f"lab/01/23/{HASH}"
    assert next(identities(path, GRAMMAR.read(path))) == f"lab/{HASH}"


def folds_of(name: str, subfolding: Subfolding) -> str:
    """Give the folders of an object named by its hash, as DataJoint makes them."""
    if not subfolding:
        return ""
    return f"{name[: subfolding[0]]}/" + folds_of(name[subfolding[0] :], subfolding[1:])


COLD = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first draw reads all of Unicode
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
BASE32 = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26)
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)
ODD = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=12)
PAIRS = st.lists(st.builds("{}={}/".format, NAME, ODD), max_size=3).map("".join)
TOKEN = st.text("ABCXYZabcxyz019-_", min_size=8, max_size=8)
SUBFOLDING = st.sampled_from([(), (2,), (2, 2), (1, 2, 3)])
OBJECT = st.builds("{}_{}{}".format, NAME, TOKEN, st.sampled_from(["", ".npy", ".ome.tif", ".zarr"]))
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "schema": st.sampled_from(NAMESPACE.schemas),
    "hash": HEX,
    "filename": ODD,
    "old_hash": st.from_regex(r"[A-Za-z0-9_-]{43}[a-z0-9_]{0,8}", fullmatch=True),
    "digest": BASE32,
    "hash_section": st.just("_hash/"),
    "schema_section": st.just("_schema/"),
    "partition": PAIRS,
    "primary_key": PAIRS,
    "table": NAME,
    "object": OBJECT,
    "inside": st.one_of(st.just(""), st.lists(ODD, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))),
}


@st.composite
def meanings(draw: st.DrawFn) -> Meaning:
    """Draw any meaning of any form."""
    form = draw(st.sampled_from(FORMS))
    names = [name for name in re.findall(r"{(\w+)}", form.path) if name != "folds"]
    parts = {name: draw(PARTS[name]) for name in names}
    if form.digest:
        parts["folds"] = folds_of(parts[form.digest], draw(SUBFOLDING))
    return Meaning(form, parts)


@COLD
@given(meanings())
def test_what_is_written_is_read_with_the_same_meaning(meaning: Meaning) -> None:
    read = GRAMMAR.read(meaning.path)
    assert isinstance(read, Meaning)
    assert (read.path, read.identity, read.owner) == (meaning.path, meaning.identity, meaning.owner)
    assert GRAMMAR.path_of(f"{NAMESPACE.prefix}{meaning.path}") == meaning.path


ANYTHING = st.text("lab_v2hsc=/.%x0123456789abcdefAB-manifestjson ", max_size=60)


@COLD
@given(
    st.one_of(
        ANYTHING,
        meanings()
        .map(lambda meaning: meaning.path)
        .flatmap(
            lambda path: st.builds(
                lambda at, to, new: path[:at] + new + path[to:], *[st.integers(0, len(path))] * 2, ANYTHING
            )
        ),
    )
)
def test_what_is_read_is_written_as_it_was(path: str) -> None:
    read = GRAMMAR.read(path)
    assert isinstance(read, Foreign) or read.path == path

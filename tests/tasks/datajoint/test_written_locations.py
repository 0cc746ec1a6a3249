"""R6: a location is looked at as each generation of DataJoint writes it, tried with DataJoint 2 itself."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from blocks.object_store_credentials import ObjectStoreCredentials
from tasks.datajoint.grammar import Grammar, Meaning
from tasks.datajoint.namespaces import Namespace
from tasks.stores.objects import Objects
from tasks.stores.s3_talk import Bucket
from tests.tasks.datajoint.exact_store import ExactStore

HASH, DIGEST = "0123456789abcdef0123456789abcdef", "abcdefghijklmnopqrstuvwxyz"
LOCATIONS = ["dj/one", "/dj/two", "dj/three/", "dj//four", "./dj/five", "dj/six//", "/", "dj\\seven", ""]
WRITE = """
import json, sys
from datajoint.storage import StorageBackend
endpoint, *locations = sys.argv[1:]
keys = {"access_key": "k", "secret_key": "s", "secure": False}
for location in locations:
    spec = {"protocol": "s3", "endpoint": endpoint, "bucket": "lab", "location": location, **keys}
    StorageBackend(spec).put_buffer(json.dumps(location).encode(), "_hash/lab/%s")
""".replace("%s", DIGEST)


@pytest.fixture(scope="module")
def exact() -> Iterator[ExactStore]:
    """A bucket with an object of DataJoint 2's at each location, each written by DataJoint itself."""
    with ExactStore() as store:
        command = [sys.executable, "-W", "ignore", "-c", WRITE, f"127.0.0.1:{store.port}", *LOCATIONS]
        subprocess.run(command, check=True, capture_output=True)
        assert len(store.objects) == len(LOCATIONS)
        yield store


@pytest.mark.parametrize("location", LOCATIONS)
def test_r6_k6_what_2_writes_at_a_location_is_what_is_listed(exact: ExactStore, location: str) -> None:
    namespace = Namespace(schemas=("lab",), location=location)
    credentials = ObjectStoreCredentials.from_argument(f"http://k:s@127.0.0.1:{exact.port}/lab")
    store = Objects(Bucket(credentials.get_client(), "lab", credentials.location), namespace.prefixes)
    [key] = [str(key) for page in store.scan() for key, _ in page]
    assert json.loads(exact.objects[key]) == location
    path = Grammar(namespace).path_of(key)
    assert path == f"_hash/lab/{DIGEST}"
    assert isinstance(Grammar(namespace).read(path), Meaning)


@pytest.mark.parametrize("location", ["/dj/two", "dj/three/", "dj//four"])
def test_k6_what_0_14_writes_there_has_the_slashes_tidied(location: str) -> None:
    grammar = Grammar(Namespace(schemas=("lab",), location=location))
    tidy = "/".join(part for part in location.split("/") if part)
    assert grammar.path_of(f"{tidy}/lab/01/23/{HASH}") == f"lab/01/23/{HASH}"


def test_r9_the_marker_of_a_folder_object_goes_with_it() -> None:
    grammar = Grammar(Namespace(schemas=("lab",)))
    root = "_schema/lab/session/subject=1/scan_aBcDeFgH"
    read = [grammar.read(f"{root}{inside}") for inside in ("/", "/sub/", "/sub/chunk", ".manifest.json")]
    assert {meaning.identity for meaning in read if isinstance(meaning, Meaning)} == {root}
    assert all(isinstance(meaning, Meaning) and meaning.in_folder for meaning in read)

"""A hash and objects of one's own on the real servers, straight and through a proxy that breaks connections."""

import hashlib
import io
import re
import shutil
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from redis import Redis
from redis.backoff import NoBackoff

from blocks.object_store_credentials import ObjectStoreCredentials
from blocks.redis_credentials import RedisCredentials
from sandbox import ChaosProxy
from sandbox.busy import BusyProxy
from tasks.stores import redis_talk
from tasks.stores.file_objects import FileObjects
from tasks.stores.files import Folder
from tasks.stores.key_ranges import Prefix
from tasks.stores.object_store import Mode, ObjectStore
from tasks.stores.objects import Objects
from tasks.stores.redis_hash import RedisHash
from tasks.stores.s3_talk import Bucket

Opened = Callable[..., RedisHash]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again without the waits between."""
    monkeypatch.setattr(redis_talk, "ExponentialBackoff", lambda **_: NoBackoff())


@pytest.fixture
def opened(redis_url: str, hash_key: str) -> Opened:
    """Open the test's hash as a flow does, with another port or login."""

    def open_(port: int | None = None, login: str = "", **options: object) -> RedisHash:
        url = urlsplit(redis_url)
        credentials = RedisCredentials.from_argument(f"redis://{login}{url.hostname}:{port or url.port}{url.path}")
        return RedisHash(credentials.get_client(**options), credentials.location, hash_key)

    return open_


@pytest.fixture
def store(opened: Opened) -> RedisHash:
    return opened()


@pytest.fixture
def proxy(redis_url: str) -> Iterator[ChaosProxy]:
    url = urlsplit(redis_url)
    with ChaosProxy(url.hostname or "", url.port or 6379) as proxy:
        yield proxy


@pytest.fixture
def user(redis_client: Redis) -> Iterator[Callable[..., str]]:
    """Make ACL users that may do what is listed, such as `+@read`; give each one's login, `USER:PASSWORD@`."""
    made: list[str] = []

    def make(*rights: str) -> str:
        made.append(f"test-{uuid4().hex}")
        redis_client.execute_command("ACL", "SETUSER", made[-1], "on", ">pass", "~test:*", *rights)
        return f"{made[-1]}:pass@"

    yield make
    for name in made:
        redis_client.acl_deluser(name)


@pytest.fixture
def busy(s3_url: str) -> Iterator[BusyProxy]:
    """A proxy before the real S3 that answers in its place, cuts connections, or alters answers."""
    url = urlsplit(s3_url)
    with BusyProxy(url.hostname or "", url.port or 80) as proxy:
        yield proxy


BUCKET = "test-steward"


class Place(MutableMapping[str, bytes]):
    """Objects of a test's own, straight on the server or the disk; their keys begin with `base`."""

    base: str

    def store(self, mode: Mode = "delete", **options: Any) -> ObjectStore:
        """Open them as a job does, with the quarantine among them."""
        options = {"prefixes": [Prefix(self.base)], "quarantine": f"{self.base}.quarantine"} | options
        return self.opened(options.pop("prefixes"), mode, **options)

    def opened(self, prefixes: list[Prefix], mode: Mode, **options: Any) -> ObjectStore:
        raise NotImplementedError

    def keys_there(self) -> list[str]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[str]:
        return (key for key in self.keys_there() if not key.startswith(f"{self.base}.quarantine/"))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def quarantined(self) -> dict[str, bytes]:
        """Give what lies in the quarantine, by the keys it had."""
        inside = [key for key in self.keys_there() if key.startswith(f"{self.base}.quarantine/")]
        return {key[len(self.base) :].split("/", 2)[2]: self[key] for key in inside}


class InBucket(Place):
    """Objects in a bucket on the real S3."""

    def __init__(self, url: str, bucket: str = BUCKET, **lock: bool) -> None:
        self.base, self.name = f"{uuid4().hex}/", bucket
        self.credentials = ObjectStoreCredentials.from_argument(f"{url}/{bucket}")
        self.client = self.credentials.get_client()
        with suppress(S3Error):  # another worker made it
            self.client.make_bucket(bucket, **lock)

    def bucket(self, port: int | None = None, **options: Any) -> Bucket:
        """Open the bucket as a flow does, with another port or other options of the client."""
        host, _, own = self.credentials.endpoint.partition(":")
        credentials = self.credentials.model_copy(update={"endpoint": f"{host}:{port or own}"})
        return Bucket(credentials.get_client(**options), self.name, credentials.location)

    def opened(self, prefixes: list[Prefix], mode: Mode, **options: Any) -> Objects:
        return Objects(options.pop("bucket", None) or self.bucket(), prefixes, mode, **options)

    def keys_there(self) -> list[str]:
        return [str(one.object_name) for one in self.client.list_objects(self.name, self.base, recursive=True)]

    def __getitem__(self, key: str) -> bytes:
        try:
            response = self.client.get_object(self.name, key)
        except S3Error:
            raise KeyError(key) from None
        body: bytes = response.data
        response.release_conn()
        return body

    def __setitem__(self, key: str, value: bytes) -> None:
        self.client.put_object(self.name, key, io.BytesIO(value), len(value))

    def __delitem__(self, key: str) -> None:
        self.client.remove_object(self.name, key)

    def clear(self) -> None:
        keys = self.keys_there()
        odd = set(filter(re.compile("[\0-\x1f\ufffe\uffff]").search, keys))
        for key in odd:
            del self[key]
        assert not list(self.client.remove_objects(self.name, [DeleteObject(key) for key in keys if key not in odd]))

    def fill(self, n: int, body: bytes = b"content") -> list[str]:
        """Put many, named as by their hash."""
        names = [hashlib.md5(b"%d" % i).hexdigest() for i in range(n)]
        keys = [f"{self.base}{name[:2]}/{name}" for name in names]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: self.__setitem__(key, body), keys))
        return keys


class OnDisk(Place):
    """Files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.base, self.folder = f"{uuid4().hex}/", folder

    def opened(self, prefixes: list[Prefix], mode: Mode, **options: Any) -> FileObjects:
        return FileObjects(Folder(str(self.folder)), prefixes, mode, **options)

    def keys_there(self) -> list[str]:
        top = self.folder / self.base
        return [path.relative_to(self.folder).as_posix() for path in top.rglob("*") if path.is_file()]

    def __getitem__(self, key: str) -> bytes:
        try:
            return (self.folder / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(key) from None

    def __setitem__(self, key: str, value: bytes) -> None:
        (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / key).write_bytes(value)

    def __delitem__(self, key: str) -> None:
        (self.folder / key).unlink()

    def clear(self) -> None:
        shutil.rmtree(self.folder / self.base, ignore_errors=True)
        (self.folder / self.base).mkdir()


@pytest.fixture
def in_bucket(s3_url: str) -> Iterator[InBucket]:
    place = InBucket(s3_url)
    yield place
    place.clear()


@pytest.fixture
def make_place() -> type[InBucket]:
    """For a place in another bucket."""
    return InBucket


@pytest.fixture
def on_disk(tmp_path: Path) -> OnDisk:
    return OnDisk(tmp_path)


@pytest.fixture(params=["s3", "file"])
def place(request: pytest.FixtureRequest) -> Place:
    """Objects of both kinds."""
    found: Place = request.getfixturevalue("in_bucket" if request.param == "s3" else "on_disk")
    return found

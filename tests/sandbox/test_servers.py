"""Each server really starts, answers and is gone afterwards."""

import os
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest
from minio import Minio
from minio.error import S3Error
from redis import Redis

from sandbox import Sandbox, UnknownServer
from sandbox.running import Running


def minio(url: str, secret: str | None = None) -> Minio:
    at = urlsplit(url)
    return Minio(f"{at.hostname}:{at.port}", at.username, secret or at.password, secure=False)


def test_redis_answers(redis_client: Redis, hash_key: str) -> None:
    redis_client.hset(hash_key, "field", "value")
    assert redis_client.hgetall(hash_key) == {b"field": b"value"}


def test_postgres_stores_unicode_as_utf8(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT 'é😀', current_setting('server_encoding')").fetchone() == ("é😀", "UTF8")


def test_mariadb_stores_unicode_as_utf8(mariadb_url: str) -> None:
    at = urlsplit(mariadb_url)
    with pymysql.connect(host=at.hostname, port=at.port, user=at.username, database="mysql") as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT '😀', @@character_set_server")
        assert cursor.fetchone() == ("😀", "utf8mb4")


def test_s3_stores_objects_and_refuses_a_wrong_key(s3_url: str) -> None:
    client = minio(s3_url)
    client.make_bucket("test-servers")
    client.put_object("test-servers", "a/é", BytesIO(b"body"), 4)
    assert client.get_object("test-servers", "a/é").read() == b"body"
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        minio(s3_url, secret="wrong").list_buckets()


def test_stop_leaves_no_process_no_folder_no_socket() -> None:
    with Sandbox() as sandbox:
        urls = sandbox.start("redis", "s3")
        records = [Running.read(sandbox.folder / f"{name}.json") for name in urls]
        assert all(running.alive() for running in records)
    for running in records:
        with pytest.raises(ProcessLookupError):
            os.kill(running.pid, 0)
        assert not any(list(Path("/").glob(pattern.lstrip("/"))) for pattern in running.leftovers)
    assert not sandbox.folder.exists()


def test_who_joins_shares_the_servers_and_leaves_them_running() -> None:
    with Sandbox() as sandbox:
        with Sandbox(sandbox.folder) as guest:
            url = guest.url("redis")
        assert sandbox.url("redis") == url
        assert Redis.from_url(url).ping()


def test_a_server_that_died_is_started_again() -> None:
    with Sandbox() as sandbox:
        Redis.from_url(sandbox.url("redis")).shutdown(nosave=True)
        assert Redis.from_url(sandbox.url("redis")).ping()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with Sandbox() as sandbox, pytest.raises(UnknownServer, match="redis, postgres, mariadb, s3"):
        sandbox.url("mongo")

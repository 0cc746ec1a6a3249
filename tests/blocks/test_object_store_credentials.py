"""Credentials open the bucket they name, and show their secrets nowhere."""

from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from minio.error import S3Error
from prefect.blocks.core import Block
from pydantic import SecretStr, ValidationError

from blocks.errors import UnusableCredentials
from blocks.object_store_credentials import RETRIES, ObjectStoreCredentials
from tests.blocks.as_a_block import AsABlock

SECRET = "p@:/?#%s3cret+é"


class TestAsABlock(AsABlock):
    @pytest.fixture
    def block(self) -> type[Block]:
        return ObjectStoreCredentials


def opens(credentials: ObjectStoreCredentials) -> tuple[str, str | None, str | None, str | None]:
    """Give what the client would connect with."""
    client = credentials.get_client()
    keys = client._provider.retrieve() if client._provider else None
    where = client.get_presigned_url("GET", credentials.bucket, "key").partition("?")[0]
    return where, keys and keys.access_key, keys and keys.secret_key, client._base_url.region


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("s3://k:s@h/bucket", "https://h/bucket", ("https://h/bucket/key", "k", "s", "us-east-1")),
        ("https://k:s@h:9000/b-1", "https://h:9000/b-1", ("https://h:9000/b-1/key", "k", "s", "us-east-1")),
        ("http://k:s@h:9000/b-1/", "http://h:9000/b-1", ("http://h:9000/b-1/key", "k", "s", "us-east-1")),
        ("http://k:s@[::1]:9000/b-1", "http://[::1]:9000/b-1", ("http://[::1]:9000/b-1/key", "k", "s", "us-east-1")),
        (
            f"s3://k%40:{quote(SECRET, safe='')}@h/bucket?region=eu-west-1",
            "https://h/bucket",
            ("https://h/bucket/key", "k@", SECRET, "eu-west-1"),
        ),
        ("http://k:a+b=@h/bucket", "http://h/bucket", ("http://h/bucket/key", "k", "a+b=", "us-east-1")),
    ],
)
def test_a_url(url: str, location: str, expected: tuple[str, ...]) -> None:
    credentials = ObjectStoreCredentials.from_argument(url)
    assert (credentials.location, opens(credentials)) == (location, expected)


def test_parts() -> None:
    parts = {"endpoint": "h:1", "bucket": "bucket", "access_key": "k", "secret_key": SecretStr(SECRET), "tls": False}
    credentials = ObjectStoreCredentials(**parts)
    assert credentials.location == "http://h:1/bucket"
    assert opens(credentials) == ("http://h:1/bucket/key", "k", SECRET, "us-east-1")


def test_without_keys_they_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = ObjectStoreCredentials.from_argument("s3://h/bucket")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    with pytest.raises(UnusableCredentials, match="no keys for https://h/bucket: give them, or set AWS_ACCESS_KEY_ID"):
        credentials.get_client()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "env")
    assert opens(credentials)[1:3] == ("env", "s3cret")


BAD = [
    "",
    "h",
    "/some/folder",
    "redis://u:s3cret@h/bucket",
    "s3://",
    "s3://k:s3cret@h",
    "s3://k:s3cret@h/",
    "s3://k:s3cret@/bucket",
    "s3://k:s3cret@h/bucket/prefix",
    "s3://k:s3cret@h:port/bucket",
    "s3://k:s3cret@h:70000/bucket",
    "s3://s3cret@h/bucket",
    "s3://:s3cret@h/bucket",
    "s3://s3cret:@h/bucket",
    "s3://k:s3cret/more@h/bucket",
    "s3://k:s3cret?more@h/bucket",
    "s3://k:s3cret#more@h/bucket",
    "s3://k:s3cret:more@h/bucket",
    "s3://k:s3cret@[::1/bucket",
    "s3://k:s3cret@h℀st/bucket",
    "s3://k:s3cret@h/bucket?region=",
    "s3://k:s3cret@h/bucket?password=s3cret",
]


@pytest.mark.parametrize("url", BAD)
def test_a_bad_url_says_the_right_form_and_not_the_secret(url: str) -> None:
    with pytest.raises(ValueError, match="https:// likewise, http:// without TLS") as error:
        ObjectStoreCredentials.from_argument(url)
    assert "s3cret" not in f"{error.value} {error.value!r} {error.value.__cause__} {error.value.__suppress_context__=}"


@pytest.mark.parametrize(
    "wrong", [{"endpoint": "http://h"}, {"endpoint": "h/b"}, {"bucket": "a/b"}, {"secret_key": None}, {"region": ""}]
)
def test_bad_parts_are_refused_without_the_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        ObjectStoreCredentials(**{"bucket": "bucket", "access_key": "k", "secret_key": "s3cret", **wrong})
    assert "s3cret" not in f"{error.value} {error.value!r}"


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://h:9000", "write it without http://, as 'h:9000'; use tls = false for http"),
        ("https://h/", "write it without https://, as 'h'; use tls = true for https"),
        ("h/b", "not a server's name or address with its port, such as minio:9000"),
    ],
)
def test_r11_an_endpoint_that_is_a_url_is_said_in_words(endpoint: str, said: str) -> None:
    with pytest.raises(ValidationError) as error:
        ObjectStoreCredentials(bucket="bucket", endpoint=endpoint)
    assert error.value.errors()[0]["msg"] == f"Value error, {said}"


@pytest.mark.parametrize(
    "credentials",
    [
        ObjectStoreCredentials(bucket="bucket", access_key="k", secret_key="s3cret"),
        ObjectStoreCredentials.from_argument("s3://k:s3cret@h/bucket"),
    ],
    ids=["parts", "url"],
)
def test_secrets_are_never_shown(credentials: ObjectStoreCredentials) -> None:
    shown = [
        repr(credentials),
        str(credentials),
        f"{credentials.model_dump()}",
        credentials.model_dump_json(),
        credentials.location,
        repr(credentials.get_client()),
    ]
    assert not [text for text in shown if "s3cret" in text]


def test_it_opens_a_real_bucket_and_no_wrong_key_does(s3_url: str) -> None:
    url = urlsplit(s3_url)
    credentials = ObjectStoreCredentials.from_argument(f"{s3_url}/any-bucket")
    assert isinstance(credentials.get_client().list_buckets(), list)
    wrong = credentials.model_copy(update={"secret_key": SecretStr("s3cret")})
    with pytest.raises(S3Error, match="SignatureDoesNotMatch") as denied:
        wrong.get_client().list_buckets()
    assert "s3cret" not in f"{denied.value!r}"
    assert wrong.location == f"http://{url.hostname}:{url.port}/any-bucket"


def test_what_deletes_is_never_sent_twice_by_itself() -> None:
    assert RETRIES.allowed_methods is not None
    assert not {"POST", "DELETE"} & set(RETRIES.allowed_methods)


def test_a_client_takes_the_options_it_is_given() -> None:
    client = ObjectStoreCredentials.from_argument("s3://k:s@h/bucket").get_client(maxsize=3)
    assert client._http.connection_pool_kw["maxsize"] == 3

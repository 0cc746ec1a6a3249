"""Credentials open the server they name, and show their secrets nowhere."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from prefect.blocks.core import Block
from pydantic import ValidationError
from redis import Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import AuthenticationError

from blocks.errors import UnusableCredentials
from blocks.redis_credentials import RedisCredentials
from tests.blocks.as_a_block import AsABlock

SECRET = "p@:/?#%s3cret é"
QUOTED = "p%40%3A%2F%3F%23%25s3cret%20%C3%A9"


class TestAsABlock(AsABlock):
    @pytest.fixture
    def block(self) -> type[Block]:
        return RedisCredentials


def opens(credentials: RedisCredentials) -> dict[str, Any]:
    """Give what the client would connect with."""
    kwargs = credentials.get_client().connection_pool.connection_kwargs
    wanted = ("host", "port", "db", "username", "password", "path")
    return {name: kwargs[name] for name in wanted if kwargs.get(name) not in (None, "")}


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        ("redis://h", "redis://h:6379/0", {"host": "h"}),
        ("redis://h:1/2", "redis://h:1/2", {"host": "h", "port": 1, "db": 2}),
        ("redis://h:1?db=2", "redis://h:1/2", {"host": "h", "port": 1, "db": 2}),
        ("redis://:pw@h/", "redis://h:6379/0", {"host": "h", "password": "pw"}),
        ("redis://u:pw@h", "redis://h:6379/0", {"host": "h", "username": "u", "password": "pw"}),
        (f"redis://u%40:{QUOTED}@h", "redis://h:6379/0", {"host": "h", "username": "u@", "password": SECRET}),
        ("rediss://u:pw@h:1/2", "rediss://h:1/2", {"host": "h", "port": 1, "db": 2, "username": "u", "password": "pw"}),
        ("redis://[::1]:1/2", "redis://[::1]:1/2", {"host": "::1", "port": 1, "db": 2}),
        ("unix:///run/redis.sock?db=3", "unix:///run/redis.sock?db=3", {"path": "/run/redis.sock", "db": 3}),
        ("unix://u:pw@/r.sock", "unix:///r.sock?db=0", {"path": "/r.sock", "username": "u", "password": "pw"}),
    ],
)
def test_a_url(url: str, location: str, expected: dict[str, Any]) -> None:
    credentials = RedisCredentials.from_argument(url)
    assert (credentials.location, opens(credentials)) == (location, expected)


@pytest.mark.parametrize(
    ("parts", "location", "expected"),
    [
        ({}, "redis://localhost:6379/0", {"host": "localhost", "port": 6379, "db": 0}),
        (
            {"host": "h", "port": 1, "db": 2, "username": "u:@", "password": SECRET, "tls": True},
            "rediss://h:1/2",
            {"host": "h", "port": 1, "db": 2, "username": "u:@", "password": SECRET},
        ),
        (
            {"password": "pw"},
            "redis://localhost:6379/0",
            {"host": "localhost", "port": 6379, "db": 0, "password": "pw"},
        ),
        ({"username": "u"}, "redis://localhost:6379/0", {"host": "localhost", "port": 6379, "db": 0, "username": "u"}),
        ({"host": "::1"}, "redis://[::1]:6379/0", {"host": "::1", "port": 6379, "db": 0}),
    ],
)
def test_parts(parts: dict[str, Any], location: str, expected: dict[str, Any]) -> None:
    credentials = RedisCredentials(**parts)
    assert (credentials.location, opens(credentials)) == (location, expected)


@pytest.mark.parametrize(
    ("url", "connection"),
    [("redis://h", Connection), ("rediss://h", SSLConnection), ("unix:///s", UnixDomainSocketConnection)],
)
def test_the_scheme_decides_how_it_connects(url: str, connection: type) -> None:
    assert issubclass(RedisCredentials.from_argument(url).get_client().connection_pool.connection_class, connection)


BAD = [
    "",
    "h",
    "http://u:s3cret@h",
    "redis://",
    "redis://u:s3cret@",
    "redis://:s3cret@:6379",
    "redis://u:s3cret@h:port",
    "redis://u:s3cret@h:70000",
    "redis://u:s3cret@h/name",
    "redis://u:s3cret@h/0/1",
    "redis://u:s3cret/more@h:6379/0",
    "redis://u:12/s3cret@h:6379/0",
    "redis://u:s3cret?more@h:6379/0",
    "redis://u:s3cret#more@h:6379/0",
    "redis://u:s3cret@[::1",
    "redis://u:s3cret@h℀st/0",
    "unix://",
]


@pytest.mark.parametrize("url", BAD)
def test_a_bad_url_says_the_right_form_and_not_the_secret(url: str) -> None:
    for make in (RedisCredentials.from_argument, lambda text: RedisCredentials(url=text)):
        with pytest.raises(ValidationError) as error:
            make(url)
        assert "rediss:// for TLS" in str(error.value)
        assert "s3cret" not in f"{error.value} {error.value!r}"


def given(url: str) -> dict[str, Any]:
    """Give what redis-py is given for a URL."""
    found: dict[str, Any] = RedisCredentials.from_argument(url).get_client().connection_pool.connection_kwargs
    return found


@pytest.mark.parametrize("word", ["CERT_NONE", "none", "None"])
def test_r3_celery_s_spelling_is_taken(word: str) -> None:
    assert given(f"rediss://h:6380/0?ssl_cert_reqs={word}")["ssl_cert_reqs"] == "none"
    assert given("rediss://h?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca")["ssl_ca_certs"] == "/ca"


def test_r4_what_other_programs_want_of_a_server_is_not_used() -> None:
    options = given("redis://h/0?decode_responses=True&max_connections=1&health_check_interval=30&client_name=me")
    assert not options.get("decode_responses")
    assert not {"max_connections", "health_check_interval"} & options.keys()
    assert (options["client_name"], options["socket_timeout"], options["protocol"]) == ("me", 30, 2)
    assert given("redis://h?protocol=3&socket_timeout=5")["socket_timeout"] == 5.0


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://u:s3cret@h?ssl=true", "option ssl, which is none of client_name, db, .*ssl_ca_certs"),
        ("redis://h?password=s3cret&more=x", "an option that is none of"),
        ("redis://u:s3cret@h?ssl_cert_reqs=none", "option ssl_cert_reqs goes with rediss://"),
        ("rediss://u:s3cret@h?ssl_cert_reqs=maybe", "ssl_cert_reqs must be one of none, optional, required"),
        ("redis://u:s3cret@h?socket_timeout=soon", "option socket_timeout has a value"),
        ("redis+sentinel://:s3cret@h:26379/mymaster/0", r"redis\+sentinel:// is the URL of a Sentinel.*master itself"),
        ("rediss+cluster://:s3cret@h:6379", r"rediss\+cluster:// is the URL of a Cluster.*node where the hash lies"),
        ("redis-sentinel://:s3cret@h:26379/0", "is the URL of a Sentinel"),
    ],
)
def test_k4_an_option_or_server_that_is_not_known_is_named(url: str, why: str) -> None:
    with pytest.raises(UnusableCredentials, match=why) as refused:
        RedisCredentials.from_argument(url)
    with pytest.raises(ValidationError, match=why) as in_the_form:
        RedisCredentials(url=url)
    assert "s3cret" not in f"{refused.value} {in_the_form.value} {in_the_form.value!r}"


@pytest.mark.parametrize(
    "credentials",
    [
        RedisCredentials(username="u", password="s3cret"),
        RedisCredentials.from_argument("redis://u:s3cret@h/1?password=s3cret"),
        RedisCredentials.from_argument("unix://u:s3cret@/run/redis.sock"),
    ],
    ids=["parts", "url", "unix"],
)
def test_secrets_are_never_shown(credentials: RedisCredentials) -> None:
    shown = [
        repr(credentials),
        str(credentials),
        f"{credentials.model_dump()}",
        credentials.model_dump_json(),
        credentials.location,
        repr(credentials.get_client()),
    ]
    assert not [text for text in shown if "s3cret" in text]


def test_it_connects_with_user_and_password(redis_url: str, login: tuple[str, str]) -> None:
    name, password = login
    url = urlsplit(redis_url)
    parts: dict[str, Any] = {"host": url.hostname, "port": url.port, "username": name}
    assert RedisCredentials(**parts, password=password).get_client().acl_whoami() == name
    by_url = RedisCredentials.from_argument(f"redis://{name}:{QUOTED}@{url.netloc}/0")
    assert by_url.get_client().acl_whoami() == name
    with pytest.raises(AuthenticationError):
        RedisCredentials(**parts, password="wrong").get_client().ping()


@pytest.fixture
def login(redis_client: Redis) -> Iterator[tuple[str, str]]:
    """An ACL user with an awkward password."""
    name = f"test-{uuid4().hex}"
    redis_client.execute_command("ACL", "SETUSER", name, "on", f">{SECRET}", "+@all")
    yield name, SECRET
    redis_client.acl_deluser(name)


def test_a_client_takes_the_options_it_is_given() -> None:
    assert RedisCredentials().get_client(socket_timeout=1).connection_pool.connection_kwargs["socket_timeout"] == 1

"""A store is named as it was typed, but for its secrets."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.database_credentials import DatabaseCredentials
from blocks.object_store_credentials import ObjectStoreCredentials
from blocks.redis_credentials import RedisCredentials
from flows.masking import without_secrets

PASSWORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).map(lambda text: f"s3cr{text}3t")


@pytest.mark.parametrize(
    "address",
    [
        "redis://redis:6379",
        "redis://user@redis:6379/0",
        "unix:///run/redis.sock?db=2",
        "sqlite:////srv/a@b/datashare.db",
        "postgresql://steward@db/datashare?sslmode=require",
        "s3://minio:9000/bucket?region=eu",
        "datajoint-cleaner.toml",
        "/srv/archives",
        "block:redis-credentials/datashare",
        "env:REDIS_URL",
    ],
)
def test_what_holds_no_secret_stays(address: str) -> None:
    assert without_secrets(address) == address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://:s3cret@redis:6379/0", "redis://:PASSWORD@redis:6379/0"),
        ("redis://us@er:s3:cr@t@redis", "redis://us@er:PASSWORD@redis"),
        ("redis://redis?db=1&password=s3cret&ssl=1", "redis://redis?db=1&password=PASSWORD&ssl=1"),
        ("unix://me:s3cret@/run/redis.sock", "unix://me:PASSWORD@/run/redis.sock"),
        ("jdbc:mysql://db/d?user=u&pass%77ord=s3cret", "jdbc:mysql://db/d?user=u&pass%77ord=PASSWORD"),
        ("jdbc:postgresql:d?sslpassword=s3cret", "jdbc:postgresql:d?sslpassword=PASSWORD"),
        ("s3://KEY:s3cret@minio:9000/bucket", "s3://KEY:PASSWORD@minio:9000/bucket"),
    ],
)
def test_every_secret_is_masked(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


@given(PASSWORDS)
def test_no_password_that_a_block_takes_is_shown(password: str) -> None:
    safe = quote(password, safe="")
    for block, address in [
        (RedisCredentials, f"redis://user:{safe}@redis:6379/0"),
        (RedisCredentials, f"redis://redis/0?password={safe}"),
        (DatabaseCredentials, f"mariadb://user:{safe}@db/datashare"),
        (DatabaseCredentials, f"jdbc:postgresql://db/datashare?user=u&password={safe}"),
        (ObjectStoreCredentials, f"s3://key:{safe}@minio/bucket"),
    ]:
        block.from_argument(address)
        assert "s3cr" not in without_secrets(address)
        assert "PASSWORD" in without_secrets(address)

"""Real requests that tell whether a server serves. Clients are imported when asked: only what is used is paid for."""

from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from sandbox.errors import AnyKeyAccepted, NoAnswer

if TYPE_CHECKING:
    from minio import Minio

TIMEOUT = 5  # seconds, for a server that accepts and then says nothing


def ask_redis(url: str) -> None:
    """PING; raise NoAnswer (also while it loads its data)."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        with redis.Redis.from_url(url, socket_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)) as client:
            client.ping()
    except redis.RedisError as error:
        raise NoAnswer(str(error)) from error


def ask_sql(url: str) -> None:
    """SELECT 1 on PostgreSQL or MariaDB; raise NoAnswer."""
    import sqlalchemy
    from sqlalchemy.exc import DBAPIError

    address = sqlalchemy.make_url(url)
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}.get(address.drivername, address.drivername)
    engine = sqlalchemy.create_engine(
        address.set(drivername=driver),
        poolclass=sqlalchemy.NullPool,
        connect_args={"connect_timeout": TIMEOUT},
    )
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
    except DBAPIError as error:
        raise NoAnswer(str(error.orig)) from error


def ask_s3(url: str) -> None:
    """PUT an object into a bucket made for it and remove both; raise NoAnswer, or AnyKeyAccepted."""
    from minio.error import MinioException
    from urllib3.exceptions import HTTPError

    try:
        _put_and_remove(_s3_client(url))
    except (MinioException, HTTPError) as error:
        raise NoAnswer(str(error)) from error
    try:
        _s3_client(url, wrong="x").list_buckets()
    except MinioException:
        return
    raise AnyKeyAccepted(
        f"s3 on {urlsplit(url).hostname}:{urlsplit(url).port} accepts a wrong secret key; give it keys"
    )


def _put_and_remove(client: "Minio") -> None:
    bucket = f"sandbox-{uuid4().hex}"
    client.make_bucket(bucket)
    client.put_object(bucket, "asked", BytesIO(b"?"), 1)
    client.remove_object(bucket, "asked")
    client.remove_bucket(bucket)


def _s3_client(url: str, wrong: str = "") -> "Minio":
    from minio import Minio
    from urllib3 import PoolManager, Timeout

    at = urlsplit(url)
    return Minio(
        f"{at.hostname}:{at.port}",
        access_key=at.username,
        secret_key=f"{at.password}{wrong}",
        secure=at.scheme == "https",
        http_client=PoolManager(retries=False, timeout=Timeout(TIMEOUT)),  # the SDK's own would retry for seconds
    )

"""How to reach a bucket of an S3 object store."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import certifi
from minio import Minio
from minio.credentials.providers import EnvAWSProvider, Provider, StaticProvider
from pydantic import ConfigDict, Field, SecretStr, model_validator
from urllib3 import PoolManager, Retry, Timeout

from blocks.checked_credentials import CheckedCredentials
from blocks.errors import UnusableCredentials

SCHEMES: Final = {"s3": True, "https": True, "http": False}
CONNECTIONS: Final = 16
# Only what may be asked twice: a deletion whose answer was lost is looked into by whoever sent it.
RETRIES: Final = Retry(
    total=6,
    backoff_factor=0.5,
    backoff_max=10,
    status_forcelist=[429, 500, 502, 503, 504],
    allowed_methods=["GET", "HEAD", "PUT"],
    raise_on_status=False,
)


def parts_of(url: str) -> dict[str, Any]:
    """Take a URL apart into a block's fields; raises ValueError where it has another form."""
    parts = urlsplit(url)
    login, at, endpoint = parts.netloc.rpartition("@")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    _ = parts.port  # raises where it is none
    if parts.scheme not in SCHEMES or parts.fragment or query.keys() - {"region"} or "@" in parts.query:
        message = "another kind of URL"
        raise ValueError(message)
    fields: dict[str, Any] = {"endpoint": endpoint, "bucket": parts.path.strip("/"), "tls": SCHEMES[parts.scheme]}
    if at:
        fields["access_key"], fields["secret_key"] = map(unquote, login.split(":"))
    return fields | query


# Prefect 3.8 takes a reference to a block in a deployment only where the class has another title than its name.
class ObjectStoreCredentials(CheckedCredentials, title="Object Store Credentials"):
    """How to reach a bucket of an S3 object store: AWS, MinIO, Ceph, SeaweedFS and the like.

    Attributes:
        endpoint: The server's name or address, with its port if that is not the usual one.
        bucket: The bucket.
        access_key: The access key; without one, both keys are read from the environment.
        secret_key: The secret key.
        region: The server's region.
        tls: Whether to speak TLS.

    Example:
        Load a stored object store credentials block:
        ```python
        from blocks.object_store_credentials import ObjectStoreCredentials

        client = ObjectStoreCredentials.load("BLOCK_NAME").get_client()
        ```
    """

    _block_type_name = "Object Store Credentials"
    _block_type_slug = "object-store-credentials"
    _description = "How to reach a bucket of an S3 object store: AWS, MinIO, Ceph, SeaweedFS and the like."
    _documentation_url = "https://min.io/docs/minio/linux/developers/python/API.html"  # type: ignore[assignment]  # as Prefect's own blocks do

    model_config = ConfigDict(hide_input_in_errors=True)

    needs: ClassVar[tuple[str, ...]] = ("bucket",)
    takes: ClassVar[str] = (
        "s3://[KEY:SECRET@]HOST[:PORT]/BUCKET[?region=REGION], https:// likewise, http:// without TLS"
    )

    endpoint: str = Field(
        default="s3.amazonaws.com",
        pattern=r"^([^\s/:@?#]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$",
        description="The server's name or address, with its port if that is not the usual one, such as minio:9000.",
    )
    bucket: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]+$", description="The bucket.")
    access_key: str | None = Field(
        default=None,
        min_length=1,
        description="The access key. Where it is left empty, both keys are read from AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY.",
    )
    secret_key: SecretStr | None = Field(default=None, min_length=1, description="The secret key.")
    region: str = Field(
        default="us-east-1", min_length=1, description="The server's region; most servers but AWS have only one."
    )
    tls: bool = Field(default=True, title="TLS", description="Whether to speak TLS.")

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            message = "an access key and a secret key go together"
            raise ValueError(message)
        return self

    @classmethod
    def from_argument(cls, url: str) -> Self:
        """Make the block from what a command was given, a URL; / ? # @ % in a key are percent-encoded there.

        Raises ValueError where it is no such URL.
        """
        try:
            return cls(**parts_of(url))
        except ValueError:  # it may hold what should not be shown
            form = f"it has the form {cls.takes} (with / ? # @ % in a key percent-encoded)"
            message = f"not an object store's URL; {form}"
            raise ValueError(message) from None

    @property
    def location(self) -> str:
        """Name the server and bucket, without secrets."""
        return f"{'https' if self.tls else 'http'}://{self.endpoint}/{self.bucket}"

    def get_client(self, **options: Any) -> Minio:
        """Make a client, with further options for its pool of connections; it asks again what may be asked again.

        Raises UnusableCredentials where the bucket or the keys are missing; nothing else until the first request.
        """
        self.check_complete()
        pool: dict[str, Any] = {
            "timeout": Timeout(connect=10, read=120),
            "maxsize": CONNECTIONS,
            "retries": RETRIES,
            "ca_certs": os.environ.get("SSL_CERT_FILE") or certifi.where(),
        }
        return Minio(
            self.endpoint,
            credentials=self._keys(),
            secure=self.tls,
            region=self.region,
            http_client=PoolManager(**(pool | options)),
        )

    def _keys(self) -> Provider:
        if self.access_key and self.secret_key:
            return StaticProvider(self.access_key, self.secret_key.get_secret_value())
        if "AWS_ACCESS_KEY_ID" in os.environ and "AWS_SECRET_ACCESS_KEY" in os.environ:
            return EnvAWSProvider()
        message = (
            f"There are no keys for {self.location}: give them, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
        raise UnusableCredentials(message)

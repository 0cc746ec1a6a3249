"""How to reach a bucket of an S3 object store."""

from __future__ import annotations

import os
import re
from typing import Any, ClassVar, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import certifi
from minio import Minio
from minio.credentials.providers import Provider, StaticProvider
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator
from urllib3 import PoolManager, Timeout

from blocks.checked_credentials import CheckedCredentials
from blocks.object_store_keys import provider_from_environment
from blocks.object_store_retries import RETRIES

SCHEMES: Final = {"s3": True, "https": True, "http": False}
CONNECTIONS: Final = 16
ENDPOINT: Final = r"^([^\s/:@?#]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$"


def check_endpoint(endpoint: object, switch: str) -> object:
    """Return an endpoint as it is; raise ValueError where it is none, such as a URL, whose scheme `switch` says."""
    scheme, of_url, rest = str(endpoint).partition("://")
    if of_url:
        tls = scheme.lower() in ("https", "s3")
        message = (
            f"write it without {scheme}://, as {rest.strip('/')!r}; use {switch} = {str(tls).lower()} for {scheme}"
        )
        raise ValueError(message)
    if not re.fullmatch(ENDPOINT, str(endpoint)):
        message = "not a server's name or address with its port, such as minio:9000"
        raise ValueError(message)
    return endpoint


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
        access_key: The access key; without one, keys are taken from the environment.
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
        pattern=ENDPOINT,
        description="The server's name or address, with its port if that is not the usual one, such as minio:9000.",
    )
    bucket: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]+$", description="The bucket.")
    access_key: str | None = Field(
        default=None,
        min_length=1,
        description="The access key. Where it is left empty, keys are taken from the environment, as of AWS.",
    )
    secret_key: SecretStr | None = Field(default=None, min_length=1, description="The secret key.")
    region: str = Field(
        default="us-east-1", min_length=1, description="The server's region; most servers but AWS have only one."
    )
    tls: bool = Field(default=True, title="TLS", description="Whether to speak TLS.")

    @field_validator("endpoint", mode="before")
    @classmethod
    def _check_endpoint(cls, endpoint: object) -> object:
        return check_endpoint(endpoint, "tls")

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
        return provider_from_environment(self.location, self.region)

"""Keys to an object store that the environment has, as AWS's own tools take them."""

from __future__ import annotations

import os
import re
from typing import Final

from minio.credentials.credentials import Credentials
from minio.credentials.providers import EnvAWSProvider, IamAwsProvider, Provider
from urllib3 import PoolManager, Retry, Timeout

from blocks.errors import UnusableCredentials

KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
WEB_IDENTITY: Final = "AWS_WEB_IDENTITY_TOKEN_FILE"
CONTAINER: Final = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
INSTANCE: Final = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
STS: Final = "AWS_ENDPOINT_URL_STS"
PATIENCE: Final = 5.0


class NamedProvider(Provider):
    """A provider that says where it takes its keys from when it has none."""

    def __init__(self, inner: Provider, location: str, source: str) -> None:
        self._inner, self._location, self._source = inner, location, source

    def retrieve(self) -> Credentials:
        """Return the keys, or raise UnusableCredentials."""
        try:
            return self._inner.retrieve()
        except Exception as error:  # noqa: BLE001  # the SDK's raises whatever happens to it
            said = re.sub(r"\?\S+", "", str(error))  # a token is a part of the address that was asked
            message = f"There are no keys for {self._location}: {self._source} gives none: {said}"
            raise UnusableCredentials(message) from None


def provider_from_environment(location: str, region: str) -> Provider:
    """Return where keys come from: the environment, a web identity, a container's role, or an instance's, by name.

    Raises:
        UnusableCredentials: the environment names none of them.
    """
    if all(name in os.environ for name in KEYS):
        return EnvAWSProvider()
    source = next((name for name in (WEB_IDENTITY, *CONTAINER, INSTANCE) if os.environ.get(name)), None)
    if source is None:
        message = (
            f"There are no keys for {location}: give them, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and "
            f"AWS_SESSION_TOKEN), or {WEB_IDENTITY}, or {' or '.join(CONTAINER)}; on EC2 set {INSTANCE} to "
            "http://169.254.169.254 for the keys of the instance. A profile's file is not read."
        )
        raise UnusableCredentials(message)
    address = {WEB_IDENTITY: STS, INSTANCE: INSTANCE}.get(source, "")
    pool = PoolManager(timeout=Timeout(PATIENCE), retries=Retry(2, backoff_factor=0.2))
    inner = IamAwsProvider(custom_endpoint=os.environ.get(address) or None, http_client=pool, region=region)
    return NamedProvider(inner, location, source)

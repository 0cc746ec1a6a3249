"""Which requests to an object store are sent again by themselves, and which failures no further try can mend."""

from __future__ import annotations

import ssl
from http.client import BadStatusLine
from typing import Any, Final, Self

from urllib3 import BaseHTTPResponse, Retry
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import MaxRetryError

TLS_TO_PLAIN: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
TLS_ALERT: Final = "\x15\x03"
NO_TLS_THERE: Final = (
    "the server speaks no TLS. Say secure = false in the file, no TLS in the block, or http:// in the URL."
)
TLS_THERE: Final = "the server speaks TLS. Say secure = true in the file, TLS in the block, or https:// in the URL."


def misconfigured(error: BaseException | None) -> str | None:
    """Return what is wrong with the settings where they, and not the network, broke a connection; else None."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted: {cause.verify_message}. Where it is of a CA of your own, set "
                "SSL_CERT_FILE to the file with that CA's certificate."
            )
        if isinstance(cause, ssl.SSLError) and any(name in str(cause) for name in TLS_TO_PLAIN):
            return NO_TLS_THERE
        if isinstance(cause, BadStatusLine) and TLS_ALERT in str(cause):
            return TLS_THERE
    return None


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return an exception with those that it was made of."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and not any(one is other for other in found):
            found.append(one)
            waiting += [one.__cause__, getattr(one, "reason", None), *one.args]
    return found


DELETIONS: Final = ("POST", "DELETE")


class Retries(Retry):
    """Tries again what may pass; what is wrong with the settings is raised at once."""

    def increment(  # as urllib3's
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: Any = None,
    ) -> Self:
        """Return what is left of the tries, or raise the error.

        A deletion is not even tried again where it was never sent: what was seen before it may not hold any more.
        """
        if _pool is not None and error and (method in DELETIONS or misconfigured(error)):
            raise MaxRetryError(_pool, url or "", error) from error
        return super().increment(method, url, response, error, _pool, _stacktrace)


# Only what may be asked twice: a deletion whose answer was lost is looked into by whoever sent it.
RETRIES: Final = Retries(
    total=6,
    backoff_factor=0.5,
    backoff_max=10,
    status_forcelist=[429, 500, 502, 503, 504],
    allowed_methods=["GET", "HEAD", "PUT"],
    raise_on_status=False,
)

"""What an S3 server's errors mean for the operator."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final
from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import HTTPError

from blocks.errors import UnusableCredentials
from blocks.object_store_retries import TLS_THERE, misconfigured
from tasks.changes.errors import StewardError, StoreDenied, StoreUnavailable
from tasks.changes.protocols import Outcome
from tasks.stores.border import border

BUSY: Final = {
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "TooManyRequests",
}
BUSY_STATUS: Final = {429, 500, 502, 503, 504}
DENIED: Final = {"AccessDenied", "AllAccessDisabled", "Forbidden", "Unauthorized", "UnauthorizedAccess"}
DENIED_STATUS: Final = {401, 403}
NOT_OFFERED: Final = {"MethodNotAllowed", "NotImplemented", "UnsupportedOperation"}
NOT_OFFERED_STATUS: Final = {405, 501}
OUTCOMES: Final = {
    "NoSuchKey": Outcome.ALREADY,
    "NoSuchVersion": Outcome.ALREADY,
    "PreconditionFailed": Outcome.CONFLICT,
    "ConditionalRequestConflict": Outcome.CONFLICT,
}
ADVICE: Final = {
    "AuthorizationHeaderMalformed": "it may lie in another region: give its region in the URL, block or file.",
    "ExpiredToken": "the keys have expired. Renew them.",
    "InvalidAccessKeyId": "it does not know the access key. Correct the URL, block or file.",
    "InvalidToken": "the session token is wrong or has expired. Renew the keys.",
    "NoSuchBucket": "there is no such bucket. Correct the URL, block or file.",
    "PermanentRedirect": "it lies in another region: give its region in the URL, block or file.",
    "RequestTimeTooSkewed": "the clock of this host is wrong. Set it.",
    "SignatureDoesNotMatch": "the secret key is wrong. Correct the URL, block or file.",
}
"""Errors of the whole connection: whatever is asked next, the answer is the same."""


class NotOffered(StoreDenied):
    """The server does not offer this kind of request."""


class Refused(StoreDenied):
    """The keys may not do this."""


def is_busy(code: str | None, status: int = 0) -> bool:
    """Whether the server could not answer just now."""
    return code in BUSY or status in BUSY_STATUS


def is_denied(code: str | None, status: int = 0) -> bool:
    """Whether the keys may not do what was asked."""
    return code in DENIED or (status in DENIED_STATUS and code not in ADVICE)


def is_not_offered(code: str | None, status: int = 0) -> bool:
    """Whether the server has no such request, or no such condition of it."""
    return code in NOT_OFFERED or status in NOT_OFFERED_STATUS


def said(location: str, code: str | None, message: str | None, status: int = 0, right: str = "") -> StewardError:
    """Return the error for an S3 error code, the HTTP status that it came with, and the right that was needed."""
    text = f"{code}: {(message or '').rstrip('.')}"
    if is_busy(code, status):
        return StoreUnavailable(f"{location} is busy: {text}. Run the command again.")
    if is_denied(code, status):
        return Refused(f"{location} refuses, {text}: {lacking(right)}")
    if is_not_offered(code, status):
        return NotOffered(f"{location} refuses, {text}: it does not offer this kind of request.")
    advice = ADVICE.get(code or "", "the request is not what it takes.")
    return StoreDenied(f"{location} refuses, {text}: {advice}")


def lacking(right: str) -> str:
    """Return what to do where a right is missing."""
    return f"its keys lack the right {right} there, or are wrong. Grant it, or correct the URL, block or file."


def failures(location: str, right: str = "") -> AbstractContextManager[None]:
    """Turn whatever the client raises into an error for the operator; `right` is what the request needs."""
    return border(location, lambda error: _meaning(location, error, right))


def _meaning(location: str, error: Exception, right: str) -> StewardError | None:
    if isinstance(error, S3Error):
        return said(location, error.code, error.message, error.response.status, right)
    if isinstance(error, UnusableCredentials):
        return StoreDenied(str(error))
    if isinstance(error, InvalidResponseError):
        return _not_s3(location, error, right)
    if isinstance(error, ParseError):
        return StoreUnavailable(f"{location} does not answer as S3 does: {error}. Run the command again.")
    if isinstance(error, HTTPError) and (wrong := misconfigured(error)):
        return StoreDenied(f"{location}: {wrong}")
    if isinstance(error, HTTPError | ServerError):
        return StoreUnavailable(f"{location} does not answer: {_reason(error)}. Run the command again.")
    return None


def _not_s3(location: str, error: InvalidResponseError, right: str) -> StewardError:
    status: int = getattr(error, "_code", 0)  # the SDK has no other way to tell
    if "HTTPS" in str(error):  # as Go's and nginx's servers answer to plain HTTP
        return StoreDenied(f"{location}: {TLS_THERE}")
    if is_busy(None, status) or is_denied(None, status) or is_not_offered(None, status):
        return said(location, f"status {status}", "no reason given", status, right)
    return StoreDenied(
        f"{location} does not answer as S3 does, status {status}. Is it an S3 endpoint, and of that region?"
    )


def _reason(error: Exception) -> str:
    """Return the last reason that urllib3 names, without its own objects."""
    text = str(getattr(error, "reason", None) or error)
    return (text.partition("): ")[2] or text).rstrip(".")

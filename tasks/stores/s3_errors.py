"""What an S3 server's errors mean for the operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import HTTPError

from tasks.changes.errors import StewardError, StoreDenied, StoreUnavailable
from tasks.changes.protocols import Outcome, Problem

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
OUTCOMES: Final = {
    "NoSuchKey": Outcome.ALREADY,
    "NoSuchVersion": Outcome.ALREADY,
    "PreconditionFailed": Outcome.CONFLICT,
    "ConditionalRequestConflict": Outcome.CONFLICT,
}
ADVICE: Final = {
    "AccessDenied": "the keys are wrong, or may not do that: allow listing the bucket, and deleting from it.",
    "AuthorizationHeaderMalformed": "it may lie in another region: give its region in the URL, block or file.",
    "ExpiredToken": "the keys have expired. Renew them.",
    "InvalidAccessKeyId": "it does not know the access key. Correct the URL, block or file.",
    "NoSuchBucket": "there is no such bucket. Correct the URL, block or file.",
    "PermanentRedirect": "it lies in another region: give its region in the URL, block or file.",
    "RequestTimeTooSkewed": "the clock of this host is wrong. Set it.",
    "SignatureDoesNotMatch": "the secret key is wrong. Correct the URL, block or file.",
}


def said(location: str, code: str | None, message: str | None, status: int = 0) -> StewardError:
    """Give the exception for an S3 error code, and the HTTP status that it came with."""
    text = f"{code}: {(message or '').rstrip('.')}"
    if code in BUSY or status in BUSY_STATUS:
        return StoreUnavailable(f"{location} is busy: {text}. What was done so far stands; run the command again.")
    advice = ADVICE.get(code or "", "the request is not what it takes.")
    return StoreDenied(f"{location} refuses, {text}: {advice} What was done so far stands.")


def result_of(location: str, code: str | None, message: str | None, status: int = 0) -> Outcome | Problem:
    """Tell what became of one object from what the server says of it; raise where that is said of them all."""
    if code in OUTCOMES:
        return OUTCOMES[code]
    if code in BUSY or status in BUSY_STATUS or (code in ADVICE and code != "AccessDenied"):
        raise said(location, code, message, status)
    return Problem(f"{code}: {message}")


@contextmanager
def failures(location: str) -> Iterator[None]:
    """Say what an error means for the operator."""
    try:
        yield
    except S3Error as error:
        raise said(location, error.code, error.message, error.response.status) from error
    except InvalidResponseError as error:
        status = getattr(error, "_code", 0)  # the SDK has no other way to tell
        if status >= 500:
            raise said(location, f"status {status}", "no reason given", status) from error
        message = f"{location} does not answer as S3 does, status {status}. Is it an S3 endpoint, and of that region?"
        raise StoreDenied(message) from error
    except ParseError as error:
        message = f"{location} does not answer as S3 does: {error}. What was done so far stands; run the command again."
        raise StoreUnavailable(message) from error
    except (HTTPError, ServerError) as error:
        message = f"{location} does not answer: {_reason(error)}. What was done so far stands; run the command again."
        raise StoreUnavailable(message) from error


def _reason(error: Exception) -> str:
    """Give the last reason that urllib3 names, without its own objects."""
    said = str(getattr(error, "reason", None) or error)
    return (said.partition("): ")[2] or said).rstrip(".")

"""The Prefect server that is set, and what its failures mean: one sentence each, with what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tasks.changes.errors import BadInput, StewardError

NO_API: Final = (404, 405, 501)
"""The answers of another server, or of another path of this one."""
NOT_LET_IN: Final = (401, 403)
ADDRESS_HINT: Final = "correct PREFECT_API_URL, which ends in /api"
LOGIN_HINT: Final = "check PREFECT_API_AUTH_STRING or PREFECT_API_KEY, and the path, which ends in /api"
KNOCK_SECONDS: Final = 30.0


class ServerFailed(StewardError):
    """The Prefect server to run on does not answer, or does not let us in."""


class BadServer(BadInput):
    """What Prefect's settings say of a server cannot be used."""


def api_url() -> str | None:
    """Return the address of the API that Prefect's settings name, if they do, without a login in it."""
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    return url.rstrip("/") if url else None


def refused(address: str, status: int) -> str:
    """Return what an answer of the API that is no success means, and what to do."""
    if status in NOT_LET_IN:
        return f"{address} answers but does not let us in (status {status}): {LOGIN_HINT}"
    if status in NO_API:
        return f"{address} answers with status {status}, as no Prefect server does: {ADDRESS_HINT}"
    return f"The Prefect server at {address} failed (status {status}): read its log, then try again"


def meaning(error: BaseException) -> StewardError | None:
    """Return a failure of Prefect's API, or of its settings, as our error; None for any other exception."""
    import httpx
    from prefect.exceptions import PrefectHTTPStatusError

    from flows.masking import without_secrets

    address = without_secrets(api_url() or "The Prefect server")
    if isinstance(error, httpx.HTTPStatusError | PrefectHTTPStatusError):
        return ServerFailed(f"{refused(address, error.response.status_code)}.")
    if isinstance(error, httpx.TimeoutException):
        return ServerFailed(f"{address} does not answer in time: see whether it is overloaded, or {ADDRESS_HINT}.")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return BadServer(f"PREFECT_API_URL is no URL such as http://127.0.0.1:4200/api: {str(error).rstrip('.')}.")
    if isinstance(error, httpx.TransportError):
        hint = "Start it, or unset PREFECT_API_URL to run on a private server"
        return ServerFailed(f"Failed to reach API at {address} ({error or type(error).__name__}). {hint}.")
    if isinstance(error, RuntimeError) and str(error).startswith("Failed to reach API") and error.__cause__:
        return meaning(error.__cause__) or ServerFailed(f"{error}: is it a Prefect server? If not, {ADDRESS_HINT}.")
    if isinstance(error, RuntimeError) and "incompatible versions" in str(error):
        return ServerFailed(f"{address}: {error}")
    return None


def wrong_settings(error: BaseException) -> BadServer | None:
    """Return what is wrong with Prefect's settings, where its import failed because of them."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError) and error.title.endswith("Settings"):
        first = error.errors(include_input=False)[0]
        name = "_".join(["PREFECT", *_section(error.title), *map(str, first["loc"])]).upper()
        return BadServer(f"A setting of Prefect cannot be used, {name}: {first['msg']}.")
    if any(module.startswith("prefect.settings") for module in _modules_on_the_way(error)):
        return BadServer(f"Prefect's settings cannot be read (profiles.toml, prefect.toml or .env): {error}.")
    return None


def _modules_on_the_way(error: BaseException) -> Iterator[str]:
    traceback = error.__traceback__
    while traceback:
        yield str(traceback.tb_frame.f_globals.get("__name__"))
        traceback = traceback.tb_next


def _section(title: str) -> list[str]:
    """Return the section that a model of settings is about: SERVER and API of `ServerAPISettings`."""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", title.removesuffix("Settings"))


@contextmanager
def server_that_is_set() -> Iterator[None]:
    """Have flows run on the server that is set.

    Raises ServerFailed where it does not answer, or does not let us in.
    """
    knock()
    yield


def knock() -> None:
    """Ask the server that is set for its version and for something that only who may use it gets.

    Raises ServerFailed, BadServer.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    settings: dict[str, Any] = {"timeout": httpx.Timeout(KNOCK_SECONDS)}
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}),
            get_client(httpx_settings=settings, sync_client=True) as client,
        ):
            client.api_version()
            client.read_work_pools(limit=1)
    except (ValueError, TypeError) as error:  # it answers, but not what an API says
        address = api_url()
        message = f"{address} answers, but is no Prefect server's API: {ADDRESS_HINT}."
        raise ServerFailed(message) from error
    except Exception as error:
        raise meaning(error) or error from error

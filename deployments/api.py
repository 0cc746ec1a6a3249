"""Waiting until the Prefect server answers, and lets us in."""

import time
from urllib.parse import urlsplit

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

from deployments.errors import ApiUnreachable, ApiUrlMissing, SecretInUrl
from deployments.leaks import has_password
from flows.prefect_api import LOGIN_HINT, NO_API, NOT_LET_IN, refused

WAIT = 60.0  # seconds; a server with a new database takes about 20
PAUSE = 0.5  # seconds between two tries


def api_url() -> str:
    """Return the API's address, from PREFECT_API_URL or the active Prefect profile.

    Raises:
        ApiUrlMissing: neither names one.
        SecretInUrl: it, or the address of the UI, has a password in it.
    """
    url: str | None = PREFECT_API_URL.value()
    if not url:
        raise ApiUrlMissing(
            "PREFECT_API_URL is not set, so there is no server to deploy to: start one with `prefect server start` "
            "and set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    if not url.startswith(("http://", "https://")):
        raise ApiUrlMissing("PREFECT_API_URL begins with http:// or https://, such as http://127.0.0.1:4200/api")
    _check_no_password("PREFECT_API_URL", url, "set PREFECT_API_AUTH_STRING='user:password' instead")
    _check_no_password("PREFECT_UI_URL", PREFECT_UI_URL.value(), "alerts would show it in their link")
    return url


def ui_url() -> str:
    """Return the UI's address, as links begin with it: without a slash at its end."""
    return str(PREFECT_UI_URL.value()).rstrip("/")


def _check_no_password(variable: str, url: str | None, advice: str) -> None:
    if (url and "@" in urlsplit(url).netloc) or has_password(url or ""):
        raise SecretInUrl(f"{variable} has a password in it: {advice}")


def wait_for_api(client: SyncPrefectClient, wait: float = WAIT) -> None:
    """Return once the API is healthy and accepts our credentials; raise ApiUnreachable after `wait` seconds."""
    address = str(client.api_url).rstrip("/")
    deadline = time.monotonic() + wait
    while (problem := client.api_healthcheck()) is not None:
        if isinstance(problem, httpx.HTTPStatusError) and problem.response.status_code in NO_API + NOT_LET_IN:
            raise ApiUnreachable(refused(address, problem.response.status_code))
        if time.monotonic() > deadline:
            raise ApiUnreachable(
                f"{address} did not answer within {wait:.0f} s ({type(problem).__name__}: {problem}): "
                "start the server, or correct PREFECT_API_URL"
            ) from problem
        time.sleep(PAUSE)
    _knock(client, address)


def _knock(client: SyncPrefectClient, address: str) -> None:
    try:
        client.read_work_pools(limit=1)
    except (PrefectHTTPStatusError, httpx.HTTPError) as error:
        said = str(error).partition("\n")[0]
        raise ApiUnreachable(f"{address} answers but does not let us in ({said}): {LOGIN_HINT}") from error

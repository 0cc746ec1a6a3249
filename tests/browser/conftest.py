"""A Prefect server with its pages and everything deployed, on PostgreSQL as in production, and Debian's Chromium."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from sandbox.prefect_server import PrefectServer, prefect_server
from tests.browser.pages import Ui
from tests.deployments.conftest import (  # noqa: F401  # fixtures
    FAST,
    Deployed,
    deployed,
    mail,
    until,
    variables,
    webhook,
    worker,
)
from tests.tasks.datajoint.conftest import engine_of

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # there is no internet
)
TRACKER = "sr-client-cfg.amplitude.com"  # the new pages ask it for settings, also where analytics are off
WIDTH, HEIGHT = 1280, 1300
MILLISECONDS = 60_000  # to wait for something on a page, on a loaded machine


@pytest.fixture(autouse=True, scope="session")  # so that nothing else is started where there is none
def chromium(pytestconfig: pytest.Config) -> str:
    """Where Chromium is on this machine."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        problem = "No Chromium is installed: sudo apt-get install -y chromium fonts-dejavu-core"
        if pytestconfig.getoption("--require-services"):
            pytest.fail(problem)
        pytest.skip(problem)
    return path


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[PrefectServer]:
    # On SQLite a busy server answers 503, which its pages do not ask again.
    name = f"prefect_{uuid4().hex}"
    server = engine_of(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    address = f"{postgres_url.rpartition('/')[0]}/{name}".replace("postgresql:", "postgresql+asyncpg:")
    settings = {**FAST, "PREFECT_SERVER_DATABASE_CONNECTION_URL": address}
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        with prefect_server(tmp_path_factory.mktemp("prefect"), ui=True, settings=settings) as started:
            yield started
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture(scope="module")  # and no longer: while it is there, an event loop runs in this thread
def browser(chromium: str, network: None) -> Iterator[BrowserContext]:  # noqa: ARG001
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        context = launched.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        context.set_default_timeout(MILLISECONDS)
        expect.set_options(timeout=MILLISECONDS)
        yield context
        launched.close()


@pytest.fixture
def page(browser: BrowserContext, tmp_path: Path) -> Iterator[Page]:
    """A page that asks only our own server for anything; its last look is kept, for who wonders why a test failed."""
    hosts: set[str] = set()
    opened = browser.new_page()
    opened.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or "127.0.0.1"))
    yield opened
    opened.screenshot(path=tmp_path / "last.png", full_page=True)
    opened.close()
    assert hosts <= {"127.0.0.1", TRACKER}


@dataclass(frozen=True)
class Api:
    """The Prefect server's answers."""

    url: str

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}/{path}", timeout=30).raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        return httpx.post(f"{self.url}/{path}", json=body, timeout=30).raise_for_status().json()

    def delete(self, path: str) -> None:
        httpx.delete(f"{self.url}/{path}", timeout=30).raise_for_status()


@pytest.fixture
def api(deployed: Deployed) -> Api:  # noqa: F811
    return Api(deployed.server.api_url)


Address = Callable[[Ui, str], str]


@pytest.fixture
def at(deployed: Deployed) -> Address:  # noqa: F811
    """The address of a page in one of the UIs."""
    return lambda ui, path: f"{deployed.server.url}{ui.root}{path}"

"""README's way from nothing to a plan on one's own Redis, as a new user goes it: a new home, and nothing installed."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.flows.conftest import download

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
FOREIGN = "#!/bin/sh\necho somebody else's\n"


@pytest.fixture
def own_redis(redis_url: str) -> Iterator[str]:
    """A database of the Redis that holds four downloads where Datashare keeps them; it is reached by its URL."""
    url = f"{redis_url.removesuffix('/0')}/7"
    client = Redis.from_url(url)
    client.hset("ds:task:manager", mapping={name: download(name, f"{name}.zip") for name in ("a", "b", "c", "gone")})
    yield url
    client.flushdb()


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """The folder of the archives; one is gone."""
    folder = tmp_path / "archives"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.zip").touch()
    return folder


@pytest.fixture
def new_user(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has installed nothing, but has another program of one of our names."""
    programs = tmp_path / "home" / "bin"
    programs.mkdir(parents=True)
    (programs / "hmap-cleaner").write_text(FOREIGN)
    (programs / "hmap-cleaner").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "LANG", "SSL_", "UV_"))}
    cache = {"PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))}
    return {
        **cache,
        **kept,
        "HOME": str(tmp_path / "home"),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "COLUMNS": "200",
    }


def commands_of(heading: str) -> list[str]:
    """Return the commands of a section, without what is said about them."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [line.partition(" # ")[0].removeprefix("$ ").strip() for line in section.splitlines() if line[:2] == "$ "]


def test_its_third_section_leads_to_a_plan_on_ones_own_redis(
    own_redis: str, archives: Path, new_user: dict[str, str]
) -> None:
    def typed(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", line], cwd=cwd, env=new_user, capture_output=True, text=True)

    install, plan, show = commands_of("On your own Redis")
    home = Path(new_user["HOME"])
    installed = typed(f"{install} PREFIX='{home}'", ROOT)
    assert installed.returncode == 0, installed.stderr
    assert f"{home}/bin/steward\n" in installed.stdout
    assert f"{home}/bin/hmap-cleaner is another program, and stays" in installed.stdout
    assert (home / "bin" / "hmap-cleaner").read_text() == FOREIGN
    assert "on your PATH" not in installed.stdout

    planned = typed(plan.replace("redis://redis:6379", own_redis).replace("/srv/archives", str(archives)), home)
    assert planned.stdout.startswith("Dry run: 1 of 4 records would change; nothing was changed.\n"), planned.stderr
    (name,) = set(re.findall(r"hmap-clean-\w+-\w+\.plan\.zst", planned.stdout))
    shown = typed(show.replace(show.split()[-1], name), home)
    assert "\n- gone  archive is gone  file:" in shown.stdout
    assert (home / ".local/share/steward/plans" / name).exists()
    assert len(Redis.from_url(own_redis).hkeys("ds:task:manager")) == 4


def test_it_is_the_third_section() -> None:
    assert re.findall("^#+ (.*)$", README, re.MULTILINE)[2] == "On your own Redis"


@pytest.mark.parametrize("page", [ROOT / "README.md", *(ROOT / "docs").glob("*.md")], ids=lambda page: page.name)
def test_nothing_is_installed_by_a_name_that_is_somebody_elses(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"(?:pip|pipx|uv|uvx|install|add|run)\s+(?:-\S+\s+)*['\"]?steward\b", text)

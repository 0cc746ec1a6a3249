"""The pool of containers beside the pool of processes, and the one line by which a job changes over."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from deployments import block_documents, lint
from deployments.prefect_yaml import read
from deployments.work_pools import POOLS, usable

ROOT = Path(__file__).parents[2]
TYPES = block_documents.block_types()
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
JOB = "    entrypoint: flows/hmap_clean.py:hmap_clean\n"
WITHOUT_PREFECT_DOCKER = """
import sys
sys.modules["prefect_docker"] = None
sys.argv = ["deployments"]
from deployments import lint, work_pools
from deployments.__main__ import main
print([pool.name for pool in work_pools.usable()])
sys.exit(main())
"""


def change_over(folder: Path) -> None:
    """Write our prefect.yaml into a folder, with one line more: hmap-clean in containers."""
    text = (ROOT / "prefect.yaml").read_text()
    assert text.count(JOB) == 1
    (folder / "prefect.yaml").write_text(text.replace(JOB, f"{JOB}    work_pool: *in-a-container\n"))
    (folder / "flows").symlink_to(ROOT / "flows")


def deploy_without_prefect_docker(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WITHOUT_PREFECT_DOCKER]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_one_line_changes_a_job_over(tmp_path: Path) -> None:
    change_over(tmp_path)
    lint.check(tmp_path, TYPES, environ={})
    pools = {(d.entrypoint, d.name): d.work_pool for d in read(tmp_path).deployments}
    moved = [where for where, pool in pools.items() if pool.name == "steward-docker"]
    assert moved == [("flows/hmap_clean.py:hmap_clean", name) for name in ("nightly", "on-demand")]
    assert pools[moved[0]].job_variables["image"] == "{{ $STEWARD_IMAGE }}"
    assert {pool.name for where, pool in pools.items() if where not in moved} == {"steward"}


def test_what_a_container_gets_by_itself() -> None:
    assert [pool.name for pool in usable()] == ["steward", "steward-docker"]
    variables = POOLS[1].template["variables"]["properties"]
    assert variables["image_pull_policy"]["default"] == "IfNotPresent"
    assert variables["env"]["default"] == {"PREFECT_HOME": "/var/lib/prefect"}
    assert variables["mem_limit"]["default"] == variables["memswap_limit"]["default"] == "1g"


def test_the_image_has_one_name_and_a_tag_that_is_never_moved() -> None:
    image = f"steward:{VERSION}"
    compose = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
    assert compose["services"]["worker"]["image"] == f"${{STEWARD_IMAGE:-{image}}}"
    assert read(ROOT).definitions.environment["STEWARD_IMAGE"] == image
    assert POOLS[1].template["variables"]["properties"]["image"]["default"] == image


@pytest.mark.parametrize("wanted", [False, True], ids=["not wanted", "wanted"])
def test_without_prefect_docker_only_who_wants_containers_is_told(tmp_path: Path, wanted: bool) -> None:
    if wanted:
        change_over(tmp_path)
    done = deploy_without_prefect_docker(tmp_path if wanted else ROOT)
    assert done.returncode == 2, done.stderr
    assert "['steward']" in done.stdout.splitlines()
    assert ("pip install prefect-docker" in done.stderr) is wanted
    assert wanted or "PREFECT_API_URL is not set" in done.stderr  # all the rest was in order

"""A run that is cancelled in the middle of its changes stops; its page names the plan, with which it is taken back."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

from blocks.redis_credentials import RedisCredentials
from sandbox import ChaosProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prefect.client.orchestration import SyncPrefectClient

    from tests.deployments.conftest import Deployed

    Until = Callable[..., None]

GONE = 20_000
SLOW = 0.02  # seconds for each 64 KiB


@dataclass
class Slow:
    """A block of Redis behind a slow line, and its URL."""

    block: UUID
    url: str
    line: ChaosProxy


@pytest.fixture
def slow(deployed: Deployed) -> Iterator[Slow]:
    """A block of the same Redis behind a slow line, so that there is a middle to cancel in."""
    at = urlsplit(deployed.datashare.url)
    with ChaosProxy(at.hostname or "", at.port or 0) as proxy:
        proxy.latency = SLOW
        url = deployed.datashare.url.replace(f":{at.port}/", f":{proxy.port}/")
        saved = RedisCredentials.from_argument(url).save("slow", overwrite=True)
        assert isinstance(saved, UUID)
        yield Slow(saved, url, proxy)
        RedisCredentials.delete("slow")


def summary_of(client: SyncPrefectClient, run: UUID) -> str:
    """What the run's page shows."""
    own = ArtifactFilter(
        key=ArtifactFilterKey(any_=["hmap-clean-summary"]), flow_run_id=ArtifactFilterFlowRunId(any_=[run])
    )
    (artifact,) = client.read_artifacts(artifact_filter=own)
    return str(artifact.data)


@pytest.mark.usefixtures("worker")
def test_a_cancelled_run_stops_at_a_batch_and_its_page_says_how_to_undo(
    client: SyncPrefectClient, deployed: Deployed, slow: Slow, until: Until
) -> None:
    datashare = deployed.datashare
    datashare.gone(GONE)
    before = datashare.everything()
    deployment = client.read_deployment_by_name("hmap-clean/on-demand")
    own = {"redis": {"$ref": {"block_document_id": str(slow.block)}}, "dry_run": False, "max_fraction": 1.0}
    run = client.create_flow_run_from_deployment(deployment.id, parameters={**deployment.parameters, **own}).id
    until(lambda: datashare.redis.hlen(datashare.key) < len(before), 120)
    cancelled = deployed.run("prefect", "flow-run", "cancel", str(run))
    assert cancelled.returncode == 0, cancelled.stdout + cancelled.stderr
    until(lambda: client.read_flow_run(run).state_name == "Cancelled", 60)
    left = datashare.redis.hlen(datashare.key)
    assert len(before) - GONE < left < len(before)

    page = summary_of(client, run)
    (undo,) = (line for line in page.splitlines() if line.startswith("steward undo "))
    plan = undo.split()[2]
    assert f"`{plan}`" in page
    slow.line.latency = 0
    command = [Path(sys.executable).with_name("steward"), "undo", plan, slow.url]
    undone = subprocess.run(command, env=deployed.environment, capture_output=True, text=True)
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert f"{len(before) - left:,} of {GONE:,} changes taken back" in undone.stdout
    assert datashare.everything() == before
    datashare.redis.hdel(datashare.key, *(f"gone-{i}" for i in range(GONE)))

"""`prefect deploy` for what differs of prefect.yaml, and what an earlier one has left behind."""

import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowFilter, FlowFilterId
from prefect.exceptions import ObjectNotFound

from deployments.alerts import TAG
from deployments.block_documents import prefix_of
from deployments.errors import PrefectDeployFailed

PAGE = 200
COMMAND = (sys.executable, "-m", "prefect", "--no-prompt", "deploy")
# Prefect fills in an environment template of `pull` too if it can, and so would store this machine's folder.
ONLY_FOR_WORKERS = ("STEWARD_HOME",)


def deploy(root: Path, variables: Mapping[str, str], names: Collection[str]) -> None:
    """Put these deployments of prefect.yaml on the server; Prefect's output is shown where it fails.

    Raises:
        PrefectDeployFailed: the command ended with another status than 0.
    """
    environment = {name: value for name, value in variables.items() if name not in ONLY_FOR_WORKERS}
    command = [*COMMAND, *(word for name in names for word in ("--name", name))]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  # our own command
    if done.returncode:
        raise PrefectDeployFailed(
            f"`prefect deploy` ended with status {done.returncode}: correct what it says, and deploy again\n"
            f"{done.stdout}{done.stderr}"
        )


def missing_documents(client: SyncPrefectClient, wanted: Mapping[str, str]) -> Iterator[str]:
    """Warn of each block document that a deployment refers to and the server has not."""
    for slug, deployment in wanted.items():
        type_slug, _, name = slug.partition("/")
        try:
            client.read_block_document_by_name(name, type_slug)
        except ObjectNotFound:
            yield (
                f"warning: {deployment} refers to block {slug}, which does not exist: its runs fail until you set "
                f"{prefix_of(slug)}… and deploy again, or make it in the UI"
            )


def unused_documents(saved: Collection[str], wanted: Collection[str]) -> Iterator[str]:
    """Warn of each block document that is saved and that no deployment refers to: its name may be misspelt."""
    for slug in sorted(set(saved) - set(wanted)):
        yield f"warning: block {slug} is saved, and no deployment in prefect.yaml refers to it"


def left_over(client: SyncPrefectClient, wanted: Collection[str]) -> Iterator[str]:
    """Warn of each deployment with our tag on the server that prefect.yaml no longer has."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found = client.read_deployments(deployment_filter=ours, limit=PAGE)
    flows = client.read_flows(flow_filter=FlowFilter(id=FlowFilterId(any_=[d.flow_id for d in found]))) if found else []
    names = {flow.id: flow.name for flow in flows}
    for name in sorted({f"{names[d.flow_id]}/{d.name}" for d in found} - set(wanted)):
        yield f"warning: {name} is no longer in prefect.yaml and still runs: `prefect deployment delete {name}`"

"""What a deploy does, in order."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from prefect.client.orchestration import get_client

from deployments import (
    alerts,
    api,
    block_documents,
    channels,
    differences,
    first_runs,
    limits,
    lint,
    prefect_deploy,
    references,
    schedules,
    watches,
    work_pools,
)

NO_CHANNEL = "alerts: no STEWARD_ALERT_… variable is set, so none is sent by this deploy; earlier ones stay as they are"


def deploy(root: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """Do everything in order, and say each thing done; all input is checked before anything is changed.

    Raises:
        DeployError: the first thing that went wrong, with its exit status.
    """
    types = block_documents.block_types()
    project = lint.check(root, types, variables)
    documents = block_documents.documents_from(variables, types)
    places = channels.channels_from(variables)
    yield f"server {api.api_url()}"
    with get_client(sync_client=True) as client:
        api.wait_for_api(client)
        yield from (work_pools.upsert_work_pool(client, pool) for pool in work_pools.usable())
        yield from (block_documents.register_type(block) for block in types.values())
        yield from (block_documents.upsert_document(document) for document in documents)
        yield from (limits.upsert_limit(client, limit) for limit in limits.LIMITS)
        yield from prefect_deploy.missing_documents(client, project.documents)
        yield from prefect_deploy.unused_documents([document.slug for document in documents], project.documents)
        changed = differences.differences(client, project.wanted, project.environment)
        yield from (f"{name}: {difference}" for name, difference in changed.items())
        if changed:
            paused = schedules.paused(client, project.wanted, changed)
            prefect_deploy.deploy(root, project.environment, changed)
            yield from schedules.pause_again(client, paused)
        yield f"prefect.yaml: {len(changed)} of {len(project.wanted)} deployments deployed"
        yield from references.pin_references(client, changed)
        first_runs.announce(client, project.schedules, changed)
        ids = [channels.upsert_channel(place) for place in places]
        yield from (alerts.upsert_automation(client, automation) for automation in alerts.automations(ids))
        yield from watches.watch(client, project.schedules, ids, project.deployments)
        yield from prefect_deploy.left_over(client, project.deployments)
    if not places:
        yield NO_CHANNEL

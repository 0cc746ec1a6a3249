"""`make deploy`: bring a Prefect server to what this folder and prefect.yaml say, as often as you like."""

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from pydantic import ValidationError

from deployments import (
    alerts,
    api,
    block_documents,
    channels,
    differences,
    environment,
    first_runs,
    limits,
    lint,
    prefect_deploy,
    references,
    watches,
    work_pools,
)
from deployments.errors import DeployError

NO_CHANNEL = "alerts: no STEWARD_ALERT_… variable is set, so none is sent by this deploy; earlier ones stay as they are"


def deploy(root: Path) -> Iterator[str]:
    """Do everything in order, and say each thing done; all input is checked before anything is changed.

    Raises:
        DeployError: the first thing that went wrong, with its exit status.
    """
    types = block_documents.block_types()
    variables = environment.read_environment(root)
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
        changed = differences.differences(client, project.wanted, project.environment)
        yield from (f"{name}: {difference}" for name, difference in changed.items())
        if changed:
            prefect_deploy.deploy(root, project.environment, changed)
        yield f"prefect.yaml: {len(changed)} of {len(project.wanted)} deployments deployed, the others are as it says"
        yield from references.pin_references(client, changed)
        first_runs.announce(client, project.schedules, changed)
        ids = [channels.upsert_channel(place) for place in places]
        yield from (alerts.upsert_automation(client, automation) for automation in alerts.automations(ids))
        yield from watches.watch(client, project.schedules, ids)
        yield from prefect_deploy.left_over(client, project.deployments)
    if not places:
        yield NO_CHANNEL


def main() -> int:
    """Run the deploy; 0 done, 1 something failed on the way, 2 bad input and nothing changed."""
    try:
        for line in deploy(Path.cwd()):
            print(line, flush=True)
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except (httpx.HTTPError, PrefectException, ValidationError) as error:  # the last: it is no Prefect server
        said = str(error).partition("\n")[0]
        print(f"error: the Prefect server failed on the way ({said}): read its log, then deploy again", file=sys.stderr)
        return DeployError.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())

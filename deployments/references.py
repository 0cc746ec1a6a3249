"""Block references of deployments by id, as the UI writes them, so that its forms show which block is chosen."""

from collections.abc import Collection, Iterator
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.exceptions import ObjectNotFound


def pin_references(client: SyncPrefectClient, deployments: Collection[str]) -> Iterator[str]:
    """Turn each `block_document_slug` of prefect.yaml into this server's id, where the block exists."""
    for name in deployments:
        deployment = client.read_deployment_by_name(name)
        by_id = {key: pinned(client, value) for key, value in deployment.parameters.items()}
        if by_id != deployment.parameters:
            client.update_deployment(deployment.id, DeploymentUpdate(parameters=by_id))
            yield f"{name}: refers to its blocks by id"


def pinned(client: SyncPrefectClient, value: Any) -> Any:
    """Return a parameter with its references to blocks by id, as far as the blocks exist."""
    if isinstance(value, list):
        return [pinned(client, one) for one in value]
    slug = value.get("$ref", {}).get("block_document_slug") if isinstance(value, dict) else None
    if slug is None:
        return value
    block_type, _, document = slug.partition("/")
    try:
        found = client.read_block_document_by_name(document, block_type)
    except ObjectNotFound:
        return value
    return {"$ref": {"block_document_id": str(found.id)}}

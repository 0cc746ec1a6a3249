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
        pinned = {key: _pinned(client, value) for key, value in deployment.parameters.items()}
        if pinned != deployment.parameters:
            client.update_deployment(deployment.id, DeploymentUpdate(parameters=pinned))
            yield f"{name}: refers to its blocks by id"


def _pinned(client: SyncPrefectClient, value: Any) -> Any:
    if isinstance(value, list):
        return [_pinned(client, one) for one in value]
    slug = value.get("$ref", {}).get("block_document_slug") if isinstance(value, dict) else None
    if slug is None:
        return value
    block_type, _, document = slug.partition("/")
    try:
        found = client.read_block_document_by_name(document, block_type)
    except ObjectNotFound:
        return value
    return {"$ref": {"block_document_id": str(found.id)}}

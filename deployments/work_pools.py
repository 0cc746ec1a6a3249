"""The work pools that prefect.yaml may name."""

from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.base import BaseWorker

from deployments.errors import WorkPoolTypeDiffers


@dataclass(frozen=True)
class Pool:
    """A work pool: where runs wait for a worker of the same type."""

    name: str
    type: str
    description: str

    @property
    def template(self) -> dict[str, Any]:
        """The base job template that Prefect has for this type."""
        # Workers register with Prefect's dispatcher when imported, which this lookup does.
        return BaseWorker.get_worker_class_from_type(self.type).get_default_base_job_template()  # type: ignore[union-attr]


POOLS = (Pool("steward", "process", "Steward's jobs, each in a process of the worker's host."),)


def upsert_work_pool(client: SyncPrefectClient, pool: Pool) -> str:
    """Create the pool if it is missing; what an operator has tuned on an existing one stays.

    Raises:
        WorkPoolTypeDiffers: the server's pool of this name takes other workers.
    """
    try:
        existing = client.read_work_pool(pool.name)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=pool.name, type=pool.type, description=pool.description, base_job_template=pool.template
            )
        )
        return f"work pool {pool.name}: created"
    if existing.type != pool.type:
        raise WorkPoolTypeDiffers(
            f"work pool {pool.name} is of type {existing.type} on the server and {pool.type} in "
            f"deployments/work_pools.py: `prefect work-pool delete {pool.name}` and deploy again, or change the file"
        )
    return f"work pool {pool.name}: exists"

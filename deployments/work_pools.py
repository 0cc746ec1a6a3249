"""The work pools that prefect.yaml may name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.base import BaseWorker

from deployments.errors import WorkerTypeMissing, WorkPoolTypeDiffers

Worker = type[BaseWorker[Any, Any, Any]]


@dataclass(frozen=True)
class Pool:
    """A work pool: where runs wait for a worker of the same type."""

    name: str
    type: str
    description: str
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of job variables, where Prefect's own will not do

    @property
    def worker(self) -> Worker | None:
        """The class of its workers; None where the package that has it is not installed."""
        # Workers register with Prefect's dispatcher when imported, which this lookup does.
        return BaseWorker.get_worker_class_from_type(self.type)

    @property
    def template(self) -> dict[str, Any]:
        """The base job template that Prefect has for this type, with our defaults; raise WorkerTypeMissing."""
        if self.worker is None:
            raise WorkerTypeMissing(
                f"prefect.yaml sends runs to work pool {self.name}, and no package here knows its type {self.type}: "
                f"`pip install prefect-{self.type}`, or use another pool"
            )
        template = self.worker.get_default_base_job_template()
        for name, default in self.defaults.items():
            template["variables"]["properties"][name]["default"] = default
        return template


IN_A_CONTAINER = {
    # Never `latest`, which could be another Steward for each run; with any other tag nothing is pulled twice.
    "image": "steward:0.1.0",
    "image_pull_policy": "IfNotPresent",
    "networks": ["steward"],
    "mem_limit": "1g",
    "memswap_limit": "1g",  # with swap: none
    "auto_remove": True,
    "volumes": ["steward-plans:/var/lib/steward/plans", "steward-archives:/srv/datashare/archives:ro"],
    # The worker hands all of its own PREFECT_… variables on, and its home is no folder of the container's.
    "env": {"PREFECT_HOME": "/var/lib/prefect"},
    "container_create_kwargs": {
        "init": True,
        "read_only": True,
        "tmpfs": {"/tmp": ""},  # noqa: S108  # the container's
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 512,
    },
}

POOLS = (
    Pool("steward", "process", "Steward's jobs, each in a process of the worker's host."),
    Pool("steward-docker", "docker", "Steward's jobs, each in a container of its own.", IN_A_CONTAINER),
)


def usable() -> list[Pool]:
    """List the pools whose workers can be started from what is installed."""
    return [pool for pool in POOLS if pool.worker]


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

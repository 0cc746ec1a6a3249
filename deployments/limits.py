"""Global concurrency limits: what several runs share and must not overload."""

from dataclasses import dataclass

from prefect.client.orchestration import SyncPrefectClient


@dataclass(frozen=True)
class Limit:
    """At most `slots` holders at once; with a decay, at most `slot_decay_per_second` per second over time."""

    name: str
    slots: int
    slot_decay_per_second: float = 0.0


LIMITS: tuple[Limit, ...] = ()  # e.g. Limit("filerobot-api", 10, slot_decay_per_second=5)


def upsert_limit(client: SyncPrefectClient, limit: Limit) -> str:
    """Create the limit, or give the existing one these numbers."""
    client.upsert_global_concurrency_limit_by_name(limit.name, limit.slots, limit.slot_decay_per_second)
    return f"concurrency limit {limit.name}: {limit.slots}"

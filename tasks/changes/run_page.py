"""What the running flow's page shows: one summary, written anew as the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.runtime import flow_run

_shown: Final[dict[str, UUID]] = {}
"""The summary of each run of this process."""


def show_on_page(job: str, markdown: str) -> None:
    """Show a summary on the running flow's page, in the place of one that it has."""
    run = str(flow_run.id)
    if run in _shown:
        get_client(sync_client=True).update_artifact(_shown[run], ArtifactUpdate(data=markdown))
    else:
        _shown[run] = create_markdown_artifact(markdown, key=f"{job}-summary")  # type: ignore[assignment]


def store_of_run() -> str:
    """Return what commands name the running flow's store by, without secrets; STORE where there is no such name."""
    given = flow_run.parameters
    path = given.get("store")
    if isinstance(path, str) and Path(path).exists():
        return path
    places = (getattr(value, "location", None) for value in given.values())
    return next((place for place in places if place), "STORE")

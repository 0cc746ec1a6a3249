"""What a run is called: its mode and what it works on."""

from __future__ import annotations

from typing import Any

from prefect.runtime import flow_run

from tasks.changes.run_log import escape_logs_of_runs
from tasks.changes.texts import printable

escape_logs_of_runs()  # here, for every job takes its runs' names from this module


def name_after_mode() -> str:
    """Name the run that starts: dry run or live, and the store its credentials open."""
    parameters: dict[str, Any] = flow_run.parameters
    mode = "dry run" if parameters.get("dry_run", False) else "live"
    places = [place for value in parameters.values() if (place := getattr(value, "location", None))]
    return printable(" ".join([mode, *places]))

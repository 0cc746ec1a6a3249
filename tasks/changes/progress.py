"""How far a phase is: a bar on a terminal, a progress artifact in the UI."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

ARTIFACT_SECONDS = 5.0


class Phase:
    """One phase of a run, as a context manager; `at` is cheap enough to be called for every batch."""

    def __init__(self, name: str, total: int | None) -> None:
        self._name, self._total = name, total
        self._artifact: UUID | None = None
        self._has_page = FlowRunContext.get() is not None
        self._told = time.monotonic()
        self._bar = _bar() if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar:
            self._bar.start()
            self._row = self._bar.add_task(self._name, total=self._total)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Take the bar away; a finished phase stands at 100 % in the UI."""
        if self._bar:
            self._bar.stop()
        if self._artifact and kind is None:
            self._show(100.0)

    def at(self, done: int) -> None:
        """Say how many records or actions are done."""
        if self._bar:
            self._bar.update(self._row, completed=done)
        if time.monotonic() - self._told >= ARTIFACT_SECONDS:
            self._tell(done)

    def _tell(self, done: int) -> None:
        self._told = time.monotonic()
        if self._total:
            self._show(min(100.0, 100 * done / self._total))

    def _show(self, percent: float) -> None:
        """Show how far it is on the run's page; a server that does not take it once is not asked again."""
        if not self._has_page:
            return
        try:
            if self._artifact:
                update_progress_artifact(self._artifact, percent)
            else:
                description = f"{self._name}: {self._total:,} records"
                self._artifact = create_progress_artifact(percent, description=description)  # type: ignore[assignment]
        except Exception as error:  # noqa: BLE001  # whatever Prefect's client raises; the work itself goes on
            self._has_page = False
            get_run_logger().warning("Progress is not shown any more: %s: %s", type(error).__name__, error)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)

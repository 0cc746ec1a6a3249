"""How far a phase is: a bar on a terminal, a progress artifact in the UI."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self
from uuid import UUID

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
            update_progress_artifact(self._artifact, 100.0)

    def at(self, done: int) -> None:
        """Say how many records or actions are done."""
        if self._bar:
            self._bar.update(self._row, completed=done)
        if time.monotonic() - self._told >= ARTIFACT_SECONDS:
            self._tell(done)

    def _tell(self, done: int) -> None:
        self._told = time.monotonic()
        if not self._total or not FlowRunContext.get():
            return
        percent = min(100.0, 100 * done / self._total)
        if self._artifact:
            update_progress_artifact(self._artifact, percent)
        else:
            self._artifact = create_progress_artifact(percent, description=f"{self._name}: {self._total:,} records")  # type: ignore[assignment]


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)

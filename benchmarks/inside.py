"""One live run of a job's flow, timed from inside, in a process of its own: python inside.py JOB GIVEN, as JSON.

`seconds` are those of the run, to its completion; for what Prefect waits then, see the times of whole commands.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from flows.command import runs_of
from flows.jobs import flow_of, module_of, reader_of
from tasks.changes import plan
from tasks.changes.apply import Application

spent: dict[str, float] = {}


def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Add up the seconds that a function takes."""

    def timing(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return work(*args, **options)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - began

    return timing


if __name__ == "__main__":
    name, given = sys.argv[1], json.loads(sys.argv[2])
    job: Any = module_of(name)
    flow: Any = flow_of(name)
    job.make_judge = timed("plan", job.make_judge)  # it reads what it judges by
    plan.write_plan = timed("plan", plan.write_plan)
    Application.advance = timed("apply", Application.advance)  # type: ignore[method-assign]
    [arguments] = runs_of(flow, given, reader_of(name), live=True)
    print('"begun"', flush=True)
    began = time.perf_counter()

    def completed(_flow: object, _run: object, _state: object) -> None:
        """Stop the clock, as a hook of the flow's."""
        spent["seconds"] = time.perf_counter() - began

    report = flow.with_options(on_completion=[completed])(**arguments)
    print(json.dumps({"n": report.applied, **spent}))

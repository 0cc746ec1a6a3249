"""One run of the hmap-clean flow, timed from inside: run by hmap_clean.py in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from blocks import RedisCredentials
from flows import hmap_clean as job
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
    url, folder = sys.argv[1:]
    job.make_judge = timed("plan", job.make_judge)  # it reads the folder
    plan.write_plan = timed("plan", plan.write_plan)
    Application.advance = timed("apply", Application.advance)  # type: ignore[method-assign]
    began = time.perf_counter()
    print('"begun"', flush=True)
    report = job.hmap_clean(RedisCredentials.from_argument(url), folder, dry_run=False, max_fraction=1.0)
    print(json.dumps({"seconds": time.perf_counter() - began, "n": report.applied, **spent}))

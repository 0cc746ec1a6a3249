"""What people clean DataJoint stores with today: run by datajoint_clean.py, each in a process of its own.

`old CONFIG` runs dj-cleaner 0.1, in an environment that has it; `declare|collect DATABASE S3 BUCKET FOLDER SCHEMA`
makes a table with DataJoint 2, or has DataJoint's own collector delete what the table does not reference.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable


def old(config: str) -> dict[str, int]:
    """Run dj-cleaner as its command does."""
    from dj_cleaner import toml_cli

    toml_cli.clean(["--config-file", config])
    return {}


def declare(*server: str) -> dict[str, int]:
    """Make a schema with a table of blobs."""
    import datajoint as dj

    from sandbox.samples.datajoint.make_current import configure

    schema = dj.Schema(configure([*server]))
    schema(type("Item", (dj.Manual,), {"definition": "item : int32\n---\nvalue : <blob@main>"}))
    return {}


def collect(*server: str) -> dict[str, int]:
    """Run the collector, for real."""
    import datajoint as dj

    from sandbox.samples.datajoint.make_current import configure

    schema = dj.Schema(configure([*server]))
    found = dj.gc.GarbageCollector(schema, store="main").collect(dry_run=False)
    return {"n": found["deleted"], "errors": found["errors"]}


WORK: dict[str, Callable[..., dict[str, int]]] = {"old": old, "declare": declare, "collect": collect}

if __name__ == "__main__":
    print(json.dumps(WORK[sys.argv[1]](*sys.argv[2:])))

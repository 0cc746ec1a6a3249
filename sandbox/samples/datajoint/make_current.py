"""Fill stores with DataJoint 2, orphans among them; runs in a process of its own, as DataJoint's settings are global.

`make_current.py make|read DATABASE_URL S3_URL BUCKET FOLDER PREFIX`: both print what fetch reads, as JSON; `make` also
what DataJoint's own collector takes for orphans. PREFIX begins the names of both schemas; FOLDER is where the file
store lies.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import unquote, urlsplit

import datajoint as dj
import numpy as np
from pymysql import converters

SESSION = """
subject : int32
day : varchar(40)
---
trace = null : <blob@main>
notes = null : <attach@main>
bytes = null : <hash@alias>
scan = null : <object@main>
image = null : <object@main>
spikes = null : <npy@parts>
raw = null : <filepath@main>
local = null : <blob@disk>
"""
STORES = ("main", "alias", "parts", "disk")


def configure(arguments: list[str]) -> str:
    """Set DataJoint up; return the prefix of the schemas."""
    database, s3, bucket, folder, prefix = arguments
    server, store, root = urlsplit(database), urlsplit(s3), Path(folder)
    for name in ("disk", "local"):
        (root / name).mkdir(parents=True, exist_ok=True)
    keys = {"access_key": store.username, "secret_key": unquote(store.password or ""), "secure": False}
    main = {"protocol": "s3", "endpoint": store.netloc.rpartition("@")[2], "bucket": bucket, "location": "dj/store"}
    dj.config["stores"] = {
        "default": "main",
        "main": {**main, **keys},
        "alias": {**main, **keys, "subfolding": [2, 2]},
        "parts": {**main, **keys, "partition_pattern": "{subject}"},
        "disk": {"protocol": "file", "location": str(root / "disk")},
    }
    dj.config["database.backend"] = "postgresql" if server.scheme.startswith("postgres") else "mysql"
    dj.config["database.name"] = server.path.strip("/") if server.scheme.startswith("postgres") else None
    dj.config["database.host"], dj.config["database.port"] = server.hostname, server.port
    dj.config["database.user"], dj.config["database.password"] = server.username, server.password or ""
    dj.config["database.use_tls"], dj.config["safemode"] = False, False
    dj.logger.setLevel("ERROR")
    # DataJoint 2.3 cannot write its own JSON to MariaDB, which gives the column back as longtext.
    converters.conversions[dict] = lambda value, _: f"'{converters.escape_string(json.dumps(value))}'"
    os.chdir(root / "local")
    return prefix


def session(name: str) -> Any:
    """Give the table of a schema, made where there is none."""
    table = type("Session", (dj.Manual,), {"definition": SESSION})
    return dj.Schema(name)(table)()


def row(subject: int, salt: str) -> dict[str, Any]:
    """Make a row, and the files that it names."""
    folder, notes = Path(f"{salt}-scan-{subject}"), Path(f"notes {subject} & <é>.v2.tar.gz")
    (folder / "chunks").mkdir(parents=True, exist_ok=True)
    (folder / "chunks" / "0.0").write_text(f"chunk of {subject} of {salt}")
    (folder / ".zattrs").write_text("{}")
    notes.write_text(f"notes {subject} of {salt}")
    content = f"{subject} of {salt}"
    return {
        "subject": subject,
        "day": "2026/05=a b" if subject % 2 else "1",
        "trace": np.arange(subject, subject + 20),
        "notes": str(notes),
        "bytes": f"bytes {content}".encode(),
        "scan": str(folder),
        "image": (".ome.tif", f"image {content}".encode()),
        "spikes": np.full(3, subject),
        "raw": raw(subject, salt),
        "local": {"of": content},
    }


def raw(subject: int, salt: str) -> str:
    """Put a file where filepath expects it, and give its path."""
    path = f"raw/{salt}/{subject:02} day.dat"
    backend = dj.hash_registry.get_store_backend("main")
    backend.put_buffer(f"raw {subject} of {salt}".encode(), path)
    return path


def fill(table: Any, salt: str) -> None:
    """Insert six rows, and leave orphans by deleting some and by failed inserts."""
    table.insert([row(subject, salt) for subject in range(6)])
    with suppress(dj.errors.DuplicateError):
        table.insert1({**row(4, f"{salt}-refused"), "raw": None, "day": "1"})
    with suppress(ZeroDivisionError), table.connection.transaction:
        table.insert1(row(77, f"{salt}-rolled-back"))
        raise ZeroDivisionError
    (table & "subject in (1, 3, 5)").delete()


def digest(value: Any) -> Any:
    """Give a digest of what fetch gave."""
    if isinstance(value, dj.ObjectRef):
        if value.is_dir:
            return {name: digest(value.open(name).read()) for name in ("chunks/0.0", ".zattrs")}
        return digest(value.read())
    if isinstance(value, str):
        value = Path(value).read_bytes()
    content = (
        value if isinstance(value, bytes) else dj.blob.pack(np.asarray(value) if hasattr(value, "path") else value)
    )
    return hashlib.sha256(content).hexdigest()


def fetched(table: Any) -> dict[str, Any]:
    """Read every value, by table, subject and column."""
    with dj.config.override(download_path=mkdtemp(dir=".")):
        rows = table.to_dicts(order_by="subject")
    return {
        f"{table.full_table_name} {one['subject']} {name}": digest(value)
        for one in rows
        for name, value in one.items()
        if name not in ("subject", "day") and value is not None
    }


def collected(name: str) -> dict[str, Any]:
    """Give what DataJoint's own collector would delete, by store."""
    reports = {store: dj.gc.GarbageCollector(dj.Schema(name), store=store).collect() for store in STORES}
    return {store: one["orphaned_hash_paths"] + one["orphaned_schema_paths"] for store, one in reports.items()}


def main(command: str, *arguments: str) -> None:
    """Make the data, or only read it."""
    prefix = configure(list(arguments))
    tables = {salt: session(f"{prefix}{salt}") for salt in ("lab", "lab_v2")}
    if command == "make":
        for salt, table in tables.items():
            fill(table, salt)
    json.dump(
        {
            "fetched": {key: value for table in tables.values() for key, value in fetched(table).items()},
            "collected": {one.database: collected(one.database) for one in tables.values() if command == "make"},
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

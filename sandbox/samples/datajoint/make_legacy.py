"""Fill external stores with DataJoint 0.14, orphans among them; runs in an environment of its own, see `legacy.py`.

`make_legacy.py make|read MYSQL_URL S3_URL BUCKET FOLDER PREFIX`: both print what fetch reads, and which objects the
tracking tables know, as JSON. PREFIX begins the names of both schemas; FOLDER is where the file store and all
local files lie.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import unquote, urlsplit

import datajoint as dj
import numpy as np
from pymysql import ProgrammingError

ODD = ["notes.v2.tar.gz", "a b.txt", "été & <b>.txt", "CAPS.CSV", "plain", ".hidden"]
UNSTORABLE = "100%.csv"  # it is uploaded before DataJoint stumbles over its name
STORES = ("main", "disk")
SESSION = """
subject : int
---
trace = null : blob@main
notes = null : attach@main
raw = null : filepath@main
local : blob@disk
"""


def configure(arguments: list[str]) -> str:
    """Set DataJoint up; return the prefix of the schemas."""
    mysql, s3, bucket, folder, prefix = arguments
    server, store, root = urlsplit(mysql), urlsplit(s3), Path(folder)
    for name in ("stage", "disk", "local"):
        (root / name).mkdir(parents=True, exist_ok=True)
    keys = {"access_key": store.username, "secret_key": unquote(store.password or "")}
    main = {"protocol": "s3", "endpoint": store.netloc.rpartition("@")[2], "bucket": bucket, "location": "dj/store"}
    dj.config["stores"] = {
        "main": {**main, **keys, "secure": False, "stage": str(root / "stage")},
        "disk": {"protocol": "file", "location": str(root / "disk"), "stage": str(root / "stage")},
    }
    dj.config["database.host"], dj.config["database.port"] = server.hostname, server.port
    dj.config["database.user"], dj.config["database.password"] = server.username, server.password or ""
    dj.config["database.use_tls"], dj.config["safemode"] = False, False
    dj.logger.setLevel("ERROR")
    os.environ["DJ_SUPPORT_FILEPATH_MANAGEMENT"] = "TRUE"
    os.chdir(root / "local")
    return prefix


def session(name: str) -> Any:
    """Give the table of a schema, made where there is none."""
    table = type("Session", (dj.Manual,), {"definition": SESSION})
    return dj.Schema(name)(table)()


def row(subject: int, salt: str, name: str = "") -> dict[str, Any]:
    """Make a row, and the files that it names."""
    stage = Path(dj.config["stores"]["main"]["stage"], "raw", salt)
    stage.mkdir(parents=True, exist_ok=True)
    notes, raw = Path(salt) / (name or ODD[subject % len(ODD)]), stage / f"{subject:02} day.dat"
    notes.parent.mkdir(exist_ok=True)
    notes.write_text(f"notes {subject} of {salt}")
    raw.write_text(f"raw {subject} of {salt}")
    trace = np.arange(subject, subject + 20) if subject else None
    local = {"subject": subject, "of": salt}
    return {"subject": subject, "trace": trace, "notes": str(notes), "raw": str(raw), "local": local}


def fill(table: Any, salt: str) -> None:
    """Insert six rows, and leave orphans in every way there is."""
    table.insert([row(subject, salt) for subject in range(1, 6)])
    with suppress(ProgrammingError):
        table.insert1(row(76, f"{salt}-refused", UNSTORABLE))
    with suppress(ZeroDivisionError), table.connection.transaction:
        table.insert1(row(77, f"{salt}-rolled-back"))
        raise ZeroDivisionError  # what was uploaded stays, what tracked it does not
    (table & "subject in (1, 3)").delete()
    schema = dj.Schema(table.database)
    for store in ("main", "disk"):
        schema.external[store].delete(delete_external_files=False)
    table.insert1(row(0, salt))  # has a NULL, after which DataJoint takes nothing for unused any more
    (table & "subject = 5").delete()  # tracked, but used by no row


def digest(value: Any) -> str | None:
    """Give a digest of what fetch gave."""
    if value is None:
        return None
    content = Path(value).read_bytes() if isinstance(value, str) else dj.blob.pack(value)
    return hashlib.sha256(content).hexdigest()


def fetched(table: Any) -> dict[str, str | None]:
    """Read every value, by table, subject and column."""
    return {
        f"{table.full_table_name} {one['subject']} {name}": digest(value)
        for one in table.fetch(as_dict=True, order_by="subject", download_path=mkdtemp(dir="."))
        for name, value in one.items()
        if name != "subject"
    }


def tracked(table: Any) -> dict[str, list[str]]:
    """Give the keys of all objects that the tracking tables know, by store."""
    schema = dj.Schema(table.database)
    return {store: sorted(str(path) for _, path in schema.external[store].fetch_external_paths()) for store in STORES}


def main(command: str, *arguments: str) -> None:
    """Make the data, or only read it; nothing is read from the stage, where local copies lie."""
    if command == "read":
        shutil.rmtree(Path(arguments[3], "stage"))
    prefix = configure(list(arguments))
    tables = {salt: session(f"{prefix}{salt}") for salt in ("lab", "lab_v2")}
    if command == "make":
        for salt, table in tables.items():
            fill(table, salt)
    json.dump(
        {
            "fetched": {key: value for table in tables.values() for key, value in fetched(table).items()},
            "tracked": {table.database: tracked(table) for table in tables.values()},
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

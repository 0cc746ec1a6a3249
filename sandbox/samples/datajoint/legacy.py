"""What DataJoint 0.14 left in a database and two stores: recorded once, loaded wherever it is needed.

`python -m sandbox.samples.datajoint.legacy` makes the recording again. DataJoint 0.14 and 2 cannot be in one
environment, so the old one gets an environment of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from base64 import b64decode, b64encode
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, text

from sandbox.samples.datajoint.running import Server, client_of, engine_of, run
from sandbox.servers import Sandbox

RECORDING: Final = Path(__file__).with_name("legacy.json")
PREFIX: Final = "sample_"
REQUIREMENTS: Final = ("datajoint==0.14.10", "setuptools", "minio", "pymysql")


def environment(folder: Path) -> Path:
    """Make an environment with DataJoint 0.14, unless it is there; give its Python.

    Raises subprocess.CalledProcessError where it cannot be installed.
    """
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)  # noqa: S603
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*map(str, pip), *REQUIREMENTS], check=True)  # noqa: S603
        (folder / "complete").touch()
    return python


def record(python: Path, server: Server, prefix: str) -> dict[str, Any]:
    """Have DataJoint fill the servers, and write down all that is there then."""
    truth = run("make_legacy.py", "make", server, prefix, python)
    with engine_of(server.database).connect() as connection:
        sql = [one for name in truth["tracked"] for one in statements(connection, name)]
    client = client_of(server.s3)
    listed = client.list_objects(server.bucket, recursive=True)
    objects = {one.object_name: client.get_object(server.bucket, one.object_name or "").data for one in listed}
    disk = server.folder / "disk"
    files = {str(file.relative_to(disk)): file.read_bytes() for file in sorted(disk.rglob("*")) if file.is_file()}
    return truth | {"sql": sql, "objects": encoded(objects), "files": encoded(files)}


def recording(prefix: str) -> dict[str, Any]:
    """Read what was recorded, the names of the schemas with another prefix."""
    found: dict[str, Any] = json.loads(RECORDING.read_text().replace(PREFIX, prefix))
    return found


def load(server: Server, prefix: str) -> dict[str, Any]:
    """Put what was recorded onto other servers, under another prefix; give the recording."""
    recorded = recording(prefix)
    with engine_of(server.database).begin() as connection:
        for statement in recorded["sql"]:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})  # a % means itself
    client = client_of(server.s3)
    for key, content in recorded["objects"].items():
        data = b64decode(content)
        client.put_object(server.bucket, key, BytesIO(data), len(data))
    for name, content in recorded["files"].items():
        path = server.folder / "disk" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b64decode(content))
    return recorded


def encoded(contents: dict[str | None, bytes] | dict[str, bytes]) -> dict[str, str]:
    """Give contents as JSON can hold them."""
    return {str(name): b64encode(content).decode() for name, content in contents.items()}


def statements(connection: Connection, schema: str) -> list[str]:
    """Write a schema as SQL statements, table by table."""
    connection.execute(text("SET foreign_key_checks = 0"))
    tables = connection.execute(
        text("SELECT table_name FROM information_schema.tables WHERE table_schema = :schema ORDER BY create_time"),
        {"schema": schema},
    )
    names = [f"`{schema}`.`{name}`" for name in tables.scalars()]
    return [
        f"CREATE DATABASE `{schema}`",
        f"USE `{schema}`",
        "SET foreign_key_checks = 0",
        *(statement for name in names for statement in _table(connection, name)),
    ]


def _table(connection: Connection, name: str) -> list[str]:
    create = connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()[1]
    rows = connection.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1")  # noqa: S608
    values = [", ".join(map(literal, row)) for row in rows]
    return [create, *(f"INSERT INTO {name} VALUES ({row})" for row in values)]  # noqa: S608


def literal(value: object) -> str:
    """Write a value as MySQL reads it."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, datetime):
        return f"'{value}'"
    return str(value) if isinstance(value, int) else "'{}'".format(str(value).replace("\\", "\\\\").replace("'", "''"))


def main() -> None:
    """Make the recording again, on servers of its own."""
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        urls = sandbox.start("mariadb", "s3")
        server = Server(urls["mariadb"], urls["s3"], "recorded", Path(folder))
        client_of(server.s3).make_bucket(server.bucket)
        made = record(environment(Path(sys.prefix) / "datajoint-0.14"), server, PREFIX)
        RECORDING.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

"""Where DataJoint fills schemas and stores, and running the scripts with which it does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from minio import Minio
from sqlalchemy import Engine, create_engine, make_url

DRIVERS = {"mysql": "mysql+pymysql", "postgresql": "postgresql+psycopg"}


class Server(NamedTuple):
    """Where the data is made: URLs of the servers, a bucket, and a folder for the file store."""

    database: str
    s3: str
    bucket: str
    folder: Path


def run(script: str, command: str, server: Server, prefix: str, python: Path = Path(sys.executable)) -> dict[str, Any]:
    """Run `make_legacy.py` or `make_current.py`, in the environment of a Python; give what it prints.

    Raises subprocess.CalledProcessError.
    """
    arguments = [python, Path(__file__).with_name(script), command, *server, prefix]
    done = subprocess.run([*map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout.replace(f"{server.folder}/disk/", ""))
    return found


def engine_of(database: str) -> Engine:
    """Open a database server."""
    address = make_url(database)
    return create_engine(address.set(drivername=DRIVERS[address.drivername]))


def client_of(s3: str) -> Minio:
    """Open an object store."""
    at = urlsplit(s3)
    return Minio(f"{at.hostname}:{at.port}", at.username, at.password, secure=at.scheme == "https")

"""The file that says what to clean, `datajoint-cleaner.toml`: reading it, and what its runs share."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from blocks.datajoint_credentials import DataJointCredentials
from blocks.errors import said
from blocks.object_store_credentials import ObjectStoreCredentials
from tasks.changes.errors import BadInput
from tasks.datajoint.namespaces import normal_location
from tasks.datajoint.tables import CleaningRun, DatabaseServer, StorageServers, Table


class Config(Table):
    """The whole file."""

    database_servers: dict[str, DatabaseServer] = Field(min_length=1)
    storage_servers: StorageServers = StorageServers()
    cleaning_runs: list[CleaningRun] = Field(min_length=1)

    def chosen(self, number: int | None) -> list[CleaningRun]:
        """Give the run of a number, from 1, or all; raises BadInput."""
        if number is None:
            return self.cleaning_runs
        if not 1 <= number <= len(self.cleaning_runs):
            message = f"--run {number}: the file has the runs 1 to {len(self.cleaning_runs)}."
            raise BadInput(message)
        return [self.cleaning_runs[number - 1]]

    def place_of(self, run: CleaningRun) -> tuple[str, ...]:
        """Say where a run's objects lie, whatever the names in the file are: two runs there share their references."""
        if run.kind == "file":
            return ("file", str(Path(run.location).resolve()))
        server = self.storage_servers.minio[run.server]
        endpoint = server.endpoint.lower().removesuffix(":443" if server.secure else ":80")
        return (endpoint, run.bucket or "", normal_location(run.location))

    def databases(self, run: CleaningRun) -> list[DataJointCredentials]:
        """Give every source that may reference objects at a run's location: those of all runs there."""
        return [
            DataJointCredentials(
                **dict(self.database_servers[name]), schemas=one.schemas, stores=one.stores, codecs=one.codecs
            )
            for one in self.cleaning_runs
            if self.place_of(one) == self.place_of(run)
            for name in one.servers
        ]

    def store(self, run: CleaningRun) -> ObjectStoreCredentials | str:
        """Give the bucket of a run, or the folder of its file store; raises ValueError where it cannot be one."""
        if run.kind == "file":
            return run.location
        server = self.storage_servers.minio[run.server]
        return ObjectStoreCredentials(
            endpoint=server.endpoint,
            bucket=run.bucket or "",
            access_key=server.access_key,
            secret_key=server.secret_key,
            region=server.region,
            tls=server.secure,
        )

    def parameters(self, run: CleaningRun) -> dict[str, Any]:
        """Give the parameters of the flow for a run."""
        return {
            "store": self.store(run),
            "databases": self.databases(run),
            "location": "" if run.kind == "file" else run.location,
            "schemas": run.schemas,
            "generation": run.generation,
            "layout": run.layout,
            "grace": run.grace,
            "mode": run.mode,
        }


def read_config(path: Path) -> Config:
    """Read the file.

    Raises BadInput, which names the file, the table and the key, and no secret.
    """
    try:
        config = Config.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        message = f"{path}: {error.strerror}. Give the file with --config-file."
        raise BadInput(message) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path}: {error}"
        raise BadInput(message) from error
    except ValidationError as error:
        message = "; ".join(f"{path}: {_where(one['loc'])}: {said(one)}" for one in error.errors())
        raise BadInput(message) from None
    for number, run in enumerate(config.cleaning_runs, 1):
        if problem := _problem(config, run):
            message = f"{path}: [[cleaning_runs]] {number}: {problem}"
            raise BadInput(message)
    return config


def _where(loc: tuple[int | str, ...]) -> str:
    """Write a place as the file has it: `[database_servers.lab] password`, `[[cleaning_runs]] 2, schema`."""
    if loc[0] == "cleaning_runs" and len(loc) > 1:
        return ", ".join([f"[[cleaning_runs]] {int(loc[1]) + 1}", *map(str, loc[2:3])])
    depth = {"database_servers": 2, "storage_servers": 3}.get(str(loc[0]), 1)
    return f"[{'.'.join(map(str, loc[:depth]))}] {'.'.join(map(str, loc[depth:]))}".strip()


def _problem(config: Config, run: CleaningRun) -> str | None:
    missing = [f"[database_servers.{name}]" for name in run.servers if name not in config.database_servers]
    if run.kind == "s3" and run.server not in config.storage_servers.minio:
        missing.append(f"[storage_servers.{run.storage_server}]")
    if missing:
        return f"there is no {' and no '.join(missing)}"
    try:
        config.store(run)
        run.layout.namespace(run.location, run.schemas, run.generation)
    except ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {said(one)}" for one in error.errors())
    except BadInput as error:
        return str(error)
    return None

"""The tables of `datajoint-cleaner.toml`: as the old dj-cleaner reads them, and more keys per run."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from blocks.object_store_credentials import check_endpoint
from tasks.changes.options import Duration
from tasks.datajoint.layout import Generations, Layout, Name


def one_or_more(value: object) -> object:
    """Take one name for a list of one."""
    return [value] if isinstance(value, str) else value


def nested(value: object) -> object:
    """Take one subfolding for a list of one."""
    return [value] if isinstance(value, list) and all(isinstance(one, int) for one in value) else value


def from_environment(value: object) -> object:
    """Take `env:NAME` for what the variable holds, so that no file has to hold a secret."""
    if not isinstance(value, str) or not value.startswith("env:"):
        return value
    name = value.removeprefix("env:")
    if not name:
        message = "env: names no variable"
        raise ValueError(message)
    if not os.environ.get(name):
        message = f"the variable {name} is {'empty' if name in os.environ else 'not set'}"
        raise ValueError(message)
    return os.environ[name]


Secret = Annotated[SecretStr, BeforeValidator(from_environment)]
Names = Annotated[list[Name], Field(min_length=1), BeforeValidator(one_or_more)]


class Table(BaseModel):
    """A table of the file: a key that is not known is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DatabaseServer(Table):
    """One of `[database_servers.NAME]`; the old tool's three keys, and where it differs from a MySQL on 3306."""

    host: Name
    user: Name
    password: Secret
    port: int | None = Field(None, ge=1, le=65535)
    backend: Literal["mysql", "mariadb", "postgresql"] = "mysql"
    database: str | None = None
    tls: bool | None = None


class MinioServer(Table):
    """One of `[storage_servers.minio.NAME]`: MinIO, or any other S3."""

    endpoint: Name
    access_key: Annotated[str | None, BeforeValidator(from_environment)] = Field(None, repr=False, min_length=1)
    secret_key: Annotated[SecretStr | None, BeforeValidator(from_environment)] = None
    secure: bool
    region: Name = "us-east-1"

    @field_validator("endpoint", mode="before")
    @classmethod
    def _check_endpoint(cls, endpoint: object) -> object:
        return check_endpoint(endpoint, "secure")


class StorageServers(Table):
    """The storage servers by kind and name."""

    minio: dict[str, MinioServer] = {}


class CleaningRun(Layout):
    """One of `[[cleaning_runs]]`: a location, and whose rows may reference what lies there."""

    servers: Names = Field(validation_alias=AliasChoices("database_server", "database_servers"))
    schemas: Names = Field(validation_alias=AliasChoices("schema", "schemas"))
    stores: Names = Field(validation_alias=AliasChoices("store", "stores"))
    kind: Literal["s3", "file"] = "s3"
    storage_server: str | None = Field(None, pattern=r"^minio\..+")
    bucket: Name | None = None
    location: str
    generation: Annotated[Generations, BeforeValidator(str)] = "both"
    grace: Duration = timedelta(days=1)
    mode: Literal["delete", "quarantine", "purge-versions"] = "delete"
    subfolding: Annotated[list[list[int]], BeforeValidator(nested)] = Field(default=[])
    codecs: list[Name] = Field(default=[])

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        keys = {"storage_server": self.storage_server, "bucket": self.bucket}
        given = [key for key, value in keys.items() if value is not None]
        if self.kind == "file" and (given or not Path(self.location).is_absolute()):
            message = f"a run of kind file has the store's folder as its location, an absolute path, and no {given}"
            raise ValueError(message)
        if self.kind == "s3" and len(given) < len(keys):
            message = f"a run of kind s3 needs {' and '.join(sorted(keys.keys() - set(given)))}"
            raise ValueError(message)
        return self

    @property
    def server(self) -> str:
        """Name the storage server of a run of kind s3."""
        return (self.storage_server or "").partition(".")[2]

    @property
    def layout(self) -> Layout:
        """Give what the run says of the names of objects."""
        return Layout(**{name: getattr(self, name) for name in Layout.model_fields})

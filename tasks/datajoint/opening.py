"""Opening the store of a run: a bucket or a folder, as far as the run owns it, or the quarantine in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from blocks.object_store_credentials import ObjectStoreCredentials
from tasks.datajoint.namespaces import Namespace
from tasks.stores.file_objects import FileObjects
from tasks.stores.files import Folder
from tasks.stores.key_ranges import WHOLE, Prefix, Shard, tidied
from tasks.stores.listing import Object
from tasks.stores.object_store import Mode, ObjectStore
from tasks.stores.objects import Objects
from tasks.stores.quarantine import QUARANTINE
from tasks.stores.s3_talk import Bucket

EPOCH: Final = datetime.fromtimestamp(0, UTC)
ASIDE: Final = "in the quarantine, until a run with --purge-after deletes them for good"
OLD_VERSIONS: Final = "as old versions, for the bucket is versioned: mode purge-versions deletes those too"

UNKNOWN: Final = (
    "perhaps, as old versions: whether the bucket is versioned is unknown, for s3:GetBucketVersioning was refused"
)


def quarantine_of(namespace: Namespace) -> str:
    """Name the folder of a location where removed objects wait."""
    return f"{namespace.prefix}{QUARANTINE}"


def open_objects(store: ObjectStoreCredentials | str, namespace: Namespace, mode: Mode, shard: str) -> ObjectStore:
    """Open a worker's part of what a run owns of a bucket or folder.

    Raises SourceUnreadable where the folder is missing, BadInput where the shard is none.
    """
    return _open(store, namespace.prefixes, mode, Shard.parse(shard), quarantine_of(namespace))


def open_quarantine(store: ObjectStoreCredentials | str, namespace: Namespace) -> ObjectStore:
    """Open the quarantine of a location, to delete from it for good."""
    aside = quarantine_of(namespace)
    return _open(store, [Prefix(f"{aside}/")], "delete", WHOLE, aside)


def _open(
    store: ObjectStoreCredentials | str, prefixes: list[Prefix], mode: Mode, shard: Shard, quarantine: str
) -> ObjectStore:
    if isinstance(store, str):
        tidy = [Prefix(tidied(prefix.text), prefix.digits) for prefix in prefixes]  # as a file system has paths
        return FileObjects(Folder(str(Path(store))), tidy, mode, shard=shard, quarantine=quarantine)
    bucket = Bucket(store.get_client(), store.bucket, store.location)
    return Objects(bucket, prefixes, mode, shard=shard, quarantine=quarantine)


def where_bytes_stay(store: ObjectStore) -> str | None:
    """Return where the bytes of removed objects stay, if they do."""
    if isinstance(store, Objects) and store.keeps_versions_perhaps:
        return UNKNOWN
    if store.weigh(store.image(Object(1, "", EPOCH))):
        return None
    return ASIDE if store.undoable else OLD_VERSIONS

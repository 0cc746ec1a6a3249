"""The parameters of datajoint-clean: the form in the UI, the keys in prefect.yaml."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field

from blocks.datajoint_credentials import DataJointCredentials
from blocks.object_store_credentials import ObjectStoreCredentials
from tasks.changes.options import Described, Duration
from tasks.datajoint.layout import Generations, Layout
from tasks.stores.object_store import Mode

DAY: Final = timedelta(days=1)
Bucket = Annotated[ObjectStoreCredentials | str, Described("The bucket of the store, or the folder of a file store.")]
Databases = Annotated[
    list[DataJointCredentials],
    Field(min_length=1),
    Described("Every database server whose rows may reference objects at the location, all schemas and store names."),
]
Location = Annotated[str, Described("The location in the bucket, as in DataJoint's settings; empty for a file store.")]
Schemas = Annotated[list[str], Field(min_length=1), Described("The schemas whose objects may go.")]
Judged = Annotated[Generations, Described("Whose objects may go, where the tables show that they are in use.")]
Named = Annotated[Layout, Described("How the store names its objects, where not as DataJoint does by itself.")]
Grace = Annotated[Duration, Described("Keep objects written less than this ago, by the store's clock, such as 36h.")]
Modes = Annotated[
    Mode,
    Described("delete; quarantine, which only moves objects aside; purge-versions, which deletes old versions too."),
]
PurgeAfter = Annotated[
    Duration | None, Described("Delete for good what lies in the quarantine for so long, such as 30d, and do no more.")
]
Part = Annotated[str, Described("One worker's part of the objects, such as 2/4.")]
AllowEmpty = Annotated[bool, Described("Go on though there are no references, or none of them is in the listing.")]

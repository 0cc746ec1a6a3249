"""Making the judges of a run: of what it owns in a store, and of what waits in the quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from blocks.datajoint_credentials import DataJointCredentials
from tasks.datajoint.grammar import Grammar
from tasks.datajoint.namespaces import Namespace
from tasks.datajoint.opening import quarantine_of, where_bytes_stay
from tasks.datajoint.orphans import Unreferenced
from tasks.datajoint.references import References
from tasks.datajoint.sources import source_of
from tasks.datajoint.waiting import Waiting
from tasks.stores.object_store import ObjectStore
from tasks.stores.quarantine import PastGrace

Databases = Sequence[DataJointCredentials]
AT_ONCE = timedelta(0)


def judge_of_store(
    store: ObjectStore, namespace: Namespace, databases: Databases, grace: timedelta, *, allow_empty: bool
) -> Unreferenced:
    """Judge what a run owns of a store."""
    stays = where_bytes_stay(store)
    return _unreferenced(store, namespace, databases, grace=grace, allow_empty=allow_empty, stays=stays)


def judge_of_quarantine(
    store: ObjectStore, namespace: Namespace, databases: Databases, purge_after: timedelta, *, allow_empty: bool
) -> Waiting:
    """Judge what waits in the quarantine of a location."""
    aside = quarantine_of(namespace)
    past_grace = PastGrace(aside, now=store.now(), grace=purge_after)
    return Waiting(
        aside, past_grace, _unreferenced(store, namespace, databases, grace=AT_ONCE, allow_empty=allow_empty)
    )


def _unreferenced(store: ObjectStore, namespace: Namespace, databases: Databases, **options: Any) -> Unreferenced:
    references = References([source_of(one) for one in databases], Grammar(namespace))
    judge = Unreferenced(namespace, references, now=store.now(), **options)
    store.watch(judge.notice)
    return judge

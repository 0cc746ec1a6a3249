"""What a store says it would do is what it then does, and until then it has done nothing."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, String, Text, column, select, table, text

from blocks.database_credentials import DatabaseCredentials
from tasks.changes.errors import StoreDenied
from tasks.changes.protocols import Action, Identity, Outcome
from tasks.stores.sql import SqlRows
from tests.tasks.stores.conftest import InBucket, Place

DONE, ALREADY, CONFLICT = Outcome.DONE, Outcome.ALREADY, Outcome.CONFLICT
NOTE = table("note", column("id", String), column("text", Text))


def test_of_rows(database_url: str) -> None:
    credentials = DatabaseCredentials.from_argument(database_url)
    engine: Engine = credentials.get_client()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE note (id varchar(96) PRIMARY KEY, text text)"))
        rows = [{"id": "as found", "text": "old"}, {"id": "done", "text": "new"}, {"id": "other", "text": "newer"}]
        connection.execute(text("INSERT INTO note VALUES (:id, :text)"), [*rows, {"id": "null", "text": None}])
    store = SqlRows(engine, credentials.location, select(NOTE), NOTE.c.id, NOTE.c.text)
    actions = [Action(key, {"text": "old"}, {"text": "new"}) for key in ("as found", "done", "other", "null", "gone")]
    before = list(store.scan())
    assert store.preview(actions) == [DONE, ALREADY, CONFLICT, CONFLICT, None]
    assert list(store.scan()) == before
    assert store.apply(actions) == [DONE, ALREADY, CONFLICT, CONFLICT, CONFLICT]


@pytest.mark.parametrize("mode", ["delete", "quarantine"])
def test_of_objects_that_go(place: Place, mode: Any) -> None:
    store = place.store(mode)
    actions = planned(place, store, "as found", "gone", "other")
    del place[f"{place.base}gone"]
    place[f"{place.base}other"] = b"newer"
    stands = dict(place)
    assert store.preview(actions) == [DONE, ALREADY, CONFLICT]
    assert dict(place) == stands
    assert store.apply(actions) == [DONE, ALREADY, CONFLICT]


def test_of_objects_that_come_back(place: Place) -> None:
    store = place.store("quarantine")
    actions = planned(place, store, "in quarantine", "back again", "other", "purged")
    store.apply(actions)
    inverse = [one.inverse() for one in actions]
    store.apply([one for one in inverse if "back again" in str(one.key)])
    place[f"{place.base}other"] = b"newer"
    (purged,) = [key for key in place.keys_there() if key.endswith("purged")]
    del place[purged]
    outcomes = {
        str(one.key).removeprefix(place.base): found for one, found in zip(inverse, store.preview(inverse), strict=True)
    }
    assert outcomes == {"in quarantine": DONE, "back again": ALREADY, "other": CONFLICT, "purged": None}
    assert [one or CONFLICT for one in outcomes.values()] == store.apply(inverse)


def planned(place: Place, store: Any, *names: str) -> list[Action]:
    """Put objects, and give the actions by which they go."""
    for name in names:
        place[f"{place.base}{name}"] = b"content of " + name.encode()
    found = {str(key): value for page in store.scan() for key, value in page}
    return [Action(f"{place.base}{name}", store.image(found[f"{place.base}{name}"]), None) for name in names]


def test_a_bucket_made_anew_is_another(make_place: Callable[..., InBucket], s3_url: str) -> None:
    place = make_place(s3_url, "test-made-anew")
    first = place.store().identity()  # type: ignore[attr-defined]
    assert first.ids["creation date"]
    assert place.store().identity() == first  # type: ignore[attr-defined]
    place.client.remove_bucket("test-made-anew")
    time.sleep(1.1)  # the date is in whole seconds
    try:
        again = make_place(s3_url, "test-made-anew").store().identity()  # type: ignore[attr-defined]
        assert set(again.ids.values()).isdisjoint(first.ids.values())
    finally:
        place.client.remove_bucket("test-made-anew")


def test_k2_whoever_may_not_list_buckets_goes_without(in_bucket: InBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = in_bucket.bucket()

    def denied() -> str:
        raise StoreDenied("AccessDenied")

    monkeypatch.setattr(type(bucket), "created", lambda _: denied())
    assert in_bucket.store(bucket=bucket).identity() == Identity()  # type: ignore[attr-defined]

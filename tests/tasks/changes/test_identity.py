"""Whether two identities are of one store."""

from typing import Any

import pytest

from tasks.changes.errors import OtherStore
from tasks.changes.identity import check_target, is_same
from tasks.changes.protocols import Identity, Remove

NOTHING = Identity()
FIRST = Identity({"run_id": "a", "master_replid": "A"}, changes_at_restart=True, place="/data")


@pytest.mark.parametrize(
    ("planned", "found", "same"),
    [
        (FIRST, FIRST, True),
        (FIRST, Identity({"run_id": "b", "master_replid": "B", "master_replid2": "A"}, True, "/else"), True),
        (FIRST, Identity({"run_id": "b", "master_replid": "B"}, True, "/data"), None),
        (FIRST, Identity({"run_id": "b", "master_replid": "B"}, True, ""), None),
        (FIRST, Identity({"run_id": "b", "master_replid": "B"}, True, "/else"), False),
        (Identity({"server_uuid": "1"}), Identity({"server_uuid": "1"}), True),
        (Identity({"server_uuid": "1"}), Identity({"server_uuid": "2"}), False),
        (Identity({"server_uuid": "1"}), Identity({"server_uuid": "2", "gtid_source_1": "1"}), True),
        (Identity({"system_identifier": "7/1/s1"}), Identity({"system_identifier": "7/1/s1"}), True),
        (Identity({"system_identifier": "7/1/s1"}), Identity({"system_identifier": "7/1/s2"}), False),
        (Identity({"system_identifier": "7/1"}), Identity({"system_identifier": "7/1/s2"}), True),
        (Identity({"system_identifier": "7/1"}), Identity({"system_identifier": "7/16/s2"}), False),
        (NOTHING, FIRST, None),
        (FIRST, NOTHING, None),
        (NOTHING, NOTHING, None),
    ],
)
def test_one_id_in_common_proves_it_and_another_place_refutes_it(
    planned: Identity, found: Identity, same: bool | None
) -> None:
    assert is_same(planned, found) is same


class Reader:
    """A judge of the same store that reads elsewhere."""

    def __init__(self, *sources: str) -> None:
        self.sources = sources

    def __call__(self, _key: Any, _value: Any) -> Remove:
        return Remove("orphan")


def test_n11_a_plan_is_not_applied_by_a_judge_that_asks_other_servers(toys: Any) -> None:
    """Objects that a database references were removed by what a copy of it said."""
    store = toys.Store({"a": b"1"})
    plan = toys.plan(store, Reader("mysql://a", "mysql://b"))
    assert plan.header.sources == ["mysql://a", "mysql://b"]
    check_target(plan, store, Reader("mysql://a", "mysql://b", "mysql://c"))
    with pytest.raises(OtherStore, match=r"made by what mysql://a says, .* asks mysql://b, mysql://copy inst"):
        check_target(plan, store, Reader("mysql://b", "mysql://copy"))
    check_target(plan, store, Reader("mysql://copy"), other_store=True)

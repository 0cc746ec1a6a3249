"""Whether two identities are of one store."""

import pytest

from tasks.changes.identity import is_same
from tasks.changes.protocols import Identity

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

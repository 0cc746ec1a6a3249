"""What waits in quarantine goes when its grace period is over, counted from when it was moved there."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tasks.changes.protocols import Verdict
from tasks.stores.listing import Object
from tasks.stores.quarantine import OVER, STRANGE, WAITS, PastGrace, stamped

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stamp", "modified", "verdict"),
    [
        ("20261120T110000Z", "2020-01-01T00:00:00+00:00", OVER),
        ("20261120T110000Z", "2026-11-20T11:59:59+00:00", OVER),
        ("20261120T110000Z", "2026-11-20T12:00:00+00:00", WAITS),  # moved by a second run, after the first was killed
        ("20261120T120000Z", "2020-01-01T00:00:00+00:00", WAITS),
        ("20261122T120000Z", "2020-01-01T00:00:00+00:00", WAITS),
        ("by hand", "2020-01-01T00:00:00+00:00", STRANGE),
        ("20261120", "2020-01-01T00:00:00+00:00", STRANGE),
        ("", "2020-01-01T00:00:00+00:00", STRANGE),
    ],
)
@pytest.mark.parametrize("quarantine", [".q", ".q/", "a/b"])
def test_age_counts_from_the_move(stamp: str, modified: str, verdict: Verdict, quarantine: str) -> None:
    judge = PastGrace(quarantine, now=NOW, grace=timedelta(days=1))
    value = Object(1, "x", datetime.fromisoformat(modified))
    assert judge(f"{quarantine.strip('/')}/{stamp}/lab/one", value) is verdict
    assert judge(f"{quarantine.strip('/')}/{stamp}/lab/one".encode(), value) is verdict


def test_a_stamp_is_in_utc() -> None:
    assert stamped(NOW.astimezone(timezone(timedelta(hours=5)))) == "20261121T120000Z"

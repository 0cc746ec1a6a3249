"""How long two periods of a schedule take, whatever it is."""

from datetime import timedelta
from typing import Any

import pytest
from prefect.client.schemas.schedules import CronSchedule, construct_schedule

from deployments.periods import two_periods

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"cron": "0 3 * * *"}, 2 * DAY),
        ({"cron": "* * * * *"}, timedelta(minutes=2)),
        ({"cron": "0 3 * * 1-5"}, 4 * DAY),  # Thursday to Monday
        ({"cron": "0 3 * * *", "timezone": "Europe/Berlin"}, 2 * DAY + HOUR),  # where the clocks go back
        ({"cron": "0 0 1 * *"}, 62 * DAY),
        ({"cron": "0 0 1 1 *"}, 731 * DAY),
        ({"interval": timedelta(seconds=30)}, timedelta(minutes=1)),
        ({"interval": timedelta(days=2)}, 4 * DAY),
        ({"rrule": "FREQ=WEEKLY;BYDAY=SU"}, 14 * DAY),
    ],
)
def test_two_periods(schedule: dict[str, Any], expected: timedelta) -> None:
    assert two_periods(construct_schedule(**{"timezone": "UTC", **schedule})) == expected


@pytest.mark.parametrize(
    ("cron", "rest"),
    [("*/5 9-17 * * 1-5", 63 * HOUR + timedelta(minutes=5)), ("* * 1 * *", 30 * DAY), ("* 3 * * *", 23 * HOUR)],
)
def test_the_rest_of_a_busy_schedule_is_found(cron: str, rest: timedelta) -> None:
    """With more dates in a day than Prefect gives at once, its rest is known to within two hours."""
    found = two_periods(construct_schedule(cron=cron, timezone="UTC"))
    assert found is not None
    assert rest <= found <= rest + 2 * HOUR


def test_it_is_the_same_whenever_it_is_asked() -> None:
    """Or each deploy would change the alert, which then forgets what it waits for."""
    schedule = CronSchedule(cron="17 */7 1-20 * 2-4", timezone="Europe/Berlin")
    assert len({two_periods(schedule) for _ in range(3)}) == 1


def test_a_schedule_that_ends_has_none() -> None:
    assert two_periods(construct_schedule(rrule="FREQ=DAILY;COUNT=2", timezone="UTC")) is None

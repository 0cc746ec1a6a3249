"""When a schedule makes runs: the next one, and how long two of its periods take."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from prefect.client.schemas.schedules import SCHEDULE_TYPES
from prefect.server.schemas.schedules import SCHEDULE_TYPES as SERVER_SCHEDULES
from pydantic import TypeAdapter

SERVER_SIDE: Final[TypeAdapter[SERVER_SCHEDULES]] = TypeAdapter(SERVER_SCHEDULES)
BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)  # a fixed day, or each deploy would find another period
WEEKS: Final = timedelta(weeks=5)  # more than a month: every pattern of hours, weekdays and days of a month
DATES: Final = 1_000  # the most that Prefect gives at once
HOUR: Final = timedelta(hours=1)


def next_date(schedule: SCHEDULE_TYPES) -> datetime | None:
    """Return when a schedule makes its next run, or None where it makes no more."""
    dates = asyncio.run(SERVER_SIDE.validate_python(schedule.model_dump()).get_dates(1, datetime.now(UTC)))
    return dates[0] if dates else None


def two_periods(schedule: SCHEDULE_TYPES) -> timedelta | None:
    """Return the longest time that two periods of a schedule take, for one in working hours that over a weekend.

    The same whenever it is asked. None where the schedule has no three dates left.
    """
    return asyncio.run(_two_periods(SERVER_SIDE.validate_python(schedule.model_dump())))


async def _two_periods(schedule: SERVER_SCHEDULES) -> timedelta | None:
    if len(await schedule.get_dates(3, datetime.now(UTC))) < 3:
        return None
    dates = [date.timestamp() for date in await schedule.get_dates(DATES, BEGIN)]
    longest = timedelta(seconds=max(later - first for first, later in zip(dates, dates[2:], strict=False)))
    if dates[-1] > (BEGIN + WEEKS).timestamp():
        return longest
    return max(longest, await _longest_break(schedule))


async def _longest_break(schedule: SERVER_SCHEDULES) -> timedelta:
    """Return the longest break of more than an hour in some weeks, to within the hour before it: nights and weekends.

    A schedule of every minute in working hours has more dates in a day than Prefect gives at once.
    """
    longest = timedelta(0)
    for number in range(WEEKS // HOUR):
        hour = BEGIN + number * HOUR
        (first,) = await schedule.get_dates(1, hour)
        longest = max(longest, timedelta(seconds=first.timestamp() - hour.timestamp()))
    return longest + HOUR if longest > HOUR else longest

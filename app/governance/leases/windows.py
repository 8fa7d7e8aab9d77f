"""The windows of budgets, in UTC. The name of a window is part of the key of its balance."""

from datetime import UTC, datetime, timedelta
from typing import get_args

from app.storage.records import Period

PERIODS: tuple[Period, ...] = get_args(Period)


def window_of(period: Period, moment: datetime) -> tuple[str, datetime | None]:
    """Return the name of the window at a moment, and when it ends; None for a window without an end.

    A week begins on Monday, and is named as in ISO 8601: the days around New Year belong to one week.
    """
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "day":
            return f"{day:%Y-%m-%d}", day + timedelta(days=1)
        case "week":
            year, week, weekday = day.isocalendar()
            return f"{year}-W{week:02}", day + timedelta(days=8 - weekday)
        case "month":
            return f"{day:%Y-%m}", (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        case "total":
            return "total", None

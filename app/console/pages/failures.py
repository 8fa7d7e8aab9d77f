"""Errors and throttles over time, for the first page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from app.console.charts import Series, chart_data, filled

MINUTES = 60


class Counted(Protocol):
    """How many requests ended in an interval. errors, throttles: of the requests."""

    @property
    def requests(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def throttles(self) -> int: ...


def last_minutes(moment: datetime) -> list[datetime]:
    """Return the beginnings of the minutes of the last hour."""
    last = round(moment.timestamp()) // 60 * 60
    return [datetime.fromtimestamp(last - 60 * ago, UTC) for ago in reversed(range(MINUTES))]


def failures(starts: Sequence[datetime], counted: Mapping[datetime, Counted], *, with_calls: bool) -> dict[str, Any]:
    """Return the sums and the chart of what happened in intervals. with_calls: the chart has all requests, too."""
    errors = {start: float(each.errors) for start, each in counted.items()}
    throttles = {start: float(each.throttles) for start, each in counted.items()}
    calls = {start: float(each.requests) for start, each in counted.items()}
    series = [Series("Calls", filled(starts, calls))] if with_calls else []
    series.append(Series("Errors", filled(starts, errors), tone="bad"))
    series.append(Series("Throttles", filled(starts, throttles), tone="second"))
    return {
        "requests": sum(each.requests for each in counted.values()),
        "errors": sum(each.errors for each in counted.values()),
        "throttles": sum(each.throttles for each in counted.values()),
        "chart": chart_data(starts, series),
    }

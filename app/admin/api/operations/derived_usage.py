"""Reads the sums that are derived, and of the time since those that the ledger keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import FromClause, Select, Table, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.operations.usage_columns import COLUMNS, Interval
from app.governance.ledger.usage_sums import SUMS
from app.governance.maintenance.derived_usage import ALL_MODELS, Part
from app.storage.columns import Instant
from app.storage.tables import derived_usage, derived_usage_parts, usage, usage_totals

_Rows = Select[Any]
_DAY = timedelta(days=1)


class _Segment(Struct, frozen=True):
    """Rows of one time. shown: their `start`, where that is another one."""

    interval: str
    is_derived: bool = False
    since: datetime | None = None
    until: datetime | None = None
    shown: datetime | None = None


async def sums_by_model(
    connection: AsyncConnection, dimension: str, interval: Interval, since: datetime | None = None
) -> FromClause | None:
    """Return rows with the columns of `usage_totals` and the model; None if nothing is derived yet.

    Args:
        since: if only the sums since then are wanted, and not those of each hour or day.
    """
    value = usage.c[COLUMNS[dimension]]
    live = select(usage.c.team_id, usage.c.model, value.label("value"))
    derived = select(derived_usage.c.team_id, derived_usage.c.model, derived_usage.c.value)
    derived = derived.where(derived_usage.c.model != ALL_MODELS, derived_usage.c.dimension == dimension)
    return await _united(connection, (usage, live), derived, dimension, interval, since)


async def sums_of_all_models(
    connection: AsyncConnection, dimension: str, interval: Interval, since: datetime
) -> FromClause | None:
    """Return rows with the columns of `usage_totals`, as `sums_by_model` does."""
    live = select(usage_totals.c.team_id, usage_totals.c.value).where(usage_totals.c.dimension == dimension)
    derived = select(derived_usage.c.team_id, derived_usage.c.value)
    derived = derived.where(derived_usage.c.model == ALL_MODELS, derived_usage.c.dimension == dimension)
    return await _united(connection, (usage_totals, live), derived, dimension, interval, since)


async def _united(
    connection: AsyncConnection,
    live: tuple[Table, _Rows],
    derived: _Rows,
    dimension: str,
    interval: Interval,
    since: datetime | None,
) -> FromClause | None:
    columns = derived_usage_parts.c
    found = await connection.execute(select(columns.interval, columns.start, columns.until))
    parts = [Part(*row) for row in found]
    segments = [] if since is None else _of_range(parts, interval, since)
    segments = segments or [*(_hours(parts) if interval == "hour" else _days(parts))]
    if not any(each.is_derived for each in segments):
        return None
    return union_all(
        *[
            _rows(
                segment, derived_usage if segment.is_derived else live[0], derived if segment.is_derived else live[1]
            ).add_columns(literal(interval).label("interval"), literal(dimension).label("dimension"))
            for segment in segments
        ]
    ).subquery("sums")


def _of_range(parts: Sequence[Part], interval: Interval, since: datetime) -> list[_Segment]:
    """Return what holds the sums of a range that is derived as a whole."""
    names = ("24h",) if interval == "hour" else ("7d", "30d", "90d")
    found = next((each for each in parts if each.interval in names and each.start == since), None)
    if found is None:
        return []
    of_today = [each for each in parts if each.interval.startswith("today-") and each.start == found.until]
    latest = max(of_today, key=lambda each: each.until, default=None) if interval == "day" else None
    derived = [found] if latest is None else [found, latest]
    segments = [_Segment(each.interval, True, each.start, each.until) for each in derived]
    return [*segments, _Segment("hour", since=derived[-1].until)]


def _span(parts: Sequence[Part], interval: str) -> tuple[datetime, datetime] | None:
    """Return from when until when hours or days are derived."""
    found = [each for each in parts if each.interval == interval]
    return (min(each.start for each in found), max(each.until for each in found)) if found else None


def _hours(parts: Sequence[Part]) -> Iterator[_Segment]:
    """Return what holds the sums by hour."""
    hours = _span(parts, "hour")
    if hours is not None:
        yield _Segment("hour", until=hours[0])
        yield _Segment("hour", True, *hours)
    yield _Segment("hour", since=hours and hours[1])


def _days(parts: Sequence[Part]) -> Iterator[_Segment]:
    """Return what holds the sums by day: those of the days after the last one that is derived come from their hours."""
    days, hours = _span(parts, "day"), _span(parts, "hour")
    end = days and days[1]
    if end is not None:
        yield _Segment("day", True, until=end)
    if hours is not None and (end is None or hours[1] > end):
        first, until = hours
        if end is None or first > end:
            yield _Segment("day", since=end, until=first)
        end = max(first, end or first)
        while end < until:
            yield _Segment("hour", True, end, min(end + _DAY, until), end)
            end += _DAY
        if until < end:
            yield _Segment("hour", False, until, end, end - _DAY)
    yield _Segment("day", since=end)


def _rows(segment: _Segment, table: Table, rows: _Rows) -> _Rows:
    start = table.c.start
    shown = start if segment.shown is None else literal(segment.shown, Instant).label("start")
    rows = rows.add_columns(shown, *[table.c[name] for name in SUMS]).where(table.c.interval == segment.interval)
    if segment.since is not None:
        rows = rows.where(start >= segment.since)
    return rows if segment.until is None else rows.where(start < segment.until)

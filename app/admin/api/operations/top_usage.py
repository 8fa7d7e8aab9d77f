"""Sums of usage for people: the largest groups first, and over time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import ColumnElement, Float, Table, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.reports import UsageRow
from app.storage.tables import usage, usage_totals
from app.wire import json

Interval = Literal["hour", "day"]
# what sums can be grouped by, and its column
GROUPS = {"team": "team_id", "key": "key_id", "model": "model", "user": "user", "label": "labels"}
_SUMS = (
    "requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "cost_nano", "estimated_nano", "unpriced_requests",
)  # fmt: skip


class TopUsage(Struct, frozen=True):
    """Which sums are wanted.

    since: the beginning of an interval. group_by: a name in GROUPS; empty for the sum of all.
    filters: columns and their values.
    """

    since: datetime
    interval: Interval
    group_by: str = ""
    filters: Mapping[str, str] = {}
    limit: int = 50
    offset: int = 0


async def top_usage(connection: AsyncConnection, wanted: TopUsage) -> list[UsageRow]:
    """Return sums of usage since a time, those with the largest cost first."""
    source = _source(wanted.group_by, wanted.filters)
    sums = source.sums()
    column = source.table.c[GROUPS[wanted.group_by]] if wanted.group_by else None
    conditions = source.conditions(wanted.since, wanted.interval, wanted.filters)
    query = select(*sums.values()).where(*conditions)
    if column is not None:
        largest = (sums["cost_nano"].desc(), column)
        # exact sums are slow, and are computed for the groups of the page only
        cost = func.sum(cast(source.table.c.cost_nano, Float)).desc()
        groups = select(column).where(*conditions).group_by(column).order_by(cost, column)
        of_page = groups.limit(wanted.limit).offset(wanted.offset).subquery()
        query = query.add_columns(column.label("group")).where(column.in_(select(of_page.c[column.name])))
        query = query.group_by(column).order_by(*largest)
    rows = [dict(row._mapping) for row in await connection.execute(query)]
    return [_row(row, wanted.since, wanted.group_by) for row in rows if row["requests"] is not None]


async def usage_over_time(
    connection: AsyncConnection, since: datetime, interval: Interval, filters: Mapping[str, str]
) -> list[UsageRow]:
    """Return sums of usage for each hour or day since a time."""
    source = _source("", filters)
    start = source.table.c.start
    query = select(start, *source.sums().values()).where(*source.conditions(since, interval, filters))
    rows = [dict(row._mapping) for row in await connection.execute(query.group_by(start).order_by(start))]
    return [_row(row, row.pop("start"), "") for row in rows]


class _Source(Struct, frozen=True):
    """The table that holds the fewest rows for a report. dimension: of `usage_totals`."""

    table: Table
    dimension: str = ""

    def sums(self) -> dict[str, ColumnElement[Any]]:
        """Return the sums, by name."""
        return {name: func.sum(self.table.c[name]).label(name) for name in _SUMS}

    def conditions(self, since: datetime, interval: Interval, filters: Mapping[str, str]) -> list[ColumnElement[bool]]:
        """Return the conditions for the rows that are wanted."""
        columns = self.table.c
        conditions = [columns.interval == interval, columns.start >= since]
        if self.dimension:
            conditions.append(columns.dimension == self.dimension)
        return conditions + [columns[name] == value for name, value in filters.items()]


def _source(group_by: str, filters: Mapping[str, str]) -> _Source:
    if group_by in ("", "team", "model") and filters.keys() <= {"team_id", "model"}:
        return _Source(usage_totals, "model")
    if group_by == "key" and filters.keys() <= {"team_id", "key_id"}:
        return _Source(usage_totals, "key")
    return _Source(usage)


def _row(row: dict[str, Any], start: datetime, group_by: str) -> UsageRow:
    group = row.pop("group", None)
    members: dict[str, Any] = {}
    if group_by:
        members[GROUPS[group_by]] = json.loads(group) if group_by == "label" else group
    sums = {name: int(value) for name, value in row.items()}
    cost, estimated = sums.pop("cost_nano"), sums.pop("estimated_nano")
    return UsageRow(start=start, **members, **sums, cost_usd=cost, estimated_usd=estimated)

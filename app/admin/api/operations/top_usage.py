"""Sums of usage for people: the largest groups first, and over time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Float, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.reports import UsageRow
from app.admin.api.operations.usage_columns import COLUMNS, Interval
from app.admin.api.operations.usage_source import UsageSource, source_for, source_of_all_values
from app.governance.ledger.usage_sums import SUMS
from app.wire import json

# of the names by which sums are grouped
_NAMES = {column: name for name, column in COLUMNS.items()}


class TopUsage(Struct, frozen=True):
    """Which sums are wanted.

    since: the beginning of an interval. group_by: a name in COLUMNS; empty for the sum of all.
    filters: values by the column of COLUMNS.
    """

    since: datetime
    interval: Interval
    group_by: str = ""
    filters: Mapping[str, str] = {}
    limit: int = 50
    offset: int = 0


async def top_usage(connection: AsyncConnection, wanted: TopUsage) -> list[UsageRow]:
    """Return sums of usage since a time, those with the largest cost first."""
    source = await _source_of(connection, wanted)
    sums = _sums(source)
    conditions = _conditions(source, wanted.since, wanted.interval, wanted.filters)
    query = select(*sums.values()).where(*conditions)
    if wanted.group_by:
        column = source.column(wanted.group_by)
        # exact sums are slow, and are computed for the groups of the page only
        cost = func.sum(cast(source.table.c.cost_nano, Float)).desc()
        groups = select(column).where(*conditions).group_by(column).order_by(cost, column)
        of_page = await connection.execute(groups.limit(wanted.limit).offset(wanted.offset))
        # listed, so that an index finds them
        query = query.add_columns(column.label("group")).where(column.in_(of_page.scalars().all()))
        query = query.group_by(column).order_by(sums["cost_nano"].desc(), column)
    rows = [dict(row._mapping) for row in await connection.execute(query)]
    return [_row(row, wanted.since, wanted.group_by) for row in rows if row["requests"] is not None]


async def usage_over_time(
    connection: AsyncConnection, since: datetime, interval: Interval, filters: Mapping[str, str]
) -> list[UsageRow]:
    """Return sums of usage for each hour or day since a time."""
    source = await source_for(connection, [_NAMES[column] for column in filters], interval)
    start = source.table.c.start
    query = select(start, *_sums(source).values()).where(*_conditions(source, since, interval, filters))
    rows = [dict(row._mapping) for row in await connection.execute(query.group_by(start).order_by(start))]
    return [_row(row, row.pop("start"), "") for row in rows]


async def _source_of(connection: AsyncConnection, wanted: TopUsage) -> UsageSource:
    names = {*([wanted.group_by] if wanted.group_by else []), *(_NAMES[column] for column in wanted.filters)}
    is_of_all_values = wanted.group_by in ("key", "user", "label") and names <= {wanted.group_by, "team"}
    if is_of_all_values and COLUMNS[wanted.group_by] not in wanted.filters:
        return await source_of_all_values(connection, wanted.group_by, wanted.interval, wanted.since)
    return await source_for(connection, names, wanted.interval, wanted.since)


def _sums(source: UsageSource) -> dict[str, ColumnElement[Any]]:
    return {name: func.sum(source.table.c[name]).label(name) for name in SUMS}


def _conditions(
    source: UsageSource, since: datetime, interval: Interval, filters: Mapping[str, str]
) -> list[ColumnElement[bool]]:
    of_filters = [source.column(_NAMES[column]) == value for column, value in filters.items()]
    return [*source.conditions(interval), source.table.c.start >= since, *of_filters]


def _row(row: dict[str, Any], start: datetime, group_by: str) -> UsageRow:
    group = row.pop("group", None)
    members: dict[str, Any] = {}
    if group_by:
        members[COLUMNS[group_by]] = json.loads(group) if group_by == "label" else group
    sums = {name: int(value) for name, value in row.items()}
    cost, estimated = sums.pop("cost_nano"), sums.pop("estimated_nano")
    return UsageRow(start=start, **members, **sums, cost_usd=cost, estimated_usd=estimated)

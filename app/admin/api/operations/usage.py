"""Sums of usage. They are read from the table `usage`, whose rows are sums of the ledger by hour and by day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Text, cast, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.pages import Page
from app.admin.api.documents.reports import UsageQuery, UsageRow
from app.admin.api.operations.paging import invalid_cursor, moment_of, read_cursor, write_cursor
from app.storage.statements import time_of_database
from app.storage.tables import usage
from app.wire import json

_SUMS = (
    "requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "reasoning_tokens", "cost_nano", "estimated_nano", "unpriced_requests",
)  # fmt: skip
# in the order of the primary key, so that a page needs no sort of everything
_COLUMNS = {"team": "team_id", "key": "key_id", "user": "user", "model": "model", "label": "labels"}
_LABEL = "label:"
# what is shown without `from`
_DEFAULT_RANGE = {"hour": timedelta(days=1), "day": timedelta(days=30), "month": timedelta(days=365)}


class _Group(Struct, frozen=True):
    """What rows are grouped by. name: `start`, or as in `group_by`. expression: of the database."""

    name: str
    expression: ColumnElement[Any]


async def usage_rows(
    connection: AsyncConnection, wanted: UsageQuery, *conditions: ColumnElement[bool]
) -> Page[UsageRow]:
    """Return sums of usage, in the order of time and groups.

    Args:
        conditions: of the rows that may be read.

    Raises:
        Invalid: the cursor is of no page.
    """
    until = wanted.until or await time_of_database(connection)
    since = wanted.since or until - _DEFAULT_RANGE[wanted.interval or "day"]
    stored = _stored_interval(wanted)
    groups = _groups(connection, wanted)
    expressions = [group.expression for group in groups]
    sums = [func.coalesce(func.sum(usage.c[name]), 0).label(f"sum_{name}") for name in _SUMS]
    is_wanted = (usage.c.interval == stored) & (usage.c.start >= _start_of(since, wanted.interval or stored))
    query = select(*[each.label(f"group_{index}") for index, each in enumerate(expressions)], *sums)
    query = query.where(is_wanted, usage.c.start < until, *_filters(wanted), *conditions)
    if wanted.cursor:
        query = query.where(_is_after(groups, read_cursor(wanted.cursor, *[str] * len(groups))))
    if groups:
        query = query.group_by(*expressions).order_by(*expressions).limit(wanted.limit + 1)
    rows = (await connection.execute(query)).all()
    found = [(row[: len(groups)], dict(zip(_SUMS, map(int, row[len(groups) :]), strict=True))) for row in rows]
    page = found[: wanted.limit]
    data = [_row(groups, values, of_group, since) for values, of_group in page]
    cursor = write_cursor([_text(value) for value in page[-1][0]]) if len(found) > wanted.limit else None
    return Page(data=data, next_cursor=cursor)


def _stored_interval(wanted: UsageQuery) -> str:
    """Return which rows are read. A sum without intervals reads days, if the time consists of whole days."""
    if wanted.interval is None:
        ends = [each for each in (wanted.since, wanted.until) if each is not None]
        is_whole = all(each == _start_of(each, "day") for each in ends)
        return "day" if is_whole else "hour"
    return "hour" if wanted.interval == "hour" else "day"


def _start_of(moment: datetime, interval: str) -> datetime:
    """Return the beginning of the interval that a time is in."""
    start = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if interval == "hour":
        return start
    return start.replace(hour=0) if interval == "day" else start.replace(hour=0, day=1)


def _groups(connection: AsyncConnection, wanted: UsageQuery) -> list[_Group]:
    is_sqlite = connection.dialect.name == "sqlite"
    groups: list[_Group] = []
    if wanted.interval == "month":
        # a text such as 2026-12
        month = func.substr(usage.c.start, 1, 7) if is_sqlite else func.to_char(usage.c.start, "YYYY-MM")
        groups.append(_Group("start", month))
    elif wanted.interval is not None:
        groups.append(_Group("start", usage.c.start))
    names = dict.fromkeys(filter(None, wanted.group_by.split(",")))
    groups += [_Group(name, usage.c[column]) for name, column in _COLUMNS.items() if name in names]
    labels = [name.removeprefix(_LABEL) for name in names if name.startswith(_LABEL)]
    return [*groups, *[_Group(f"{_LABEL}{name}", _label(name, is_sqlite=is_sqlite)) for name in labels]]


def _label(name: str, *, is_sqlite: bool) -> ColumnElement[Any]:
    value = func.json_extract(usage.c.labels, f'$."{name}"') if is_sqlite else cast(usage.c.labels, JSONB)[name].astext
    return func.coalesce(value, "")


def _filters(wanted: UsageQuery) -> list[ColumnElement[bool]]:
    filters = [
        usage.c[name] == value
        for name, value in (("team_id", wanted.team_id), ("key_id", wanted.key_id), ("model", wanted.model))
        if value
    ]
    return filters if wanted.user is None else [*filters, usage.c.user == wanted.user]


def _is_after(groups: Sequence[_Group], values: Sequence[str | int]) -> ColumnElement[bool]:
    """Return the condition for groups that come after one with these values. Raises Invalid: there are no groups."""
    if not groups:
        raise invalid_cursor()
    literals = [
        literal(moment_of(value), usage.c.start.type) if group.expression is usage.c.start else literal(value, Text)
        for group, value in zip(groups, values, strict=True)
    ]
    return tuple_(*[group.expression for group in groups]) > tuple_(*literals)


def _text(value: datetime | str) -> str:
    return value.isoformat() if isinstance(value, datetime) else value


def _row(groups: Sequence[_Group], values: Sequence[Any], sums: dict[str, int], since: datetime) -> UsageRow:
    members: dict[str, Any] = {"start": since}
    for group, value in zip(groups, values, strict=True):
        if group.name == "start":
            members["start"] = value if isinstance(value, datetime) else datetime.fromisoformat(f"{value}-01T00:00:00Z")
        elif group.name.startswith(_LABEL):
            members["labels"] = {**members.get("labels", {}), group.name.removeprefix(_LABEL): value}
        elif group.name == "label":
            members["labels"] = {**members.get("labels", {}), **json.loads(value)}
        else:
            members[_COLUMNS[group.name]] = value
    cost, estimated = sums.pop("cost_nano"), sums.pop("estimated_nano")
    return UsageRow(**members, **sums, cost_usd=cost, estimated_usd=estimated)

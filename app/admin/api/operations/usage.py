"""Sums of usage, in the order of time and groups. They are read from sums of the ledger by hour and by day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, Text, Tuple, cast, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.pages import Page
from app.admin.api.documents.reports import UsageQuery, UsageRow
from app.admin.api.operations.paging import invalid_cursor, moment_of, read_cursor, write_cursor
from app.admin.api.operations.usage_columns import COLUMNS, Interval
from app.admin.api.operations.usage_source import UsageSource, source_for
from app.governance.ledger.usage_sums import SUMS
from app.storage.statements import time_of_database
from app.wire import json

_LABEL = "label:"
_ALL: Mapping[str, str] = {}
# what is shown without `from`
_DEFAULT_RANGE = {"hour": timedelta(days=1), "day": timedelta(days=30), "month": timedelta(days=365)}


class _Group(Struct, frozen=True):
    """What rows are grouped by. name: `start`, or as in `group_by`. expression: of the database."""

    name: str
    expression: ColumnElement[Any]
    is_moment: bool = False


async def usage_rows(connection: AsyncConnection, wanted: UsageQuery, own: Mapping[str, str] = _ALL) -> Page[UsageRow]:
    """Return sums of usage, in the order of time and groups.

    Args:
        own: values by names in COLUMNS, to which the reader is restricted.

    Raises:
        Invalid: the cursor is of no page.
    """
    until = wanted.until or await time_of_database(connection)
    since = wanted.since or until - _DEFAULT_RANGE[wanted.interval or "day"]
    stored = _stored_interval(wanted)
    since = _start_of(since, wanted.interval or stored)
    filters = [*_filters(wanted), *own.items()]
    source = await source_for(connection, [*_grouped(wanted), *[name for name, _ in filters]], stored)
    start = source.table.c.start
    groups = _groups(connection, wanted, source)
    conditions = [
        *source.conditions(stored),
        start >= since,
        start < until,
        *[source.column(name) == value for name, value in filters],
    ]
    if wanted.cursor:
        after = read_cursor(wanted.cursor, *[str] * len(groups))
        if not groups:
            raise invalid_cursor()
        conditions.append(_values(groups) > _literals(groups, after))
    if not groups:
        (row,) = (await connection.execute(_summed(source, groups, conditions))).all()
        return Page(data=[_row(groups, row, since)], next_cursor=None)
    shown = (await connection.execute(_page(groups, conditions, wanted.limit + 1))).all()
    if not shown:
        return Page(data=[], next_cursor=None)
    of_page = [_text(value) for value in shown[: wanted.limit][-1]]
    # sums are slow, and are computed for the groups of the page only
    conditions.append(_values(groups) <= _literals(groups, of_page))
    rows = (await connection.execute(_summed(source, groups, conditions))).all()
    cursor = write_cursor(of_page) if len(shown) > wanted.limit else None
    return Page(data=[_row(groups, row, since) for row in rows], next_cursor=cursor)


def _page(groups: Sequence[_Group], conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any]:
    """Return the query of the groups themselves, in their order."""
    expressions = [group.expression for group in groups]
    return select(*expressions).where(*conditions).group_by(*expressions).order_by(*expressions).limit(limit)


def _summed(source: UsageSource, groups: Sequence[_Group], conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Return the query of the sums of groups, in their order."""
    expressions = [group.expression for group in groups]
    named = [expression.label(f"group_{index}") for index, expression in enumerate(expressions)]
    sums = [func.coalesce(func.sum(source.table.c[name]), 0).label(f"sum_{name}") for name in SUMS]
    query = select(*named, *sums).where(*conditions)
    return query.group_by(*expressions).order_by(*expressions) if groups else query


def _grouped(wanted: UsageQuery) -> Iterator[str]:
    """Return the names in COLUMNS by which sums are grouped."""
    for name in filter(None, wanted.group_by.split(",")):
        yield "label" if name.startswith(_LABEL) else name


def _stored_interval(wanted: UsageQuery) -> Interval:
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


def _groups(connection: AsyncConnection, wanted: UsageQuery, source: UsageSource) -> list[_Group]:
    is_sqlite, start = connection.dialect.name == "sqlite", source.table.c.start
    groups: list[_Group] = []
    if wanted.interval == "month":
        # a text such as 2026-12
        month = func.substr(start, 1, 7) if is_sqlite else func.to_char(start, "YYYY-MM")
        groups.append(_Group("start", month))
    elif wanted.interval is not None:
        groups.append(_Group("start", start, is_moment=True))
    names = dict.fromkeys(filter(None, wanted.group_by.split(",")))
    groups += [_Group(name, source.column(name)) for name in COLUMNS if name in names]
    for name in names:
        if name.startswith(_LABEL):
            label = name.removeprefix(_LABEL)
            groups.append(_Group(name, _label(source.labels(), label, is_sqlite=is_sqlite)))
    return groups


def _label(labels: ColumnElement[Any], name: str, *, is_sqlite: bool) -> ColumnElement[Any]:
    value = func.json_extract(labels, f'$."{name}"') if is_sqlite else cast(labels, JSONB)[name].astext
    return func.coalesce(value, "")


def _filters(wanted: UsageQuery) -> Iterator[tuple[str, str]]:
    named = (("team", wanted.team_id), ("key", wanted.key_id), ("model", wanted.model))
    yield from ((name, value) for name, value in named if value)
    if wanted.user is not None:
        yield "user", wanted.user


def _values(groups: Sequence[_Group]) -> Tuple:
    return tuple_(*[group.expression for group in groups])


def _literals(groups: Sequence[_Group], values: Sequence[str | int]) -> Tuple:
    return tuple_(
        *[
            literal(moment_of(value), group.expression.type) if group.is_moment else literal(value, Text)
            for group, value in zip(groups, values, strict=True)
        ]
    )


def _text(value: datetime | str) -> str:
    return value.isoformat() if isinstance(value, datetime) else value


def _row(groups: Sequence[_Group], row: Sequence[Any], since: datetime) -> UsageRow:
    members: dict[str, Any] = {"start": since}
    for group, value in zip(groups, row, strict=False):
        if group.name == "start":
            members["start"] = value if isinstance(value, datetime) else datetime.fromisoformat(f"{value}-01T00:00:00Z")
        elif group.name.startswith(_LABEL):
            members["labels"] = {**members.get("labels", {}), group.name.removeprefix(_LABEL): value}
        elif group.name == "label":
            members["labels"] = {**members.get("labels", {}), **json.loads(value)}
        else:
            members[COLUMNS[group.name]] = value
    sums = dict(zip(SUMS, map(int, row[len(groups) :]), strict=True))
    cost, estimated = sums.pop("cost_nano"), sums.pop("estimated_nano")
    return UsageRow(**members, **sums, cost_usd=cost, estimated_usd=estimated)

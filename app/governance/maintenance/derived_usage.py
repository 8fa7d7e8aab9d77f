"""Derives sums of usage by one more dimension and the model, or all models, so that reports of all values are fast.

| interval | is derived |
|---|---|
| `hour`, `day` | of `usage`, once it is over. Hours are kept for two days |
| `today-14` | of the hours of today until then, once an hour |
| `24h` | of the 23 hours before this one, once an hour |
| `7d`, `30d`, `90d` | of the 6, 29 and 89 days before today, once a day |

Entries that are posted later change the sums of `usage_totals`: they then differ from those that were noted, and the
part is derived again. Reports read what the ledger keeps of the time that is not derived yet. What they do not need any
more is kept for another hour, since one may read it now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import ColumnElement, Row, Select, Table, delete, func, insert, literal, select, text

from app.governance.ledger.usage_sums import SUMS
from app.storage.columns import Instant
from app.storage.database import AsyncConnection, Database
from app.storage.records import now
from app.storage.statements import has_turn
from app.storage.tables import derived_usage, derived_usage_parts, usage, usage_totals

# no model has this name
ALL_MODELS = "*"
DIMENSIONS = {"key": usage.c.key_id, "user": usage.c.user, "label": usage.c.labels}
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_HOURS_OF_RANGE = 24
_RANGES = {f"{days}d": days for days in (7, 30, 90)}
# the last entries of an hour are posted within that time
_POSTED = timedelta(seconds=30)
# a day of a large deployment has millions of rows
_STATEMENT_SECONDS = 600
# any number that no other program locks in the same database
_LOCK = 7_308_604_896_523_354
_NAMES = ("interval", "dimension", "model", "start", "team_id", "value", *SUMS)


class Part(Struct, frozen=True):
    """A time that is derived."""

    interval: str
    start: datetime
    until: datetime

    @property
    def identity(self) -> tuple[str, datetime]:
        """What no other part has."""
        return self.interval, self.start

    @property
    def step(self) -> str:
        """The interval of the sums that it consists of."""
        return "day" if self.interval == "day" or self.interval in _RANGES else "hour"


class _Noted(Struct, frozen=True):
    """A part that was derived, and the sums of all entries that it had."""

    part: Part
    sums: Mapping[str, int]


async def derive_usage(database: Database, moment: datetime | None = None) -> int:
    """Derive what is over, and what has changed since. Returns how many parts.

    One replica does so at a time; another one returns at once. Each part is one transaction, the earliest first.

    Args:
        moment: now, by this machine's clock.

    Raises:
        DatabaseDown: the database cannot be reached.
    """
    until = (moment or now()).astimezone(UTC) - _POSTED
    async with database.begin() as connection:
        if not await has_turn(connection, _LOCK):
            return 0
        due = await _due(connection, until)
    for count, part in enumerate(due):
        async with database.begin() as connection:
            if not await has_turn(connection, _LOCK):
                return count
            if not database.is_sqlite:
                await connection.execute(text(f"set local statement_timeout = '{_STATEMENT_SECONDS}s'"))
            await _derive(connection, part)
    return len(due)


async def _due(connection: AsyncConnection, until: datetime) -> list[Part]:
    """Return what has to be derived, in this order. Forgets what is not needed any more."""
    query = select(func.min(usage.c.start)).where(usage.c.interval == "day")
    first = (await connection.execute(query)).scalar_one()
    if first is None:
        return []
    wanted = [*_wanted(first, until)]
    noted = {each.part.identity: each for each in await _noted(connection)}
    needed = {part.identity for part in wanted}
    for each in noted.values():
        is_old = each.part.until < until - 2 * _HOUR and each.part.interval != "day"
        if is_old and each.part.identity not in needed:
            await _forget(connection, each.part)
    today = _day(until)
    totals = {
        "day": await _totals(connection, "day", today - max(_RANGES.values()) * _DAY),
        "hour": await _totals(connection, "hour", today - _DAY),
    }
    return [part for part in wanted if not _is_current(part, noted.get(part.identity), totals[part.step], today)]


def _wanted(first: datetime, until: datetime) -> Iterator[Part]:
    today, hour = _day(until), until.replace(minute=0, second=0, microsecond=0)
    for start in _steps(first, today, _DAY):
        yield Part("day", start, start + _DAY)
    for start in _steps(max(first, today - _DAY), hour, _HOUR):
        yield Part("hour", start, start + _HOUR)
    if hour > today:
        yield Part(f"today-{hour.hour:02}", today, hour)
    yield Part(f"{_HOURS_OF_RANGE}h", hour - (_HOURS_OF_RANGE - 1) * _HOUR, hour)
    for name, days in _RANGES.items():
        yield Part(name, today - (days - 1) * _DAY, today)


def _steps(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    while start < end:
        yield start
        start += step


async def _noted(connection: AsyncConnection) -> list[_Noted]:
    rows = await connection.execute(select(derived_usage_parts))
    return [_Noted(Part(row.interval, row.start, row.until), _sums_in(row)) for row in rows]


async def _totals(connection: AsyncConnection, interval: str, since: datetime) -> dict[datetime, dict[str, int]]:
    """Return the sums of all entries, by hour or by day."""
    start = usage_totals.c.start
    conditions = [usage_totals.c.interval == interval, usage_totals.c.dimension == "model", start >= since]
    sums = [func.sum(usage_totals.c[name]).label(name) for name in SUMS]
    found = await connection.execute(select(start, *sums).where(*conditions).group_by(start))
    return {row.start: _sums_in(row) for row in found}


def _is_current(
    part: Part, noted: _Noted | None, totals: Mapping[datetime, Mapping[str, int]], today: datetime
) -> bool:
    """Return whether a part was derived of all entries. Those of a day long ago are not compared."""
    if noted is None or noted.part != part:
        return False
    if part.start < today - max(_RANGES.values()) * _DAY:
        return True
    return noted.sums == _added(sums for start, sums in totals.items() if part.start <= start < part.until)


def _added(several: Iterable[Mapping[str, int]]) -> dict[str, int]:
    added = dict.fromkeys(SUMS, 0)
    for sums in several:
        for name in SUMS:
            added[name] += sums[name]
    return added


async def _derive(connection: AsyncConnection, part: Part) -> None:
    # read before the rows: an entry that is posted meanwhile makes the part differ, and never goes unnoticed
    if part.interval == part.step:
        totals = await _totals(connection, part.interval, part.start)
        sums = totals.get(part.start, dict.fromkeys(SUMS, 0))
    else:
        parts = [each for each in await _noted(connection) if each.part.interval == part.step]
        sums = _added(each.sums for each in parts if part.start <= each.part.start < part.until)
    await _forget(connection, part)
    if part.interval == part.step:
        await _derive_of_usage(connection, part)
    else:
        await _derive_of_parts(connection, part)
    await connection.execute(insert(derived_usage_parts).values(**structs.asdict(part), **sums))


async def _derive_of_usage(connection: AsyncConnection, part: Part) -> None:
    is_of_part = usage.c.interval == part.interval, usage.c.start == part.start
    for dimension, column in DIMENSIONS.items():
        groups: tuple[ColumnElement[Any], ...] = usage.c.model, usage.c.start, usage.c.team_id, column
        rows = select(literal(part.interval), literal(dimension), *groups, *_sums(usage)).where(*is_of_part)
        # in the order in which reports read them
        await _insert(connection, rows.group_by(*groups).order_by(*groups))
    table = derived_usage.c
    groups = table.dimension, table.start, table.team_id, table.value
    rows = select(
        literal(part.interval), table.dimension, literal(ALL_MODELS), *groups[1:], *_sums(derived_usage)
    ).where(table.interval == part.interval, *_by_index(part, await _models(connection, part)))
    await _insert(connection, rows.group_by(*groups).order_by(*groups))


async def _derive_of_parts(connection: AsyncConnection, part: Part) -> None:
    table = derived_usage.c
    groups = table.dimension, table.model, table.team_id, table.value
    rows = select(
        literal(part.interval), table.dimension, table.model, literal(part.start, Instant), *groups[2:],
        *_sums(derived_usage),
    ).where(table.interval == part.step, table.start >= part.start, table.start < part.until)  # fmt: skip
    await _insert(connection, rows.group_by(*groups).order_by(*groups))


def _sums(table: Table) -> list[ColumnElement[int]]:
    return [func.sum(table.c[name]) for name in SUMS]


async def _insert(connection: AsyncConnection, rows: Select[Any]) -> None:
    await connection.execute(insert(derived_usage).from_select(_NAMES, rows))


async def _forget(connection: AsyncConnection, part: Part) -> None:
    """Delete what was derived before."""
    table = derived_usage_parts
    await connection.execute(delete(table).where(table.c.interval == part.interval, table.c.start == part.start))
    is_of_part = [derived_usage.c.interval == part.interval, derived_usage.c.start == part.start]
    if part.interval == part.step:
        is_of_part += _by_index(part, {ALL_MODELS, *await _models(connection, part)})
    await connection.execute(delete(derived_usage).where(*is_of_part))


def _by_index(part: Part, models: Iterable[str]) -> list[ColumnElement[bool]]:
    """Return the conditions that find the rows of a part by the first columns of the index."""
    table = derived_usage.c
    return [table.dimension.in_(DIMENSIONS), table.model.in_(models), table.start == part.start]


async def _models(connection: AsyncConnection, part: Part) -> set[str]:
    totals = usage_totals.c
    is_of_part = totals.interval == part.interval, totals.dimension == "model", totals.start == part.start
    found = await connection.execute(select(totals.value).distinct().where(*is_of_part))
    return {*found.scalars()}


def _sums_in(row: Row[Any]) -> dict[str, int]:
    return {name: int(getattr(row, name)) for name in SUMS}


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)

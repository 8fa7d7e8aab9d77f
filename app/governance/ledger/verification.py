"""Compares the ledger with what is derived from it: the sums of usage, and what balances have settled.

Replicas go on posting meanwhile. Everything is read from one snapshot, and a correction adds the difference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import Table, delete, func, select, text

from app.governance.ledger.entry import Entry
from app.governance.ledger.usage_sums import GROUP, SUMS, TOTAL, Group, add_entry, add_rows, totals_of
from app.storage.bounded import rows_of
from app.storage.database import AsyncConnection, Database
from app.storage.tables import balances, budgets, derived_usage_parts, leases, ledger, usage, usage_totals

_DAY = timedelta(days=1)
_TABLES: tuple[tuple[Table, tuple[str, ...]], ...] = ((usage, GROUP), (usage_totals, TOTAL))
# any number that no other program locks in the same database
_LOCK = 7_308_604_896_523_353


class UsageDifference(Struct, frozen=True):
    """A row of `usage` or `usage_totals` that is not what the ledger adds up to.

    missing: ledger minus row, where it is not 0.
    """

    table: str
    group: Mapping[str, Any]
    missing: Mapping[str, int]


class BalanceDifference(Struct, frozen=True):
    """A balance that has not settled what the ledger charged to it, in nano-dollars."""

    key: str
    settled: int
    charged: int


class Verification(Struct, frozen=True):
    """What was compared and what differs. since: the first day; None if the ledger is empty."""

    since: datetime | None
    days: int = 0
    entries: int = 0
    usage: list[UsageDifference] = []
    balances: list[BalanceDifference] = []

    @property
    def differs(self) -> bool:
        """True if anything differs."""
        return bool(self.usage or self.balances)


async def verify(database: Database, since: datetime) -> Verification:
    """Compare the ledger with the rows of `usage`, and with the balances of windows that began since then.

    Args:
        since: the first day. Days whose entries were deleted are left out.

    Raises:
        DatabaseDown: the database cannot be reached.
    """
    async with _snapshot(database) as connection:
        first, last = await _days(connection, since)
        if first is None or last is None:
            return Verification(None)
        charged: dict[str, int] = {}
        differences: list[UsageDifference] = []
        days = entries = 0
        day = first
        while day <= last:
            sums: dict[Group, dict[str, int]] = {}
            async for entry in _entries(connection, day):
                entries += 1
                add_entry(sums, entry)
                for key, amount in entry.charged_to.items():
                    charged[key] = charged.get(key, 0) + amount
            differences += await _usage_differences(connection, day, sums)
            day, days = day + _DAY, days + 1
        wrong = await _balance_differences(connection, charged, first, is_whole=await _is_whole(connection, first))
        return Verification(first, days, entries, differences, wrong)


async def rebuild_usage(database: Database, day: datetime) -> int:
    """Add to the rows of `usage` of a day what they lack of the ledger. Returns how many rows were wrong.

    Raises:
        DatabaseDown: the database cannot be reached, or another process rebuilds now.
    """
    async with database.begin() as writing:
        if database.is_sqlite:
            # nobody else writes before the end of this transaction
            differences = await _differences_of(writing, day)
        else:
            await writing.execute(text("set local idle_in_transaction_session_timeout = 0"))
            await writing.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            async with _snapshot(database) as reading:
                differences = await _differences_of(reading, day)
        for table, names in _TABLES:
            of_table = [each for each in differences if each.table == table.name]
            missing = {
                tuple(each.group[name] for name in names): dict.fromkeys(SUMS, 0) | {**each.missing}
                for each in of_table
            }
            if missing:
                await add_rows(writing, table, names, missing)
        if differences:
            # what is derived of these rows is then derived again
            start = derived_usage_parts.c.start
            await writing.execute(delete(derived_usage_parts).where(start >= day, start < day + _DAY))
        return len(differences)


async def _differences_of(connection: AsyncConnection, day: datetime) -> list[UsageDifference]:
    first, _ = await _days(connection, day)
    if first is None or first > day:
        return []
    sums: dict[Group, dict[str, int]] = {}
    async for entry in _entries(connection, day):
        add_entry(sums, entry)
    return await _usage_differences(connection, day, sums)


@asynccontextmanager
async def _snapshot(database: Database) -> AsyncIterator[AsyncConnection]:
    async with database.begin(reads=True) as connection:
        if not database.is_sqlite:
            await connection.execute(text("set transaction isolation level repeatable read read only"))
            await connection.execute(text("set local idle_in_transaction_session_timeout = 0"))
        yield connection


async def _days(connection: AsyncConnection, since: datetime) -> tuple[datetime | None, datetime | None]:
    """Return the first day since then of which no entry was deleted, and the last day with entries."""
    oldest, newest = (await connection.execute(select(func.min(ledger.c.at), func.max(ledger.c.at)))).one()
    if oldest is None:
        return None, None
    first = max(_day(since), _day(oldest))
    if first == _day(oldest) and await _was_shortened(connection, oldest):
        first += _DAY
    return first, _day(newest)


async def _was_shortened(connection: AsyncConnection, oldest: datetime) -> bool:
    """Return whether entries of a day were deleted: there are sums of an earlier hour than that of the oldest one."""
    hour = oldest.replace(minute=0, second=0, microsecond=0)
    is_earlier = (usage.c.start >= _day(oldest)) & (usage.c.start < hour) & (usage.c.interval == "hour")
    query = select(usage.c.start).where(is_earlier, usage.c.requests > 0).limit(1)
    return (await connection.execute(query)).first() is not None


async def _is_whole(connection: AsyncConnection, first: datetime) -> bool:
    """Return whether the ledger has nothing before a day, and nothing was deleted."""
    before = select(usage.c.start).where(usage.c.start < first, usage.c.requests > 0).limit(1)
    return (await connection.execute(before)).first() is None


async def _entries(connection: AsyncConnection, day: datetime) -> AsyncIterator[Entry]:
    is_of_day = (ledger.c.at >= day) & (ledger.c.at < day + _DAY) & (ledger.c.phase != "hold")
    async for row in rows_of(connection, select(ledger).where(is_of_day)):
        yield Entry(**row._mapping)


async def _usage_differences(
    connection: AsyncConnection, day: datetime, sums: Mapping[Group, Mapping[str, int]]
) -> list[UsageDifference]:
    """Compare the rows of a day in both tables."""
    differences = []
    for table, names in _TABLES:
        wanted = dict(sums) if table is usage else dict(totals_of(sums))
        query = select(table).where(table.c.start >= day, table.c.start < day + _DAY)
        async for row in rows_of(connection, query):
            stored = row._mapping
            right = wanted.pop(tuple(stored[name] for name in names), {})
            missing = {name: right.get(name, 0) - stored[name] for name in SUMS if right.get(name, 0) != stored[name]}
            if missing:
                differences.append(UsageDifference(table.name, {name: stored[name] for name in names}, missing))
        for group, lost in wanted.items():
            counts = {name: count for name, count in lost.items() if count}
            if counts:
                differences.append(UsageDifference(table.name, dict(zip(names, group, strict=True)), counts))
    return differences


async def _balance_differences(
    connection: AsyncConnection, charged: Mapping[str, int], first: datetime, *, is_whole: bool
) -> list[BalanceDifference]:
    """Compare balances whose window began on the first day or later."""
    of_lost = (
        select(func.coalesce(func.sum(leases.c.amount), 0))
        .where(leases.c.balance_key == balances.c.key, leases.c.is_charged)
        .correlate(balances)
        .scalar_subquery()
    )
    columns = balances.c.key, balances.c.settled, of_lost.label("of_lost"), budgets.c.period, budgets.c.created_at
    query = select(*columns).join(budgets, budgets.c.id == balances.c.source_id).where(balances.c.kind == "budget")
    differences = []
    async for row in rows_of(connection, query):
        begin = _begin(row.period, row.key.rpartition("/")[2])
        if begin < first and not is_whole:
            continue
        wanted = charged.get(row.key, 0) + int(row.of_lost)
        if row.settled != wanted:
            differences.append(BalanceDifference(row.key, row.settled, wanted))
    return differences


def _begin(period: str, window: str) -> datetime:
    """Return when a window began; for one without an end, the beginning of time."""
    match period:
        case "day":
            return datetime.strptime(window, "%Y-%m-%d").replace(tzinfo=UTC)
        case "week":
            return datetime.strptime(f"{window}-1", "%G-W%V-%u").replace(tzinfo=UTC)
        case "month":
            return datetime.strptime(window, "%Y-%m").replace(tzinfo=UTC)
        case _:
            return datetime.min.replace(tzinfo=UTC)


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

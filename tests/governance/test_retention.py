"""Which rows are deleted, and which are kept, on both kinds of databases."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, func, insert, select

from app.governance.leases.client import LeaseClient
from app.governance.leases.lease_book import LeaseBook
from app.governance.leases.store import BalanceRef
from app.governance.ledger.entry import Entry
from app.governance.ledger.posting import post_for_ended, take_leases
from app.governance.maintenance.retention import delete_old_rows
from app.governance.maintenance.upkeep import Upkeep
from app.storage import tables
from app.storage.database import Database
from app.storage.records import Budget, Key, KeySecret, Limit, Team
from app.storage.repository import budgets, key_secrets, keys, limits, teams

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
EMPTY = {"settled": 5, "leased": 0, "refilled_at_ns": 0, "recalled_at_us": 0}


async def add(database: Database, table: Table, *rows: Mapping[str, Any]) -> None:
    async with database.begin() as connection:
        await connection.execute(insert(table), [dict(row) for row in rows])


async def names(database: Database, table: Table) -> set[str]:
    """The first column of the rows."""
    async with database.begin(reads=True) as connection:
        return set((await connection.execute(select(table.primary_key.columns[0]))).scalars())


def entry(attempt: str, at: datetime, **changes: Any) -> dict[str, Any]:
    given = Entry(attempt_id=attempt, phase="settle", at=at, replica_id="r", cost_nano=1)
    return {name: getattr(given, name) for name in given.__struct_fields__} | changes


async def add_budget(database: Database, period: Any, name: str) -> Budget:
    budget = Budget(id=name, scope="team", scope_id="t", period=period, amount_nano=100, per="user")
    async with database.begin() as connection:
        await budgets.add(connection, budget)
    return budget


async def test_entries_are_deleted_by_whole_days_and_in_batches(database: Database) -> None:
    oldest_day = datetime(2026, 10, 2, tzinfo=UTC)
    old = [entry(f"old{number}", oldest_day - timedelta(microseconds=1 + number)) for number in range(25)]
    kept = [entry("first of the day", oldest_day), entry("new", NOW)]
    await add(database, tables.ledger, *old, *kept)
    assert await delete_old_rows(database, 60, NOW, batch=10) == {"ledger": 25}
    assert await names(database, tables.ledger) == {"first of the day", "new"}
    assert await delete_old_rows(database, 60, NOW) == {}


async def test_a_machine_whose_clock_is_ahead_deletes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would delete the ledger of all, and what the budgets of this month have spent."""
    moment = datetime.now(UTC)
    budget = await add_budget(database, "month", "month")
    spent = {"key": f"budget/{budget.id}/{moment:%Y-%m}", "kind": "budget", "source_id": budget.id, **EMPTY}
    await add(database, tables.balances, spent)
    await add(database, tables.ledger, entry("new", moment))
    monkeypatch.setattr("app.governance.maintenance.retention.now", lambda: moment + timedelta(days=1000))
    assert await delete_old_rows(database, 400) == {}


async def test_balances_of_ended_windows_are_deleted_40_days_later(database: Database) -> None:
    for period in ("day", "week", "month", "total"):
        await add_budget(database, period, period)
    late = {
        "budget/day/2026-10-21", "budget/day/ann/2026-10-21", "budget/week/2026-W42", "budget/week/2025-W53",
        "budget/month/2026-09", "budget/month/2025-12",
    }  # fmt: skip
    kept = {
        "budget/day/2026-10-22", "budget/day/ann/2026-12-01", "budget/week/2026-W43", "budget/month/2026-10",
        "budget/total/total", "budget/total/ann/total", "budget/total/2020-01-01/total",
    }  # fmt: skip
    rows = [{"key": key, "kind": "budget", "source_id": key.split("/")[1], **EMPTY} for key in (late | kept)]
    await add(database, tables.balances, *rows)
    assert await delete_old_rows(database, 400, NOW) == {"balances": len(late)}
    assert await names(database, tables.balances) == kept


async def test_balances_without_their_budget_or_limit_are_deleted(database: Database) -> None:
    limit = Limit(id="l", scope="team", scope_id="t", kind="requests_per_minute", capacity=5)
    async with database.begin() as connection:
        await limits.add(connection, limit)
    keys_of = {"budget/gone/total": "budget", "rate/gone": "rate", "permits/gone/ann": "permits"}
    kept = {"rate/l": "rate"}
    rows = [
        {"key": key, "kind": kind, "source_id": key.split("/")[1], **EMPTY} for key, kind in (keys_of | kept).items()
    ]
    await add(database, tables.balances, *rows)
    assert await delete_old_rows(database, 400, NOW) == {"balances": 3}
    assert await names(database, tables.balances) == set(kept)


async def test_balances_of_end_users_are_deleted_when_they_are_full(database: Database) -> None:
    async with database.begin() as connection:
        await limits.add(
            connection,
            Limit(id="l", scope="team", scope_id="t", per="user", kind="requests_per_minute", capacity=5),
        )
    now_ns = int(NOW.timestamp()) * 10**9

    def row(key: str, **changes: int) -> dict[str, Any]:
        return {"key": key, "kind": key.split("/", maxsplit=1)[0], "source_id": "l", **EMPTY, "settled": 0, **changes}

    full = [row("rate/l/ann", refilled_at_ns=now_ns - 2 * 3_600_000_000_000), row("permits/l/ann")]
    in_use = [row("rate/l/bob", refilled_at_ns=now_ns + 10), row("rate/l/cy", leased=1), row("permits/l/cy", leased=1)]
    await add(database, tables.balances, *full, *in_use)
    assert await delete_old_rows(database, 400, NOW) == {"balances": 2}
    assert await names(database, tables.balances) == {row_["key"] for row_ in in_use}


async def test_a_lost_replica_s_charged_lease_goes_with_its_window_and_its_late_entry_is_posted_all_the_same(
    database: Database,
) -> None:
    await add_budget(database, "month", "b")
    key = "budget/b/2026-09"
    await add(database, tables.balances, {"key": key, "kind": "budget", "source_id": "b", **EMPTY, "settled": 70})
    times = {"host": "h", "version": "1", "sequence": 0, "started_at_us": 0, "expires_at_us": 0}
    await add(
        database,
        tables.replicas,
        {"id": "lost", "state": "lost", **times},
        {"id": "closed", "state": "closed", **times},
        {"id": "live", "state": "live", **times},
    )
    await add(database, tables.leases, {"replica_id": "lost", "balance_key": key, "amount": 70, "is_charged": True})
    assert await delete_old_rows(database, 400, NOW) == {"leases": 1, "balances": 1, "replicas": 2}
    assert await names(database, tables.replicas) == {"live"}
    late = Entry(attempt_id="late", phase="settle", replica_id="lost", cost_nano=7)
    await post_for_ended(database, "lost", [late])
    assert await names(database, tables.ledger) == {"late"}


async def test_a_lease_that_is_held_keeps_its_balance(database: Database) -> None:
    await add_budget(database, "day", "b")
    ref = BalanceRef("budget/b/2026-01-01", "budget", "b")
    client = LeaseClient(database, take_leases)
    await client.start()
    try:
        assert isinstance(await client.acquire({ref.key: 10}, {ref.key: ref}), LeaseBook)
        assert await delete_old_rows(database, 400, NOW) == {}
    finally:
        await client.close()
    # what was held when it closed is returned
    assert await delete_old_rows(database, 400, NOW) == {"balances": 1}


async def test_rotated_secrets_and_answers_to_repeated_requests_are_deleted(database: Database) -> None:
    async with database.begin() as connection:
        await teams.add(connection, Team(id="t", name="t"))
        await keys.add(connection, Key(id="k", name="k", team_id="t"))
        for name, expires in (("old", NOW - 41 * DAY), ("rotated", NOW - DAY), ("current", None)):
            await key_secrets.add(connection, KeySecret(id=name, key_id="k", hash=name.encode(), expires_at=expires))
    answer = {"actor": "a", "request_hash": b"", "status": 200, "answer": b""}
    await add(
        database,
        tables.idempotency_keys,
        {"key": "old", "created_at": NOW - 3 * DAY, **answer},
        {"key": "new", "created_at": NOW - DAY, **answer},
    )
    old_us, new_us = (int((NOW - days * DAY).timestamp() * 1e6) for days in (41, 39))
    await add(
        database,
        tables.key_changes,
        {"name": "key/old", "changed_at_us": old_us},
        {"name": "key/new", "changed_at_us": new_us},
    )
    assert await delete_old_rows(database, 400, NOW) == {"key_secrets": 1, "key_changes": 1, "idempotency_keys": 1}
    assert await names(database, tables.key_secrets) == {"rotated", "current"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_one_replica_deletes_at_a_time(database: Database) -> None:
    await add(database, tables.ledger, *[entry(f"a{number}", NOW - 500 * DAY) for number in range(40)])
    results = await asyncio.gather(*[delete_old_rows(database, 400, NOW, batch=1) for _ in range(4)])
    assert sum(each.get("ledger", 0) for each in results) == 40


async def test_a_process_deletes_by_itself(database: Database) -> None:
    await add(database, tables.ledger, entry("old", datetime(2020, 1, 1, tzinfo=UTC)))
    upkeep = Upkeep(database, 400, first=0.01)
    upkeep.start()
    try:
        async with asyncio.timeout(30):
            while await names(database, tables.ledger):
                await asyncio.sleep(0.02)
    finally:
        await upkeep.close()
    async with database.begin(reads=True) as connection:
        assert (await connection.execute(select(func.count()).select_from(tables.ledger))).scalar_one() == 0

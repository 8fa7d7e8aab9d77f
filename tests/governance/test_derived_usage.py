"""Sums of usage that are derived: once their time is over, and again if entries come late."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs
from sqlalchemy import select, text

from app.admin.api.operations.top_usage import TopUsage, top_usage
from app.governance.ledger.entry import Entry
from app.governance.ledger.usage_sums import add_to_usage, kinds_of, sums_of
from app.governance.ledger.verification import rebuild_usage
from app.governance.maintenance import derived_usage as maintenance
from app.governance.maintenance.derived_usage import derive_usage
from app.governance.maintenance.upkeep import Upkeep
from app.storage.database import AsyncConnection, Database
from app.storage.migrating import run_migrations
from app.storage.records import now
from app.storage.schema import prepare_schema
from app.storage.tables import derived_usage, derived_usage_parts, ledger, usage

DAY = datetime(2026, 11, 3, tzinfo=UTC)


def entry(hours: float, number: int = 0, **changes: object) -> Entry:
    """Return an entry of 1 request, whose cost tells which it is."""
    usual = {"attempt_id": f"{hours}-{number}", "phase": "settle", "replica_id": "r", "request_id": "q", "team_id": "t"}
    texts = {"key_id": "k", "user": "ann", "labels": {"env": "dev"}, "model_served": "m", "cost_nano": 10**number}
    return Entry(**{**usual, **texts, "at": DAY + timedelta(hours=hours), **changes})


async def post(database: Database, *entries: Entry) -> None:
    async with database.begin() as connection:
        await add_to_usage(connection, sums_of(kinds_of(entries)))


async def derived(database: Database) -> list[tuple[str, datetime]]:
    async with database.begin(reads=True) as connection:
        rows = await connection.execute(select(derived_usage_parts.c.interval, derived_usage_parts.c.start))
        return sorted((row.interval, row.start) for row in rows)


async def stored(
    database: Database, interval: str, dimension: str = "key", model: str = "m"
) -> dict[tuple[str, datetime], int]:
    """Return the costs by value and start."""
    table = derived_usage.c
    async with database.begin(reads=True) as connection:
        query = select(derived_usage).where(table.interval == interval, table.dimension == dimension)
        query = query.where(table.model == model)
        return {(row.value, row.start): row.cost_nano for row in await connection.execute(query)}


async def cost_of_keys(database: Database, since: datetime = DAY, model: str = "m") -> dict[str, int]:
    async with database.begin(reads=True) as connection:
        rows = await top_usage(connection, TopUsage(since, "day", "key", {"model": model}))
        return {str(row.key_id): row.cost_usd for row in rows}


async def test_what_is_over_is_derived_once(database: Database) -> None:
    await post(database, entry(1, 0), entry(1.5, 1), entry(2, 2, key_id="other"), entry(26, 3))
    # a day and 25 hours, those of today together, and four ranges
    assert await derive_usage(database, DAY + timedelta(hours=26)) == 1 + 25 + 1 + 4
    assert await derive_usage(database, DAY + timedelta(hours=26)) == 0
    hour = timedelta(hours=1)
    assert await stored(database, "day") == {("k", DAY): 11, ("other", DAY): 100}
    assert await stored(database, "day", model="*") == {("k", DAY): 11, ("other", DAY): 100}
    assert await stored(database, "hour") == {("k", DAY + hour): 11, ("other", DAY + 2 * hour): 100}
    assert await stored(database, "day", "user") == {("ann", DAY): 111}
    assert await stored(database, "day", "label") == {('{"env":"dev"}', DAY): 111}
    assert await stored(database, "7d") == {("k", DAY - timedelta(days=5)): 11, ("other", DAY - timedelta(days=5)): 100}
    # an hour is over half a minute after its end
    assert await derive_usage(database, DAY + timedelta(hours=27, seconds=20)) == 3
    assert await derive_usage(database, DAY + timedelta(hours=27, seconds=40)) == 3
    assert await stored(database, "today-03") == {("k", DAY + timedelta(days=1)): 1000}
    assert await cost_of_keys(database) == {"k": 1011, "other": 100}


async def test_what_is_posted_late_is_derived_again(database: Database) -> None:
    await post(database, entry(1, 0), entry(30, 1))
    moment = DAY + timedelta(hours=40)
    await derive_usage(database, moment)
    await post(database, entry(1, 2, key_id="late"), entry(30, 3, model_served="another"))
    # an hour and a day, an hour of the day that is not over, the hours of that day together, and four ranges
    assert await derive_usage(database, moment) == 2 + 1 + 1 + 4
    assert await cost_of_keys(database) == {"k": 11, "late": 100}
    assert await cost_of_keys(database, model="another") == {"k": 1000}
    assert await derive_usage(database, moment) == 0


@pytest.mark.parametrize("hours", [0.1, 5.1, 23.9])
async def test_ranges_are_read_as_a_whole(database: Database, hours: float) -> None:
    today = DAY + timedelta(days=6)
    made = [
        entry(number / 2, number % 7, key_id=f"k{number % 3}", user=f"u{number % 2}", model_served=f"m{number % 5 % 2}")
        for number in range(2 * (6 * 24 + int(hours)) + 2)
    ]
    # of the hour that is not over
    live = [entry(6 * 24 + hours - 0.05, 8, key_id="k0"), entry(6 * 24 + hours - 0.05, 9, key_id="new")]
    await post(database, *made)
    await derive_usage(database, today + timedelta(hours=hours))
    await post(database, *live)
    since = {"day": DAY, "hour": today + timedelta(hours=int(hours) - 23)}
    async with database.begin() as connection:
        # these are not read
        for interval in ("day", "hour"):
            changed = derived_usage.update().where(derived_usage.c.interval == interval)
            await connection.execute(changed.values(cost_nano=0))
        for interval, start in since.items():
            for group, member in {"key": "key_id", "user": "user", "label": "labels"}.items():
                for model in ("", "m1", "m"):
                    filters = {"model": model} if model else {}
                    rows = await top_usage(connection, TopUsage(start, interval, group, filters))  # type: ignore[arg-type]
                    expected: dict[str, int] = {}
                    for each in [*made, *live]:
                        if each.at >= start and model in ("", each.model_served):
                            value = str(getattr(each, member))
                            expected[value] = expected.get(value, 0) + (each.cost_nano or 0)
                    found = {str(getattr(row, member)): row.cost_usd for row in rows}
                    assert found == expected, (interval, group, model)


async def test_what_a_report_may_read_now_is_kept_for_an_hour(database: Database) -> None:
    await post(database, entry(1), entry(25))
    for hours in (26, 27, 28, 29):
        await derive_usage(database, DAY + timedelta(hours=hours, minutes=5))
    assert [interval for interval, _ in await derived(database) if interval.startswith("today")] == [
        "today-04",
        "today-05",
    ]


async def test_entries_of_a_day_before_all_others_are_derived(database: Database) -> None:
    await post(database, entry(1, 0))
    await derive_usage(database, DAY + timedelta(days=1, minutes=5))
    await post(database, entry(-50, 1))
    assert await derive_usage(database, DAY + timedelta(days=1, minutes=5)) > 0
    assert await cost_of_keys(database, DAY - timedelta(days=3)) == {"k": 11}


async def test_hours_are_kept_for_two_days(database: Database) -> None:
    await post(database, *[entry(hours) for hours in (1, 25, 49)])
    for hours in (26, 50, 73):
        await derive_usage(database, DAY + timedelta(hours=hours, minutes=5))
    assert {start for _, start in await stored(database, "hour")} == {DAY + timedelta(hours=each) for each in (49,)}
    assert len(await stored(database, "day")) == 3
    assert await cost_of_keys(database) == {"k": 3}


async def test_after_a_pause_of_days_all_of_them_are_derived(database: Database) -> None:
    await post(database, *[entry(hours) for hours in (1, 5, 30, 60, 110, 120)])
    await derive_usage(database, DAY + timedelta(hours=4))
    assert await cost_of_keys(database) == {"k": 6}
    await derive_usage(database, DAY + timedelta(hours=115))
    assert [start for interval, start in await derived(database) if interval == "day"] == [
        DAY + timedelta(days=number) for number in range(4)
    ]
    assert await cost_of_keys(database) == {"k": 6}


async def test_a_task_that_ends_halfway_goes_on_where_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports are right meanwhile."""
    await post(database, *[entry(hours) for hours in range(0, 100, 7)])
    derive = maintenance._derive
    left = 0

    async def derive_some(connection: AsyncConnection, part: maintenance.Part) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("the process ends")
        await derive(connection, part)

    monkeypatch.setattr(maintenance, "_derive", derive_some)
    # 4 days, and 27 hours of the last two
    for count in (2, 9, 9):
        left = count
        with pytest.raises(RuntimeError):
            await derive_usage(database, DAY + timedelta(hours=99, minutes=5))
        assert await cost_of_keys(database) == {"k": 15}
    left = 100
    assert await derive_usage(database, DAY + timedelta(hours=99, minutes=5)) == 4 + 27 + 1 + 4 - 20
    assert await cost_of_keys(database) == {"k": 15}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_one_replica_derives_at_a_time(database: Database) -> None:
    await post(database, entry(1))
    async with database.begin() as other:
        await other.execute(text("select pg_advisory_xact_lock(:key)"), {"key": maintenance._LOCK})
        assert await derive_usage(database, DAY + timedelta(hours=5)) == 0
    assert await derive_usage(database, DAY + timedelta(hours=5)) > 0


async def test_what_is_derived_of_wrong_rows_is_derived_again_once_they_are_right(database: Database) -> None:
    made = entry(1, 1)
    async with database.begin() as connection:
        await connection.execute(ledger.insert().values(structs.asdict(made)))
    await post(database, made)
    async with database.begin() as connection:
        await connection.execute(usage.update().values(cost_nano=7))
    await derive_usage(database, DAY + timedelta(days=2))
    assert await cost_of_keys(database) == {"k": 7}
    assert await rebuild_usage(database, DAY) > 0
    assert await derive_usage(database, DAY + timedelta(days=2)) > 0
    assert await cost_of_keys(database) == {"k": 10}


async def test_a_database_of_the_revision_before_is_migrated_and_derived(empty_database: Database) -> None:
    async with empty_database.begin() as connection:
        await connection.run_sync(run_migrations, None, "0001")
    await post(empty_database, entry(1, 0), entry(30, 1))
    assert await prepare_schema(empty_database, migrate=True) == "migrated"
    assert await cost_of_keys(empty_database) == {"k": 11}
    assert await derive_usage(empty_database, DAY + timedelta(hours=40)) > 0
    assert await stored(empty_database, "day") == {("k", DAY): 1}
    assert await cost_of_keys(empty_database) == {"k": 11}


async def test_upkeep_derives_them(database: Database) -> None:
    await post(database, entry(0, at=now() - timedelta(days=1)))
    upkeep = Upkeep(database, 400, first=0.01)
    upkeep.start()
    try:
        async with asyncio.timeout(20):
            while not await stored(database, "day"):
                await asyncio.sleep(0.02)
    finally:
        await upkeep.close()

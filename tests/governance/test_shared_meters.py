"""A quota that replicas share by leases, over real databases."""

import asyncio
import time

import pytest
from sqlalchemy import delete

from app.converse.usage import Usage
from app.errors import QuotaBusy
from app.governance.leases.client import LeaseClient
from app.governance.ledger.posting import take_leases
from app.governance.quotas.arithmetic import Arithmetic
from app.governance.quotas.fair_queue import Flow
from app.governance.quotas.meters import LocalMeters, Meter, MetersHold, Need
from app.governance.quotas.pool import QuotaPool
from app.governance.quotas.reservation import QuotaCall, Reservation
from app.governance.quotas.shared_meters import SharedMeters
from app.storage import tables
from app.storage.database import Database

# 1,000 tokens a second
PER_MINUTE = 60_000
NEEDS = [Need(300, 100)]


async def replica(database: Database, per_minute: int = PER_MINUTE) -> tuple[LeaseClient, SharedMeters]:
    client = LeaseClient(database, take_leases)
    await client.start()
    meters = [Meter("tokens", per_minute, 1.0)]
    alone = LocalMeters([Meter("tokens", per_minute, 1.0)], time.monotonic)
    return client, SharedMeters("pool", meters, client, alone, time.monotonic)


async def calls(meters: SharedMeters, until: float, needs: list[Need], used: int) -> int:
    """Make calls as fast as the meters let them start; return their number."""
    count = 0
    while time.monotonic() < until:
        found = meters.take(needs, 1.0) or await meters.wait(needs, 1.0)
        if isinstance(found, MetersHold):
            count += 1
            meters.settle([found], [[used]], 1.0)
        else:
            await asyncio.sleep(found)
    return count


async def hold_soon(meters: SharedMeters, needs: list[Need]) -> None:
    """Wait until the meters hold what a call needs."""
    deadline = time.monotonic() + 30
    while not isinstance(found := await meters.wait(needs, 1.0), MetersHold):
        assert time.monotonic() < deadline
        await asyncio.sleep(found)


@pytest.mark.timed
@pytest.mark.parametrize("used", [100, 200])
async def test_two_replicas_use_one_quota(database: Database, used: int) -> None:
    """Whatever calls take beyond what was expected delays the next ones."""
    first, second = await replica(database), await replica(database)
    began = time.monotonic()
    counts = await asyncio.gather(*[calls(meters, began + 2.0, NEEDS, used) for _, meters in (first, second)])
    seconds = time.monotonic() - began
    for client, _ in (first, second):
        await client.close()
    allowed = 1000 * (seconds + 1)
    assert 0.6 * 1000 * seconds < sum(counts) * used <= allowed + 2 * used
    assert min(counts) > 0.1 * sum(counts)


async def test_what_runs_is_reserved_for_all_replicas(database: Database) -> None:
    first, second = await replica(database), await replica(database)
    large = [Need(50_000, 1)]
    hold = await first[1].wait(large, 1.0)
    assert isinstance(hold, MetersHold)
    refused = await second[1].wait(large, 1.0)
    assert isinstance(refused, float)
    assert second[1].take([Need(1, 1)], 1.0) is None
    small = await second[1].wait([Need(5000, 1)], 1.0)
    assert isinstance(small, MetersHold)
    first[1].settle([hold], [[100]], 1.0)
    await hold_soon(second[1], large)
    for client, _ in (first, second):
        await client.close()


async def test_replicas_share_the_room_that_throttles_have_taught(database: Database) -> None:
    """One call reserves most of it, so the call of the other replica waits."""
    first, second = await replica(database), await replica(database)
    large = [Need(20_000, 1)]
    for _, meters in (first, second):
        meters.room = 30_000.0
    hold = await first[1].wait(large, 1.0)
    assert isinstance(hold, MetersHold)
    assert isinstance(await second[1].wait(large, 1.0), float)
    assert isinstance(await second[1].wait([Need(5000, 1)], 1.0), MetersHold)
    first[1].settle([hold], [[1]], 1.0)
    await hold_soon(second[1], large)
    for client, _ in (first, second):
        await client.close()


async def test_a_capacity_follows_the_configuration(database: Database) -> None:
    client, meters = await replica(database, 600)
    assert isinstance(await meters.wait([Need(10, 10)], 1.0), MetersHold)
    await client.close()
    await asyncio.sleep(1.1)
    client, meters = await replica(database, 6_000_000)
    found = [await meters.wait([Need(10, 10_000)], 1.0) for _ in range(5)]
    assert all(isinstance(each, MetersHold) for each in found)
    await client.close()


async def test_a_quota_holds_after_a_database_from_before_it_was_restored(database: Database) -> None:
    client, meters = await replica(database, 60)
    assert isinstance(await meters.wait([Need(10, 10)], 1.0), MetersHold)
    async with database.begin() as connection:
        for table in (tables.leases, tables.balances, tables.replicas, tables.limits):
            await connection.execute(delete(table))
    large, before, deadline = [Need(60, 60)], client.transactions.replica, time.monotonic() + 30
    while client.transactions.replica == before:
        assert time.monotonic() < deadline
        if isinstance(found := await meters.wait([Need(1, 0)], 1.0), MetersHold):
            meters.settle([found], [[0]], 1.0)
        await asyncio.sleep(0.1)
    await hold_soon(meters, large)
    assert not isinstance(await meters.wait(large, 1.0), MetersHold)
    await client.close()


@pytest.mark.timed
async def test_a_lowered_capacity_applies_to_a_busy_replica_within_two_seconds(database: Database) -> None:
    first, needs = await replica(database), [Need(20_000, 1)]
    hold = await first[1].wait(needs, 1.0)
    assert isinstance(hold, MetersHold)
    first[1].settle([hold], [[0]], 1.0)
    second = await replica(database, 6_000)
    await second[1].wait([Need(10, 10)], 1.0)
    deadline = time.monotonic() + 2
    while (again := first[1].take(needs, 1.0)) is not None:
        assert time.monotonic() < deadline
        first[1].settle([again], [[0]], 1.0)
        await asyncio.sleep(0.05)
    for client, _ in (first, second):
        await client.close()


async def test_without_the_database_each_replica_goes_on_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, meters = await replica(database)
    assert isinstance(await meters.wait(NEEDS, 1.0), MetersHold)
    client.transactions.down_until = time.monotonic() + 100
    monkeypatch.setattr(client, "take", lambda *_: None)
    found: MetersHold | float = 0.0
    for _ in range(5):
        found = meters.take(NEEDS, 1.0) or await meters.wait(NEEDS, 1.0)
    assert isinstance(found, MetersHold)
    meters.settle([found], [[100]], 1.0)
    await client.close()


CALL = QuotaCall(Flow("team", "key"), 400, 10)
USAGE = Usage(input=100, output=10)


async def calm_pool(meters: SharedMeters) -> QuotaPool:
    """Return a pool after so many calls that the next ones take directly of its meter."""
    pool = QuotaPool("pool", meters, Arithmetic(), time.monotonic)
    for _ in range(120):
        (await pool.acquire(CALL, 30.0)).settle(USAGE)
    return pool


def taken(pool: QuotaPool) -> Reservation:
    """Take what a call needs, which waits for nothing."""
    reservation = pool.acquire_now(CALL.flow, CALL.size, CALL.max_tokens)
    assert reservation is not None
    return reservation


async def test_calls_take_directly_of_the_leases_and_give_back_however_they_end(database: Database) -> None:
    client, meters = await replica(database, 10**12)
    pool = await calm_pool(meters)
    running = [taken(pool) for _ in range(90)]
    assert all(each.meter is not None for each in running)
    (minute, starts) = (client.transactions.book.of(key) for key in sorted(meters.refs))
    assert pool.reserved_now == minute.held == sum(each.reserved for each in running)
    assert starts.held == 0, "a start counts at once"
    before = pool.figures.settled
    for number, each in enumerate(running):
        if number % 3 == 2:
            each.release()
        else:
            each.settle(None if number % 3 else USAGE)
    assert pool.figures.settled - before == 30 * 110 + sum(each.cost for each in running[1::3])
    assert (pool.reserved_now, minute.held) == (0, 0)
    taken(pool).throttled(None)
    assert (pool.reserved_now, minute.held) == (0, 0)
    await pool.close()
    await client.close()


async def test_a_call_that_may_not_wait_starts_where_the_quota_has_room(database: Database) -> None:
    """Only the database knows that, so it must be asked."""
    client, meters = await replica(database, 12_000)
    pool = QuotaPool("pool", meters, Arithmetic(), time.monotonic)
    first = await pool.acquire(CALL, 0.0)
    assert first.reserved
    large = QuotaCall(CALL.flow, CALL.size, 12_000)
    began = time.monotonic()
    with pytest.raises(QuotaBusy):
        await pool.acquire(large, 0.0)
    assert time.monotonic() - began < 10
    first.settle(USAGE)
    await pool.close()
    await client.close()


async def test_what_calls_took_beyond_what_was_expected_the_next_start_takes(database: Database) -> None:
    client, meters = await replica(database, 10**12)
    pool = await calm_pool(meters)
    first, reservation = taken(pool), taken(pool)
    assert pool.reserved_now == first.reserved + reservation.reserved, "who looks settles what has ended"
    first = taken(pool)  # this one pays for them
    reservation.settle(Usage(input=reservation.cost + 5000))
    assert pool.reserved_now == 2 * first.reserved
    starts = client.transactions.book.of(sorted(meters.refs)[1])
    before = starts.idle
    cost = taken(pool).cost
    assert before - starts.idle == (cost + 5000) * 1000
    before = starts.idle
    cost = taken(pool).cost
    assert before - starts.idle == cost * 1000
    await pool.close()
    await client.close()


async def test_calls_of_a_replica_that_was_lost_give_nothing_back_to_the_next_one(database: Database) -> None:
    """Its leases were charged."""
    client, meters = await replica(database, 10**12)
    pool = await calm_pool(meters)
    running = [taken(pool) for _ in range(20)]
    await client.transactions.register()
    assert pool.acquire_now(CALL.flow, CALL.size, CALL.max_tokens) is None
    for _ in range(120):
        (await pool.acquire(CALL, 30.0)).settle(USAGE)
    again = taken(pool)
    assert again.meter not in (None, running[0].meter)
    assert pool.reserved_now == again.reserved
    minute = client.transactions.book.of(sorted(meters.refs)[0])
    idle, spent = minute.idle, minute.spent
    for each in running:
        each.settle(USAGE)
    assert pool.reserved_now == again.reserved
    assert (minute.idle, minute.spent) == (idle, spent)
    again.settle(USAGE)
    assert pool.reserved_now == minute.held == 0
    await pool.close()
    await client.close()

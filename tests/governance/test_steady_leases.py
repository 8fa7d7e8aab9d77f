"""Calls that come steadily, by a clock of the test: few transactions lease in advance what they need."""

import asyncio

from app.governance.leases.client import LeaseClient
from app.governance.leases.lease_book import LeaseBook
from app.governance.leases.store import BalanceRef
from app.governance.ledger.posting import take_leases
from app.governance.quotas.meters import LocalMeters, Meter, MetersHold, Need
from app.governance.quotas.shared_meters import SharedMeters
from app.storage.database import Database
from app.storage.records import Budget, Limit
from app.storage.repository import budgets, limits

CALLS_PER_SECOND, SECONDS, TOKENS = 80, 6, 20


class Clock:
    """A clock that a test sets."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def test_calls_with_a_quota_beside_a_budget_and_limits_wait_for_nothing(database: Database) -> None:
    """Two transactions a second lease all that they need, and post what they used of rates."""
    budget = Budget(scope="team", scope_id="t", period="total", amount_nano=10**6)
    tokens = Limit(scope="team", scope_id="t", kind="tokens_per_minute", capacity=100_000)
    requests = Limit(scope="team", scope_id="t", kind="requests_per_minute", capacity=5_000)
    async with database.begin() as connection:
        await budgets.add(connection, budget)
        await limits.add(connection, tokens, requests)
    refs = [
        BalanceRef("budget", "budget", budget.id),
        BalanceRef("tokens", "rate", tokens.id),
        BalanceRef("requests", "rate", requests.id),
    ]
    needs = {"budget": 1000, "tokens": TOKENS, "requests": 1}
    clock, need = Clock(), [Need(2 * TOKENS, TOKENS)]
    client = LeaseClient(database, take_leases, clock)
    await client.transactions.register()
    meter = Meter("tokens", 10**6, 1.0)
    meters = SharedMeters("pool", [meter], client, LocalMeters([meter], clock), clock)
    waited, before = [], 0
    for number in range(SECONDS * CALLS_PER_SECOND):
        clock.seconds = 1000.0 + number / CALLS_PER_SECOND
        if number == CALLS_PER_SECOND:
            before = client.transactions.count
        if number % (CALLS_PER_SECOND // 4) == 0:
            # as the task of a process does four times a second
            await client._housekeeping._renew()
        book, hold = client.take(needs), meters.take(need, 1.0)
        if book is None or hold is None:
            waited.append(number / CALLS_PER_SECOND)
            acquired = book or await client.acquire(needs, {ref.key: ref for ref in refs})
            assert isinstance(acquired, LeaseBook)
            book = acquired
            while hold is None:
                found = await meters.wait(need, 1.0)
                hold = found if isinstance(found, MetersHold) else await asyncio.sleep(found)
        client.settle(book, needs, {"budget": 0, "tokens": TOKENS, "requests": 1})
        meters.settle([hold], [[TOKENS]], 1.0)
    assert [at for at in waited if at >= 1.0] == []
    assert client.transactions.count - before <= 2 * (SECONDS - 1) + 1
    await client.close()

"""Calls that are admitted ahead of their beginning, and settled together after their end."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from app.governance.holds.bounds import CallBounds
from app.governance.holds.call_limits import CallLimits, Hold
from app.governance.holds.needs import AppliedRules, Holdings, Subject
from app.governance.leases.client import LeaseClient
from app.governance.leases.lease_book import Holding
from app.governance.ledger.posting import take_leases
from app.storage.database import Database
from tests.governance.test_holds import BOUNDS, NOON, budget, limit, store, subject

WORST = 1_000
RULES = [
    budget(amount_nano=10**12),
    limit("requests_per_minute", 10**6),
    limit("tokens_per_minute", 10**9),
    limit("max_parallel_requests", 10**4),
]


class Calls:
    """The calls of one subject, with the leases for many of them."""

    def __init__(self, limits: CallLimits, client: LeaseClient) -> None:
        self.limits, self.client = limits, client
        self.who: Subject = subject(*RULES)
        self.rules: AppliedRules = self.who.rules(NOON)

    async def hold(self, worst_nano: int = WORST, bounds: CallBounds = BOUNDS) -> Hold:
        return await self.limits.hold(self.who, "m", bounds, worst_nano)

    async def begin(self, count: int) -> list[Hold]:
        return [await self.hold() for _ in range(count)]

    @property
    def balances(self) -> list[Holding]:
        """The holdings of money, tokens, permits and requests."""
        return [*map(self.client.transactions.book.of, self.rules.keys)]

    @property
    def holdings(self) -> Holdings:
        assert self.who.holdings is not None
        return self.who.holdings


@pytest.fixture
async def calls(database: Database) -> AsyncIterator[Calls]:
    await store(database, *RULES)
    client = LeaseClient(database, take_leases)
    # without its tasks, so that nothing is given back meanwhile
    await client.transactions.register()
    made = Calls(CallLimits(client, wall=lambda: NOON), client)
    client.transactions.refs.update(made.rules.refs)
    for each in made.balances:
        each.lease(10**9)
    yield made
    await client.close()


async def test_as_many_calls_are_admitted_ahead_as_began_lately(calls: Calls) -> None:
    left = []
    for _ in range(12):
        await calls.hold()
        left.append(calls.holdings.ahead.left)
    assert left[:8] == [0, 1, 0, 3, 2, 1, 0, 7]
    tokens = BOUNDS.total
    held = 12 + calls.holdings.ahead.left
    assert [each.held for each in calls.balances[:3]] == [held * WORST, held * tokens, held]


async def test_what_was_held_ahead_is_given_back_and_requests_that_began_are_used(calls: Calls) -> None:
    holds = await calls.begin(12)
    calls.client.settle_ended()
    money, tokens, permits, requests = calls.balances
    assert [each.held for each in calls.balances] == [12 * WORST, 12 * BOUNDS.total, 12, 0]
    assert requests.spent == 12
    assert [each.recent for each in calls.balances] == [12 * WORST, 12 * BOUNDS.total, 12, 12]
    for each in holds:
        calls.limits.settle(each, 700, 60)
    calls.client.settle_ended()
    assert [(each.held, each.spent) for each in (money, tokens, permits)] == [(0, 12 * 700), (0, 12 * 60), (0, 0)]


async def test_a_call_that_needs_more_than_was_held_ahead_holds_for_itself(calls: Calls) -> None:
    await calls.begin(4)
    assert calls.holdings.ahead.left == 3
    larger = [await calls.hold(WORST + 1), await calls.hold(WORST, CallBounds(BOUNDS.input, BOUNDS.output + 1))]
    assert calls.holdings.ahead.left == 3
    assert [each.amounts[:2] for each in larger] == [[WORST + 1, BOUNDS.total], [WORST, BOUNDS.total + 1]]


async def test_the_ledger_names_what_a_call_needs_and_not_what_it_holds(calls: Calls) -> None:
    await calls.begin(4)
    smaller = await calls.hold(WORST - 1)
    assert smaller.amounts[0] == WORST
    assert smaller.charged_to() == {calls.rules.keys[0]: WORST - 1}


async def test_little_is_not_held_ahead(calls: Calls) -> None:
    permits = calls.balances[2]
    permits.lease(15)
    await calls.begin(12)
    assert permits.held == 12
    assert calls.holdings.ahead.left == 0


async def test_nothing_is_begun_from_what_was_held_ahead_when_the_leases_have_ended(calls: Calls) -> None:
    await calls.begin(4)
    count, book = calls.client.transactions.count, calls.client.transactions.book
    assert calls.holdings.ahead.left == 3
    book.valid_until = 0.0
    await calls.hold()
    assert calls.client.transactions.count == count + 1


async def test_capacity_that_is_recalled_is_not_held_ahead_any_more(calls: Calls) -> None:
    await calls.begin(4)
    money = calls.balances[0]
    calls.client._housekeeping._hear(calls.rules.keys[0])
    assert money.is_recalled
    assert money.held == 4 * WORST
    assert calls.holdings.ahead.left == 0


async def test_what_was_held_ahead_is_given_back_where_it_is_once_others_were_forgotten(calls: Calls) -> None:
    holds = await calls.begin(4)
    book, before = calls.client.transactions.book, calls.holdings
    book.of("budget/another/2026-11")
    book.drop_empty()
    holds.append(await calls.hold())
    assert calls.holdings is not before
    calls.client.settle_ended()
    assert [each.held for each in calls.balances] == [5 * WORST, 5 * BOUNDS.total, 5, 0]
    assert calls.balances[3].spent == 5
    for each in holds:
        calls.limits.release(each)
    assert [each.held for each in calls.balances] == [0, 0, 0, 0]


@pytest.mark.parametrize("seed", range(10))
async def test_nothing_is_lost_or_counted_twice_in_any_order(calls: Calls, seed: int) -> None:
    random = Random(seed)
    running: list[tuple[Hold, int, int]] = []
    begun = money = tokens = 0
    for _ in range(400):
        step = random.random()
        if step < 0.5:
            worst, output = random.choice((10, 500, 500, 500, 900)), random.choice((1, 50, 50, 80))
            running.append((await calls.hold(worst, CallBounds(100, output)), worst, 100 + output))
            begun += 1
        elif step < 0.9 and running:
            hold, worst, most = running.pop(random.randrange(len(running)))
            if random.random() < 0.2:
                calls.limits.release(hold)
            else:
                cost, used = random.randint(0, worst), random.randint(0, most)
                calls.limits.settle(hold, cost, used)
                money, tokens = money + cost, tokens + used
        elif step < 0.95:
            calls.client.settle_ended()
        elif step < 0.97:
            calls.client.transactions.book.of(f"budget/another/{begun}")
            calls.client.transactions.book.drop_empty()
        await asyncio.sleep(0)
    for hold, *_ in running:
        calls.limits.release(hold)
    calls.client.settle_ended()
    assert [each.held for each in calls.balances] == [0, 0, 0, 0]
    assert [each.spent for each in calls.balances] == [money, tokens, 0, begun]
    assert [each.idle + each.spent for each in calls.balances] == [10**9] * 4

"""Leases of several replicas from one database, PostgreSQL and SQLite."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.governance.leases import housekeeping, store, transactions
from app.governance.leases.client import LeaseClient, LeasesUnavailable, Refused
from app.governance.leases.lease_book import LeaseBook
from app.governance.leases.store import BalanceRef
from app.governance.ledger.posting import take_leases
from app.storage import tables
from app.storage.database import AsyncConnection, Database, DatabaseDown
from app.storage.records import Budget, Limit, LimitKind, now
from app.storage.repository import budgets, limits
from tests.databases import opened, running_postgres
from tests.waiting import until

MICRO = 1000
FAR = 10**18


@contextlib.asynccontextmanager
async def replicas(database: Database, count: int = 2) -> AsyncIterator[list[LeaseClient]]:
    """Replicas with a database connection each, as in processes of their own."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for _ in range(count):
            client = LeaseClient(await stack.enter_async_context(_another(database)), take_leases)
            await client.start()
            stack.push_async_callback(client.close)
            clients.append(client)
        yield clients


@contextlib.asynccontextmanager
async def _another(database: Database) -> AsyncIterator[Database]:
    other = Database(database.url)
    try:
        yield other
    finally:
        await other.close()


async def add_budget(database: Database, amount: int, **more: object) -> BalanceRef:
    budget = Budget(scope="team", scope_id="t", period="total", amount_nano=amount, **more)  # type: ignore[arg-type]
    async with database.begin() as connection:
        await budgets.add(connection, budget)
    return BalanceRef(f"budget/{budget.id}/total", "budget", budget.id)


async def add_limit(database: Database, kind: LimitKind, capacity: int, *, shadow: bool = False) -> BalanceRef:
    limit = Limit(scope="team", scope_id="t", kind=kind, capacity=capacity, shadow=shadow)
    async with database.begin() as connection:
        await limits.add(connection, limit)
    is_permits = kind == "max_parallel_requests"
    name = "permits" if is_permits else "rate"
    return BalanceRef(f"{name}/{limit.id}", "permits" if is_permits else "rate", limit.id)


async def hold(client: LeaseClient, ref: BalanceRef, amount: int = 1) -> LeaseBook | None:
    held = await client.acquire({ref.key: amount}, {ref.key: ref})
    return None if isinstance(held, Refused) else held


async def balance(database: Database, ref: BalanceRef) -> tuple[int, int]:
    """What is settled and leased."""
    held = select(func.sum(tables.leases.c.amount)).where(tables.leases.c.balance_key == ref.key).scalar_subquery()
    balances = tables.balances.c
    async with database.begin() as connection:
        # one statement: a lease that is made meanwhile is in both, or in none
        found = await connection.execute(
            select(balances.settled, balances.leased, held.label("held")).where(balances.key == ref.key)
        )
    row = found.one()
    assert row.leased == int(row.held or 0)
    return row.settled, row.leased


async def post(client: LeaseClient, key: str, amount: int) -> None:
    """What the ledger does with a settled attempt."""

    async def operation(replica: str, sequence: int) -> tuple[dict[str, int], dict[str, int]]:
        async with client.transactions.database.begin() as connection:
            now = await store.renew(connection, replica, sequence)
            rows = await store.lock(connection, replica, now, [key])
            rows.leases[key].post(rows.balances[key], amount, rows.now_ns)
            await store.write(connection, rows)
            return {key: amount}, {key: rows.leases[key].amount}

    await client.transactions.run(operation)


async def post_what_is_spent(clients: list[LeaseClient], key: str, is_over: asyncio.Event) -> None:
    """Post again and again, and a last time when it is over."""
    is_last = False
    while not is_last:
        is_last = is_over.is_set()
        for client in clients:
            if spent := client.transactions.book.of(key).spent:
                await post(client, key, spent)
        await asyncio.sleep(0.1)


async def test_a_budget_for_sixteen_calls_lets_sixteen_through(database: Database) -> None:
    """300 concurrent calls over two replicas: each holds 7,200 and costs 6,000 of 100,000."""
    ref = await add_budget(database, 100_000 * MICRO)
    through = 0
    async with replicas(database) as clients:

        async def call(index: int) -> None:
            nonlocal through
            client = clients[index % 2]
            book = await hold(client, ref, 7_200 * MICRO)
            if book is not None:
                await asyncio.sleep(0.02)
                client.settle(book, {ref.key: 7_200 * MICRO}, {ref.key: 6_000 * MICRO})
                through += 1

        is_over = asyncio.Event()
        posting = asyncio.create_task(post_what_is_spent(clients, ref.key, is_over))
        await asyncio.gather(*[call(index) for index in range(300)])
        async with asyncio.timeout(30):
            while through < 16:
                await call(through)
                await asyncio.sleep(0.05)
        for index in range(20):
            await call(index)
        assert through == 16
        is_over.set()
        await posting
    assert await balance(database, ref) == (16 * 6_000 * MICRO, 0)


async def test_three_requests_a_minute_are_three_over_both(database: Database) -> None:
    """The fourth fits after twenty seconds."""
    ref = await add_limit(database, "requests_per_minute", 3)
    async with replicas(database) as clients:

        async def call(index: int) -> LeaseBook | Refused:
            client = clients[index % 2]
            held = await client.acquire({ref.key: 1}, {ref.key: ref})
            if isinstance(held, LeaseBook):
                client.settle(held, {ref.key: 1}, {ref.key: 1})
            return held

        answers = await asyncio.gather(*[call(index) for index in range(60)])
        assert sum(isinstance(each, LeaseBook) for each in answers) == 3
        last = await call(0)
        assert isinstance(last, Refused)
        assert last.retry_after is None or 0 < last.retry_after <= 20


async def test_the_wait_of_a_rate_is_exact(database: Database) -> None:
    """20 a minute are one each three seconds, after the first 20."""
    ref = await add_limit(database, "requests_per_minute", 20)
    async with replicas(database, 1) as (client,):
        started = time.monotonic()
        book = await hold(client, ref, 20)
        assert book is not None
        client.settle(book, {ref.key: 20}, {ref.key: 20})
        refused = await client.acquire({ref.key: 1}, {ref.key: ref})
        assert isinstance(refused, Refused)
        assert refused.retry_after is not None
        assert 2.9 - (time.monotonic() - started) < refused.retry_after <= 3
        await asyncio.sleep(refused.retry_after)
        assert await hold(client, ref) is not None


async def test_five_in_parallel_are_five_over_both(database: Database) -> None:
    ref = await add_limit(database, "max_parallel_requests", 5)
    most = running = through = 0
    are_five = asyncio.Event()
    async with replicas(database) as clients:

        async def call(index: int) -> None:
            nonlocal most, running, through
            client = clients[index % 2]
            book = await hold(client, ref)
            if book is None:
                return
            running += 1
            through += 1
            most = max(most, running)
            if running == 5:
                are_five.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(20):
                    await are_five.wait()
            await asyncio.sleep(0.3)
            running -= 1
            client.settle(book, {ref.key: 1}, {})

        await asyncio.gather(*[call(index) for index in range(40)])
        assert most == 5
        assert through >= 5
    assert await balance(database, ref) == (0, 0)


@pytest.mark.timed
async def test_idle_capacity_is_had_by_another_replica_within_two_seconds(database: Database) -> None:
    ref = await add_limit(database, "max_parallel_requests", 5)
    async with replicas(database) as (first, second):
        books = [await hold(first, ref) for _ in range(5)]
        assert None not in books
        assert await hold(second, ref) is None
        for book in books:
            assert book is not None
            first.settle(book, {ref.key: 1}, {})
        started = time.monotonic()
        assert await hold(second, ref, 5) is not None
        assert time.monotonic() - started < 2


async def test_replicas_that_take_turns_build_no_statement_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when too little is left and the other is asked for it, nor when a lease is given back."""
    ref = await add_limit(database, "max_parallel_requests", 2)
    built: list[str] = []

    def counted(name: str, build: Callable[..., Any]) -> Callable[..., Any]:
        def note_and_build(*args: Any) -> Any:
            built.append(name)
            return build(*args)

        return note_and_build

    async with replicas(database) as clients:
        # what housekeeping asks now and then
        await clients[0].transactions.store.expired()
        await clients[0].transactions.store.recalled(0)
        for turn in range(4):
            if turn == 2:
                for name in ("select", "update", "delete"):
                    monkeypatch.setattr(store, name, counted(name, getattr(store, name)))
            client = clients[turn % 2]
            book = None
            while book is None:
                book = await hold(client, ref, 2)
            client.settle(book, {ref.key: 2}, {})
        assert built == []


async def test_the_usual_request_makes_no_round_trip(database: Database) -> None:
    money, rate = await add_budget(database, FAR), await add_limit(database, "requests_per_minute", 10**9)
    permits = await add_limit(database, "max_parallel_requests", 1000)
    refs = {ref.key: ref for ref in (money, rate, permits)}
    needs = {money.key: 1000, rate.key: 1, permits.key: 1}
    async with replicas(database, 1) as (client,):

        async def call() -> None:
            book = await client.acquire(needs, refs)
            assert isinstance(book, LeaseBook)
            client.settle(book, needs, {money.key: 900, rate.key: 1})

        for _ in range(200):
            await call()
        before, started = client.transactions.count, time.monotonic()
        for _ in range(2000):
            await call()
        # beside those of housekeeping, one for each doubling of the reserve
        assert client.transactions.count - before < 40 + 6 * (time.monotonic() - started)


async def test_what_is_left_is_known_after_all_that_was_leased_is_posted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await add_limit(database, "requests_per_minute", 3)
    async with replicas(database, 1) as (client,):
        book = await hold(client, ref)
        assert book is not None
        client.settle(book, {ref.key: 1}, {ref.key: 1})
        await until(lambda: ref.key not in client.transactions.book.holdings)
        # a third is there again each 20 seconds
        assert client.remaining(ref.key) in [(3, 2), (3, 3)]
        monkeypatch.setattr(transactions, "_TOLD_SECONDS", 0.0)
        # a balance that is used later has the housekeeping look
        assert await hold(client, await add_budget(database, 3)) is not None
        await until(lambda: ref.key not in client.transactions.refs)
        assert client.remaining(ref.key) is None


async def test_all_balances_or_none(database: Database) -> None:
    money, none = await add_budget(database, 1000), await add_limit(database, "max_parallel_requests", 0)
    async with replicas(database, 1) as (client,):
        refused = await client.acquire({money.key: 10, none.key: 1}, {money.key: money, none.key: none})
        assert refused == Refused(none.key, None)
        assert await hold(client, money, 1000) is not None


async def test_what_is_not_enforced_is_counted_and_granted(database: Database) -> None:
    shadow = await add_limit(database, "requests_per_minute", 1, shadow=True)
    warned = await add_budget(database, 10, action="warn")
    async with replicas(database, 1) as (client,):
        for _ in range(5):
            needs = {shadow.key: 1, warned.key: 100}
            book = await client.acquire(needs, {shadow.key: shadow, warned.key: warned})
            assert isinstance(book, LeaseBook)
            client.settle(book, needs, needs)
        await post(client, warned.key, 500)
        assert (await balance(database, warned))[0] == 500


async def test_an_override_and_a_new_amount_apply_at_once(database: Database) -> None:
    ref = await add_budget(database, 10)
    table = tables.budgets
    async with replicas(database, 1) as (client,):
        assert await hold(client, ref, 11) is None
        async with database.begin() as connection:
            await connection.execute(update(table).values(override_nano=100))
        await asyncio.sleep(1.1)
        book = await hold(client, ref, 90)
        assert book is not None
        async with database.begin() as connection:
            await connection.execute(update(table).values(override_nano=None))
        assert await hold(client, ref, 5) is None


async def keep_busy(client: LeaseClient, ref: BalanceRef, seconds: float) -> float:
    """Make cheap calls from a large lease until one is refused; returns when, by the monotonic clock."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        book = await hold(client, ref, 100)
        if book is None:
            return time.monotonic()
        client.settle(book, {ref.key: 100}, {})
        await asyncio.sleep(0.02)
    raise AssertionError("no call was refused")


async def lease_much(client: LeaseClient, ref: BalanceRef) -> None:
    book = await hold(client, ref, 100_000)
    assert book is not None
    client.settle(book, {ref.key: 100_000}, {})


@pytest.mark.timed
async def test_the_end_of_an_override_applies_to_a_busy_key_within_two_seconds(database: Database) -> None:
    end = now() + timedelta(seconds=2)
    ref = await add_budget(database, 0, override_nano=FAR, override_until=end)
    async with replicas(database) as clients:
        for client in clients:
            await lease_much(client, ref)
        ended = time.monotonic() + (end - now()).total_seconds()
        for refused in await asyncio.gather(*[keep_busy(client, ref, 6) for client in clients]):
            assert -0.1 < refused - ended < 2
    assert await balance(database, ref) == (0, 0)


@pytest.mark.parametrize("kind", ["requests_per_minute", "max_parallel_requests"])
async def test_what_an_open_attempt_releases_after_a_limit_was_lowered_is_not_held_again(
    database: Database, kind: LimitKind
) -> None:
    ref = await add_limit(database, kind, 1000)
    async with replicas(database, 1) as (client,):
        book = await hold(client, ref, 900)
        assert book is not None
        async with database.begin() as connection:
            await connection.execute(update(tables.limits).values(capacity=1))
            await store.recall(connection, [ref.source_id])
        await until(lambda: client.transactions.book.of(ref.key).idle <= 0)
        await asyncio.sleep(1)
        client.settle(book, {ref.key: 900}, {})
        assert client.take({ref.key: 2}) is None
        assert await hold(client, ref, 2) is None
        assert await hold(client, ref, 1) is not None


async def test_an_attempt_ends_after_its_budget_was_deleted(database: Database) -> None:
    ref = await add_budget(database, 1000)
    async with replicas(database, 1) as (client,):
        book = await hold(client, ref, 900)
        assert book is not None
        async with database.begin() as connection:
            await budgets.remove(connection, ref.source_id)
        client.settle(book, {ref.key: 900}, {ref.key: 800})
        await post(client, ref.key, 800)
        assert (await balance(database, ref))[0] == 800
        assert await hold(client, ref, 5000) is not None


async def test_a_refusal_writes_nothing_and_is_repeated_from_memory(database: Database) -> None:
    ref = await add_budget(database, 10)
    async with replicas(database, 1) as (client,):
        assert await hold(client, ref, 11) is None
        before, started = client.transactions.count, time.monotonic()
        for _ in range(100):
            assert await hold(client, ref, 11) is None
        assert client.transactions.count - before < 10 + 6 * (time.monotonic() - started)
        assert await hold(client, ref, 10) is not None


async def test_few_refusals_are_remembered(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each user has balances of its own, and callers choose the names of users."""
    monkeypatch.setattr("app.governance.leases.client._MAX_REFUSALS", 3)
    ref = await add_budget(database, 10)
    async with replicas(database, 1) as (client,):
        for number in range(5):
            of_user = BalanceRef(f"budget/{ref.source_id}/{number}/total", "budget", ref.source_id)
            assert await hold(client, of_user, 11) is None
            assert 1 <= len(client._refusals) <= 3


async def test_a_caller_that_leaves_while_it_waits_holds_nothing(database: Database) -> None:
    ref = await add_limit(database, "max_parallel_requests", 1)
    async with replicas(database, 1) as (client,):
        tasks = [asyncio.create_task(hold(client, ref)) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await hold(client, ref) is not None


async def test_a_lost_replica_is_charged_its_money_and_gives_back_its_permits(database: Database) -> None:
    money, permits = await add_budget(database, 1000), await add_limit(database, "max_parallel_requests", 3)
    async with replicas(database) as (first, second):
        await hold(first, money, 400)
        await hold(first, permits, 3)
        await first._housekeeping.close()
        await expire(database, first.transactions.replica)
        assert not await take_leases(database, second.transactions.replica)
        assert await take_leases(database, first.transactions.replica)
        assert not await take_leases(database, first.transactions.replica)
        assert await hold(second, permits, 3) is not None
        assert await hold(second, money, 601) is None
        assert await hold(second, money, 600) is not None


async def expire(database: Database, replica: str) -> None:
    async with database.begin() as connection:
        table = tables.replicas
        await connection.execute(update(table).where(table.c.id == replica).values(expires_at_us=0))


async def test_a_replica_that_was_marked_lost_goes_on_as_another(database: Database) -> None:
    permits = await add_limit(database, "max_parallel_requests", 3)
    async with replicas(database, 1) as (client,):
        old = client.transactions.replica
        book = await hold(client, permits, 2)
        assert book is not None
        await expire(database, old)
        assert await take_leases(database, old)
        assert await hold(client, permits, 2) is None, "two of three still run"
        assert client.transactions.replica != old
        client.settle(book, {permits.key: 2}, {})
        assert await hold(client, permits, 3) is not None


async def test_lost_replicas_are_found(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    permits = await add_limit(database, "max_parallel_requests", 1)
    async with replicas(database) as (first, second):
        await hold(first, permits)
        await first._housekeeping.close()
        await expire(database, first.transactions.replica)
        monkeypatch.setattr(housekeeping, "LEASE_SECONDS", 0.1)
        async with asyncio.timeout(30):
            while await hold(second, permits) is None:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_transaction_whose_answer_is_lost_counts_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    money, rate = await add_budget(database, 1000), await add_limit(database, "requests_per_minute", 3)
    real, broken = store.write, [True]

    async def lost(connection: AsyncConnection, rows: store.LockedRows) -> None:
        await real(connection, rows)
        if broken and rows.replica == client.transactions.replica:
            broken.clear()
            if is_committed:
                await connection.commit()
            raise DatabaseDown("the connection was lost")

    async with replicas(database, 1) as (client,):
        book = await hold(client, rate, 1)
        assert book is not None
        client.settle(book, {rate.key: 1}, {rate.key: 1})
        monkeypatch.setattr(store, "write", lost)
        with pytest.raises(LeasesUnavailable):
            await client.acquire({money.key: 600, rate.key: 1}, {money.key: money, rate.key: rate})
        await asyncio.sleep(0.6)
        book = await hold(client, money, 1000)
        assert book is not None
        assert (await balance(database, money))[1] == 1000
        assert await hold(client, rate, 2) is not None
        refused = await client.acquire({rate.key: 1}, {rate.key: rate})
        assert isinstance(refused, Refused)


@pytest.mark.parametrize("is_committed", [True, False])
async def test_nothing_is_held_of_what_is_offered_to_the_database(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """Neither while it is not known whether a transaction returned it, nor while the next one does."""
    ref = await add_budget(database, 1000)
    async with replicas(database, 1) as (client,):
        transactions, taken = client.transactions, []
        for task in client._housekeeping._tasks:
            task.cancel()
        book = await hold(client, ref, 300)
        assert book is not None
        client.settle(book, {ref.key: 200}, {})
        apply, amounts = transactions.store.apply, transactions.store.amounts

        async def lost(*args: Any) -> Any:
            if is_committed:
                await apply(*args)
            raise DatabaseDown("the connection was lost")

        async def resolved(replica: str) -> Any:
            taken.append(client.take({ref.key: 101}))
            return await amounts(replica)

        async def applied(*args: Any) -> Any:
            taken.append(client.take({ref.key: 1}))
            return await apply(*args)

        monkeypatch.setattr(transactions.store, "apply", lost)
        with pytest.raises(DatabaseDown):
            await transactions.send([], returns=[ref.key])
        client.settle(book, {ref.key: 100}, {})
        monkeypatch.setattr(transactions.store, "amounts", resolved)
        monkeypatch.setattr(transactions.store, "apply", applied)
        await transactions.send([], returns=[ref.key])
        assert taken == [None, None]
        assert await balance(database, ref) == (0, 0)


async def test_the_log_says_when_the_database_fails_and_when_it_is_back(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.governance.leases")
    async with replicas(database, 1) as (client,):
        transactions = client.transactions
        for task in client._housekeeping._tasks:
            task.cancel()
        real = transactions.store.apply
        for failure in (DatabaseDown("postgresql://db is down"), TimeoutError()):

            async def fails(*_: Any, failure: Exception = failure) -> Any:
                raise failure

            monkeypatch.setattr(transactions.store, "apply", fails)
            for ahead in (0.0, 29.0, 31.0):
                monkeypatch.setattr(transactions, "_clock", lambda ahead=ahead: time.monotonic() + ahead)
                with pytest.raises(DatabaseDown):
                    await transactions.send([])
            monkeypatch.setattr(transactions, "_clock", time.monotonic)
            monkeypatch.setattr(transactions.store, "apply", real)
            for _ in range(2):
                await transactions.send([])
    lines = [(each.message, getattr(each, "fields", {}).get("error")) for each in caplog.records]
    assert lines == [
        ("the database cannot be used", "postgresql://db is down"),
        ("the database cannot be used", "postgresql://db is down"),
        ("the database can be used again", None),
        ("the database cannot be used", "the database did not answer within 1.5 seconds"),
        ("the database cannot be used", "the database did not answer within 1.5 seconds"),
        ("the database can be used again", None),
    ]


@pytest.mark.slow
async def test_without_the_database_requests_run_on_leases_and_then_fail_at_once() -> None:
    with running_postgres() as server:
        async with opened(await server.create_with_schema()) as database:
            ref = await add_limit(database, "max_parallel_requests", 1000)
            async with replicas(database, 1) as (client,):
                held = [await hold(client, ref) for _ in range(10)]
                assert None not in held
                server.stop()
                for book in held:
                    assert book is not None
                    client.settle(book, {ref.key: 1}, {})
                assert client.take({ref.key: 1}) is not None
                for _ in range(3):
                    started = time.monotonic()
                    with pytest.raises(LeasesUnavailable):
                        await client.acquire({ref.key: 100}, {ref.key: ref})
                    assert time.monotonic() - started < 10
                server.start()
                async with asyncio.timeout(30):
                    while True:
                        with contextlib.suppress(LeasesUnavailable):
                            assert await hold(client, ref, 100) is not None
                            break
                        await asyncio.sleep(0.1)


async def test_a_caller_that_leaves_during_a_renewal_makes_no_transaction_fail(database: Database) -> None:
    """Balances that nobody waits for any more are forgotten with each renewal, but not those of a transaction."""
    limit, used = await add_limit(database, "requests_per_minute", 100), await add_budget(database, 1000)
    async with replicas(database, 1) as (client,):
        transactions, renewal = client.transactions, client._housekeeping
        for task in renewal._tasks:
            task.cancel()
        assert await hold(client, used, 100) is not None
        client.settle(transactions.book, {used.key: 100}, {})
        transactions.book.recall([used.key])
        await transactions.store.create([limit])
        async with transactions._turn:
            renewing = asyncio.create_task(renewal._renew())
            await asyncio.sleep(0)
            leaves = asyncio.create_task(hold(client, limit))
            await asyncio.sleep(0.01)
            leaves.cancel()
            await asyncio.sleep(0.01)
        await renewing
        async with asyncio.timeout(30):
            while not transactions.book.of(limit.key).amount:
                await asyncio.sleep(0.01)
        assert client.take({limit.key: 1}, {limit.key}) is not None
        await transactions.send([])
        assert await hold(client, used, 100) is not None

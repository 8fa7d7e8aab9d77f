"""Leases capacity for one process, and admits from its leases in memory.

A request that the leases cover makes no round trip. Others wait together for the next transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from app.governance.leases.balance import Ask, Shortage
from app.governance.leases.housekeeping import Housekeeping
from app.governance.leases.lease_book import Holding, LeaseBook
from app.governance.leases.store import BalanceRef, NotLive
from app.governance.leases.transactions import TRANSACTION_SECONDS, ReplicaTransactions
from app.storage.database import Database, DatabaseDown

_log = logging.getLogger(__name__)

_WAIT_SECONDS = 1.9
# how long a request waits for capacity that others have leased, or that attempts hold
_PATIENCE = {"budget": 1.0, "rate": 0.4, "permits": 0.4}
_RETRY_SECONDS, _MAX_RETRY_SECONDS = 0.05, 0.25
# a refusal is repeated from memory for at most so long, since a capacity may be raised
_REFUSED_SECONDS = 1.0
_MAX_ASKS = 200
# callers choose the names of users
_MAX_REFUSALS = 10_000
_MINUTE_SECONDS = 60


class Refused(Struct, frozen=True):
    """Which balance had too little left. retry_after: seconds until it may fit; None if that is unknown."""

    key: str
    retry_after: float | None


class LeasesUnavailable(Exception):
    """The leases do not cover a request, and the database cannot be reached."""


class _Waiter(Struct, eq=False):
    """A request that waits for a transaction. granted: the book in which its amounts are held, or why they are not."""

    needs: Mapping[str, int]
    granted: asyncio.Future[LeaseBook | Refused]
    since: float


class _Refusal(Struct):
    until: float
    amount: int
    retry_at: float | None


class LeaseClient:
    """The leases of this process.

    Args:
        take_leases: takes the leases of a replica that was lost, with its attempts: see `ledger.posting`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        database: Database,
        take_leases: Callable[[Database, str], Awaitable[bool]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.transactions = ReplicaTransactions(database, clock)
        self._housekeeping = Housekeeping(self.transactions, clock, self._keys_in_use, take_leases)
        self._clock = clock
        self._refusals: dict[str, _Refusal] = {}
        # in the order of their arrival, by identity
        self._waiters: dict[int, _Waiter] = {}
        self._waited_for: Counter[str] = Counter()
        # those of the transaction that runs, whose callers may have left
        self._asking: list[_Waiter] = []
        self._news = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Register this process as a replica. Raises DatabaseDown."""
        await self.transactions.register()
        self._housekeeping.start()

    async def close(self, *, keep_leases: bool = False) -> None:
        """Return all leases, and end this replica.

        Args:
            keep_leases: entries of the ledger could not be posted: the replica that replays the journal returns them.
        """
        await self._housekeeping.close()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        if keep_leases:
            return
        with contextlib.suppress(DatabaseDown, TimeoutError):
            async with asyncio.timeout(TRANSACTION_SECONDS):
                await self.transactions.end()

    def take(self, needs: Mapping[str, int], used: Collection[str] = ()) -> LeaseBook | None:
        """Hold amounts of all balances from the leases; returns the book that holds them, or None if it cannot.

        Args:
            used: see `LeaseBook.take`.
        """
        if self._waiters and any(self._waited_for[key] for key in needs):
            return None
        book = self.transactions.book
        return book if book.take(needs, self._clock(), used) else None

    def take_from(self, holdings: Sequence[Holding], amounts: Sequence[int], keys: Iterable[str]) -> bool:
        """Hold an amount of each holding of the book as it is now; returns whether it did. keys: of the balances."""
        if self._waiters and any(self._waited_for[key] for key in keys):
            return False
        return self.transactions.book.take_from(holdings, amounts, self._clock())

    async def acquire(self, needs: Mapping[str, int], refs: Mapping[str, BalanceRef]) -> LeaseBook | Refused:
        """Hold amounts of all balances; returns the book that holds them, or why they are not held.

        Raises:
            LeasesUnavailable: the database cannot be reached.
        """
        if (book := self.take(needs)) is not None:
            return book
        now = self._clock()
        if (refused := self._refused(needs, now)) is not None:
            return refused
        if now < self.transactions.down_until:
            raise LeasesUnavailable
        self.transactions.refs.update(refs)
        waiter = _Waiter(needs, asyncio.get_running_loop().create_future(), now)
        self._waiters[id(waiter)] = waiter
        self._waited_for.update(needs.keys())
        self._news.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._serve_waiters(), name="lease requests")
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                return await asyncio.shield(waiter.granted)
        except TimeoutError:
            self._forget(waiter)
            raise LeasesUnavailable from None
        except asyncio.CancelledError:
            self._forget(waiter)
            raise

    def settle_from(self, holdings: Sequence[Holding], held: Sequence[int], used: Sequence[int]) -> None:
        """End a hold in holdings of the book as it is now. held, used: of each of them; more is left out."""
        self.transactions.book.settle_from(holdings, held, used, self._clock())
        if self._waiters:
            self._news.set()

    def settle(self, book: LeaseBook, held: Mapping[str, int], used: Mapping[str, int]) -> None:
        """End a hold.

        Args:
            book: that held it. used: what is used of each balance; nothing of one that is not named.
        """
        transactions, now = self.transactions, self._clock()
        if book is transactions.book:
            for key, amount in held.items():
                book.settle(key, amount, used.get(key, 0), now)
        else:
            # this process became another replica meanwhile: only permits went over to it
            for key, amount in held.items():
                if key in transactions.book.holdings and transactions.refs[key].kind == "permits":
                    transactions.book.settle(key, amount, 0, now)
        if self._waiters:
            self._news.set()

    def remaining(self, key: str) -> tuple[int, int] | None:
        """Return the capacity of a balance and what is left of it for this process; None if that is not known.

        What calls that run hold of a budget counts as left: most of them cost a small part of that.
        """
        transactions = self.transactions
        found = transactions.headroom.get(key)
        if found is None:
            return None
        capacity, left, at = found
        is_rate = transactions.refs[key].kind == "rate"
        if is_rate:
            left = min(left + int((self._clock() - at) * capacity / _MINUTE_SECONDS), capacity)
        holding = transactions.book.holdings.get(key)
        if holding is not None:
            left += holding.idle if is_rate else holding.idle + holding.held
        return capacity, min(max(left, 0), capacity)

    def _keys_in_use(self) -> set[str]:
        """Return the keys of the balances for which requests wait, or a transaction asks."""
        return {*+self._waited_for, *(key for each in self._asking for key in each.needs)}

    def _leave(self, waiter: _Waiter) -> bool:
        """Let a request wait no longer; returns whether it waited."""
        if self._waiters.pop(id(waiter), None) is None:
            return False
        self._waited_for.subtract(waiter.needs.keys())
        if not self._waiters:
            self._waited_for.clear()
        return True

    def _refused(self, needs: Mapping[str, int], now: float) -> Refused | None:
        for key, need in needs.items():
            refusal = self._refusals.get(key)
            if refusal is not None and now < refusal.until and need >= refusal.amount:
                return Refused(key, None if refusal.retry_at is None else max(refusal.retry_at - now, 0.0))
        return None

    def _forget(self, waiter: _Waiter) -> None:
        """Give up on a waiting request; what was granted meanwhile is idle again."""
        granted = waiter.granted
        if self._leave(waiter) or not granted.done():
            granted.cancel()
        elif granted.exception() is None and isinstance(book := granted.result(), LeaseBook):
            self.settle(book, waiter.needs, {})

    async def _serve_waiters(self) -> None:
        pause = _RETRY_SECONDS
        while self._waiters:
            self._news.clear()
            self._serve_from_leases()
            batch = list(self._waiters.values())[:_MAX_ASKS]
            if not batch:
                return
            try:
                await self._ask(batch)
            except NotLive:
                continue
            except DatabaseDown:
                self._fail_all()
                return
            except Exception:  # noqa: BLE001 -- requests must not wait for a pump that has ended
                _log.exception("leases could not be acquired")
                self._fail_all()
                return
            if self._waiters:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._news.wait()
                pause = min(pause * 1.5, _MAX_RETRY_SECONDS)

    def _serve_from_leases(self) -> None:
        book, now = self.transactions.book, self._clock()
        for waiter in list(self._waiters.values()):
            if book.take(waiter.needs, now):
                self._leave(waiter)
                waiter.granted.set_result(book)

    async def _ask(self, batch: list[_Waiter]) -> None:
        """Ask the database for what requests need. Those that may still get it go on waiting."""
        self._asking = batch
        try:
            reply = await self.transactions.send([Ask(each.needs) for each in batch])
        finally:
            self._asking = []
        book, now = self.transactions.book, self._clock()
        for waiter, shortage in zip(batch, reply.shortages, strict=True):
            if id(waiter) not in self._waiters:
                # its caller left
                if shortage is None:
                    self.settle(book, waiter.needs, {})
            elif shortage is None:
                self._leave(waiter)
                waiter.granted.set_result(book)
            elif not self._may_get_it(waiter, shortage, now):
                self._leave(waiter)
                waiter.granted.set_result(self._refuse(waiter, shortage, now))

    def _may_get_it(self, waiter: _Waiter, shortage: Shortage, now: float) -> bool:
        kind = self.transactions.refs[shortage.key].kind
        return now - waiter.since < _PATIENCE[kind] and shortage.missing <= shortage.free + self._returnable(shortage)

    def _returnable(self, shortage: Shortage) -> int:
        """Return what may come back of a balance: what others have leased, and of money what attempts hold here."""
        is_money = self.transactions.refs[shortage.key].kind == "budget"
        return shortage.leased_by_others + (self.transactions.book.of(shortage.key).held if is_money else 0)

    def _refuse(self, waiter: _Waiter, shortage: Shortage, now: float) -> Refused:
        kind, key = self.transactions.refs[shortage.key].kind, shortage.key
        retry_after = None if shortage.retry_ns is None else shortage.retry_ns / 1e9
        # permits may be free again at any time
        if kind != "permits" and shortage.missing > shortage.free + self._returnable(shortage):
            seconds = min(_REFUSED_SECONDS if retry_after is None else retry_after, _REFUSED_SECONDS)
            retry_at = None if retry_after is None else now + retry_after
            if len(self._refusals) >= _MAX_REFUSALS:
                self._refusals.clear()
            self._refusals[key] = _Refusal(now + seconds, waiter.needs[key], retry_at)
        return Refused(key, retry_after)

    def _fail_all(self) -> None:
        for waiter in list(self._waiters.values()):
            self._leave(waiter)
            if not waiter.granted.done():
                waiter.granted.set_exception(LeasesUnavailable())

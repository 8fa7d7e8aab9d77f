"""The transactions of one replica: one at a time, numbered, so that one whose answer was lost is recognized."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from app import __version__
from app.governance.leases.balance import Ask, LeaseReply, LeaseRequest
from app.governance.leases.lease_book import LeaseBook
from app.governance.leases.store import LEASE_SECONDS, BalanceRef, LeaseStore, NotLive, end, register, write
from app.storage.database import Database, DatabaseDown
from app.storage.records import new_id

_log = logging.getLogger(__name__)
T = TypeVar("T")

TRANSACTION_SECONDS = 1.5
DOWN_SECONDS = 0.5
# an alarm that counts the line by the minute lasts as long as the failure
_LOG_SECONDS = 30.0
_SILENT = f"the database did not answer within {TRANSACTION_SECONDS} seconds"
# as long as a call waits for its answer
_TOLD_SECONDS = 120.0


class ReplicaTransactions:
    """The lease book of this process, and its transactions.

    refs: the balances that are in use. down_until: until then the database is taken to be unreachable.
    reached_since: since when all transactions succeeded; None if the last one failed.
    headroom: of balances that were in use lately, the capacity and what was left of it at a time.
    over: balances that are not enforced, and of which more is used than they have.
    on_lost: called with the id of this replica when others have marked it lost and it goes on as another one.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self.database = database
        self.store = LeaseStore(database)
        self.replica = ""
        self.book = LeaseBook()
        self.refs: dict[str, BalanceRef] = {}
        self.headroom: dict[str, tuple[int, int, float]] = {}
        self.over: set[str] = set()
        self.down_until = 0.0
        self.reached_since: float | None = None
        self.on_lost: Callable[[str], object] = str
        self.count = 0
        self._clock = clock
        self._sequence = 0
        self._logged_at = 0.0
        self._uncertain: LeaseRequest | None = None
        self._turn = asyncio.Lock()

    async def register(self) -> None:
        """Become a new replica, without leases. Raises DatabaseDown."""
        replica, started = new_id(), self._clock()
        async with self.database.begin() as connection:
            self.database.clock.note(await register(connection, replica, socket.gethostname(), __version__))
        self.replica, self._sequence, self._uncertain = replica, 0, None
        self.book = LeaseBook(valid_until=started + LEASE_SECONDS)
        self._note_success(started)

    async def send(
        self, asks: Sequence[Ask], *, posts: bool = True, returns: Collection[str] = (), more: Collection[str] = ()
    ) -> LeaseReply:
        """Renew the leases, ask for more, post what was used of rates, and return idle capacity.

        Args:
            posts: post what was used. returns: keys of what is returned. more: keys of what is leased in advance.

        Raises:
            DatabaseDown: nothing was granted. NotLive: this was marked lost, and is another replica now.
        """
        async with self._turn:

            def begin() -> LeaseRequest:
                rates = self.spent_rates() if posts else ()
                return self.book.begin(asks, self._clock(), posts=rates, returns=returns, more=more)

            request, reply = await self._transact(
                begin, lambda request: self.store.apply(self.replica, self._sequence, request, self.refs)
            )
            book = self.book
            now = self._clock()
            book.finish(request, reply, now)
            self.over.difference_update(request.idle)
            self.over |= reply.over
            for key, (capacity, free) in reply.headroom.items():
                self.headroom[key] = capacity, free, now
            return reply

    def spent_rates(self) -> list[str]:
        """Return the keys of rates of which something is used and not posted yet."""
        return [key for key, each in self.book.holdings.items() if each.spent and self.refs[key].kind == "rate"]

    def forget(self, keys: Collection[str]) -> None:
        """Forget balances that are not in use, and of which answers of calls that run need not tell what is left."""
        self.over.difference_update(keys)
        earliest = self._clock() - _TOLD_SECONDS
        for key in keys:
            if key not in self.headroom or self.headroom[key][2] < earliest:
                del self.refs[key]
                self.headroom.pop(key, None)

    async def run(
        self, operation: Callable[[str, int], Awaitable[tuple[Mapping[str, int], Mapping[str, int]]]]
    ) -> None:
        """Post entries of the ledger for this replica.

        Args:
            operation: gets the replica's id and the number of the transaction, which it passes to `renew`. It returns
                what was posted to each balance, and the replica's leases after that.

        Raises:
            DatabaseDown: it was committed or not: it has to be repeated. NotLive: see `send`.
        """
        async with self._turn:
            _, done = await self._transact(LeaseRequest, lambda _: operation(self.replica, self._sequence))
            self.book.confirm(*done)

    async def end(self) -> None:
        """Return all leases, and close this replica. Raises DatabaseDown."""
        async with self._turn, self.database.begin() as connection:
            rows = await end(connection, self.replica, "closed")
            if rows is None:
                return
            for key, lease in rows.leases.items():
                balance = rows.balances[key]
                if balance.kind == "rate":
                    lease.post(balance, self.book.of(key).spent, rows.now_ns)
                lease.give_back(balance, lease.amount)
            await write(connection, rows)

    async def _transact(
        self, begin: Callable[[], LeaseRequest], operation: Callable[[LeaseRequest], Awaitable[T]]
    ) -> tuple[LeaseRequest, T]:
        """Run a transaction; returns its request and its result.

        Args:
            begin: makes the request, once it is known what became of the last transaction: until then, and while this
                one runs, nothing is held of what they offer.
        """
        started = self._clock()
        try:
            async with asyncio.timeout(TRANSACTION_SECONDS):
                if self._uncertain is not None:
                    await self._resolve(self._uncertain)
                self._sequence += 1
                self.count += 1
                self._uncertain = request = begin()
                result = await operation(request)
        except NotLive:
            await self._become_another()
            raise
        except (DatabaseDown, TimeoutError) as error:
            self._note_failure(error)
            raise DatabaseDown(str(error)) from None
        self._uncertain = None
        self._note_success(started)
        self.book.valid_until = started + LEASE_SECONDS
        return request, result

    async def _resolve(self, request: LeaseRequest) -> None:
        """Find out whether the last transaction was committed, whose answer was lost."""
        sequence, amounts = await self.store.amounts(self.replica)
        if sequence == self._sequence:
            self.book.apply(request, {**dict.fromkeys(self.book.holdings, 0), **amounts})
        else:
            self.book.abandon(request)
        self._uncertain = None

    def _note_success(self, started: float) -> None:
        if self.reached_since is None:
            if self.down_until:
                _log.info("the database can be used again")
            self.reached_since = started

    def _note_failure(self, error: Exception) -> None:
        now = self._clock()
        if self.reached_since is not None or now >= self._logged_at + _LOG_SECONDS:
            self._logged_at = now
            _log.error("the database cannot be used", extra={"fields": {"error": str(error) or _SILENT}})
        self.reached_since = None
        self.down_until = now + DOWN_SECONDS

    async def _become_another(self) -> None:
        """Go on as a new replica, because the leases of this one were taken. Attempts that run keep their permits."""
        old, holdings = self.replica, self.book.holdings
        _log.error("this replica was marked lost, and registers again", extra={"fields": {"replica": old}})
        await self.register()
        for key, each in holdings.items():
            if each.held and self.refs[key].kind == "permits":
                self.book.of(key).idle = -each.held
        self.on_lost(old)

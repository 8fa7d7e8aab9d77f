"""What keeps the leases of a process: renewals, returns of idle capacity, recalls, and the leases of lost replicas."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from app.governance.leases.store import LEASE_SECONDS, RECALL, NotLive
from app.governance.leases.transactions import DOWN_SECONDS, ReplicaTransactions
from app.storage.database import Database, DatabaseDown

_log = logging.getLogger(__name__)

_TICK_SECONDS = 0.25
_IDLE_SECONDS = 1.0
_POST_SECONDS = 0.5
# on PostgreSQL notifications are faster: this is for those that were lost
_POLL_SECONDS = 2.0
_LOOK_SECONDS = 2.5


class Housekeeping:
    """Tasks beside the requests.

    Args:
        waited_for: returns the keys of balances for which requests wait or a transaction asks; these are not returned.
        take_leases: takes the leases of a replica that did not renew them.
    """

    def __init__(
        self,
        transactions: ReplicaTransactions,
        clock: Callable[[], float],
        waited_for: Callable[[], set[str]],
        take_leases: Callable[[Database, str], Awaitable[bool]],
    ) -> None:
        self._take_leases = take_leases
        self._transactions = transactions
        self._clock = clock
        self._waited_for = waited_for
        self._wake = asyncio.Event()
        self._recalled_us = 0
        self._posted_at = self._polled_at = self._looked_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin the tasks."""
        self._tasks = [asyncio.create_task(self._keep(), name="leases")]
        if not self._transactions.database.is_sqlite:
            self._tasks.append(asyncio.create_task(self._listen(), name="recalls"))

    async def close(self) -> None:
        """End the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._poll_recalls()
                await self._renew()
                await self._take_leases_of_lost()
            except (DatabaseDown, NotLive):
                await asyncio.sleep(DOWN_SECONDS)
            except Exception:  # noqa: BLE001 -- leases must be renewed whatever happens
                _log.exception("leases could not be kept")
                await asyncio.sleep(DOWN_SECONDS)

    async def _renew(self) -> None:
        """Renew the leases, as far as that is due.

        Idle and recalled capacity is returned, the use of rates is posted, and what runs low is leased in advance.
        """
        transactions, now = self._transactions, self._clock()
        book = transactions.book
        idle = book.to_return(now, _IDLE_SECONDS) - self._waited_for()
        low = {key for key in book.running_low(now) if transactions.refs[key].kind != "permits"}
        posts = now - self._posted_at >= _POST_SECONDS and transactions.spent_rates()
        if posts:
            # their rows are locked anyway, and so they seldom need a transaction of their own
            low.update(posts)
        low -= self._waited_for()
        if not idle and not posts and not low and now < book.valid_until - LEASE_SECONDS * 2 / 3:
            return
        await transactions.send([], returns=idle, more=low)
        self._posted_at = now
        book.drop_empty()
        in_use = book.holdings.keys() | self._waited_for()
        transactions.forget(transactions.refs.keys() - in_use)

    async def _poll_recalls(self) -> None:
        transactions, now = self._transactions, self._clock()
        pause = 0.0 if transactions.database.is_sqlite else _POLL_SECONDS
        if not transactions.book.holdings or now < self._polled_at + pause:
            return
        self._polled_at = now
        for key, moment in await transactions.store.recalled(self._recalled_us):
            transactions.book.recall([key])
            self._recalled_us = max(self._recalled_us, moment)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(DatabaseDown):
                async with self._transactions.database.listening(RECALL, self._hear) as lost:
                    await lost.wait()
            await asyncio.sleep(DOWN_SECONDS)

    def _hear(self, key: str) -> None:
        if self._transactions.book.recall([key]):
            self._wake.set()

    async def _take_leases_of_lost(self) -> None:
        """Mark replicas as lost that did not renew. After a failure of the database, each gets time to do so."""
        transactions, now = self._transactions, self._clock()
        since = transactions.reached_since
        if since is None or now - since < LEASE_SECONDS or now < self._looked_at + _LOOK_SECONDS:
            return
        self._looked_at = now
        for replica in await transactions.store.expired():
            if await self._take_leases(transactions.database, replica):
                _log.error("a replica was lost, and its leases are charged", extra={"fields": {"replica": replica}})

"""The meters of a pool that replicas share, by leases from the database: docs/adr/0033-leases-from-one-database.md.

Each meter has two balances of kind `rate`. `quota/ID/minute` has the quota of a minute, from which calls that run hold
what they reserve. `quota/ID/starts` refills within a second, and spaces the starts of all replicas evenly.
Their capacities are rows of `limits` with the scope `quota`, which each replica writes from its configuration.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Sequence

from app.governance.leases.balance import STARTS, STARTS_NS
from app.governance.leases.capacities import write_capacities
from app.governance.leases.client import LeaseClient, LeasesUnavailable, Refused
from app.governance.leases.lease_book import LeaseBook
from app.governance.leases.store import BalanceRef
from app.governance.quotas.meters import Hold, LocalMeters, Meter, Need
from app.storage.database import DatabaseDown

_log = logging.getLogger(__name__)

# starts are counted in thousandths, so that a few requests per minute are a whole number too
_SCALE = 1000
_SHORTEST_WAIT, _LONGEST_WAIT = 0.01, 0.5
_RETRY_SECONDS = 1.0


class SharedHold(Hold):
    """A hold of leased capacity. book: in which it is held; None where the database was not there."""

    book: LeaseBook | None = None
    minute: dict[str, int] = {}


class SharedMeters:
    """Meters whose capacity is leased.

    Args:
        pool: what the pool is called in the database. meters: for the whole quota. alone: what counts while the
            database cannot be reached. clock: monotonic seconds.
    """

    def __init__(
        self,
        pool: str,
        meters: Sequence[Meter],
        client: LeaseClient,
        alone: LocalMeters,
        clock: Callable[[], float],
    ) -> None:
        digest = hashlib.blake2b(pool.encode(), digest_size=12).hexdigest()
        ids = [f"quota-{digest}-{meter.name}" for meter in meters]
        self._pool = pool
        self._meters = meters
        self._client = client
        self._alone = alone
        self._clock = clock
        self._minutes = [f"quota/{each}/minute" for each in ids]
        self._starts = [f"quota/{each}/starts" for each in ids]
        self._refs = {
            **{key: BalanceRef(key, "rate", f"{each}-minute") for key, each in zip(self._minutes, ids, strict=True)},
            **{key: BalanceRef(key, "rate", f"{each}-starts") for key, each in zip(self._starts, ids, strict=True)},
        }
        self._capacities = [max(int(meter.rate(1.0) * STARTS_NS / 1e9 * _SCALE), 1) for meter in meters]
        # what calls took beyond what was expected of them; it is added to what the next ones take
        self._debts = [0] * len(meters)
        self.room = math.inf
        self.only: Meter | None = None
        # as which replica this process wrote the capacities
        self._written_as = ""
        self._down_until = 0.0
        self._next_at = 0.0
        self._reserved = 0

    @property
    def reserved(self) -> int:
        """See `Meters`."""
        return self._reserved + self._alone.reserved

    def take(self, needs: Sequence[Need], factor: float) -> Hold | None:
        """See `Meters`."""
        if self._down_until and self._is_down:
            return self._alone.take(needs, factor)
        if self._written_as != self._client.transactions.replica:
            return None
        amounts, taken = self._amounts(needs, factor)
        book = self._client.take(amounts, self._starts)
        if book is None:
            return None
        for starts in self._starts:
            if taken[starts] > amounts[starts]:
                self._client.settle(book, {starts: 0}, {starts: taken[starts] - amounts[starts]})
        return self._hold(book, needs, amounts, taken, factor)

    async def wait(self, needs: Sequence[Need], factor: float) -> Hold | float:
        """See `Meters`."""
        if self._is_down:
            return await self._alone.wait(needs, factor)
        try:
            if self._written_as != self._client.transactions.replica:
                # also after a database without them was restored, which does not know this replica
                await self._write()
            amounts, taken = self._amounts(needs, factor)
            found = await self._client.acquire(amounts, self._refs)
        except (LeasesUnavailable, DatabaseDown):
            _log.warning("a quota cannot be shared now: the database is down", extra={"fields": {"quota": self._pool}})
            self._down_until = self._clock() + _RETRY_SECONDS
            return _SHORTEST_WAIT
        if isinstance(found, Refused):
            seconds = _LONGEST_WAIT if found.retry_after is None else found.retry_after
            seconds = min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)
            self._next_at = self._clock() + seconds
            return seconds
        # the starts count at once; what the calls reserve is kept
        self._client.settle(found, {starts: amounts[starts] for starts in self._starts}, taken)
        return self._hold(found, needs, amounts, taken, factor)

    def settle(self, holds: Sequence[Hold], used: Sequence[Sequence[int]], factor: float) -> None:
        """See `Meters`."""
        for hold, amounts in zip(holds, used, strict=True):
            if not isinstance(hold, SharedHold) or hold.book is None:
                self._alone.settle([hold], [amounts], factor)
                continue
            self._reserved -= hold.needs[0].reserved
            taken: dict[str, int] = {}
            for index, minute in enumerate(self._minutes):
                amount = amounts[index]
                taken[minute] = int(amount / factor)
                self._debts[index] += int((amount - hold.needs[index].cost) * _SCALE / factor)
            self._client.settle(hold.book, hold.minute, taken)

    def delay(self, needs: Sequence[Need], factor: float) -> float:
        """See `Meters`. Only the database knows it; the last answer counts."""
        del needs, factor
        return max(self._next_at - self._clock(), 0.0)

    def next_start(self) -> float:
        """See `Meters`. Other replicas may give back what they have leased at any moment."""
        return 0.0

    def rate(self, factor: float) -> float:
        """See `Meters`: of all replicas together."""
        return self._meters[0].rate(factor)

    @property
    def _is_down(self) -> bool:
        return bool(self._down_until) and self._clock() < self._down_until

    def _amounts(self, needs: Sequence[Need], factor: float) -> tuple[dict[str, int], dict[str, int]]:
        """Return what is held of each balance, and what the starts take, which may be more."""
        amounts: dict[str, int] = {}
        taken: dict[str, int] = {}
        for index, starts in enumerate(self._starts):
            need, most, capacity = needs[index], self._meters[index].per_minute, self._capacities[index]
            cost = int(need.cost * _SCALE / factor) + self._debts[index]
            reserved = int(need.reserved / factor)
            if not index and self.room < most:
                # where all replicas together have less room than a minute's quota, each call takes more of that
                reserved = int(reserved * most / self.room)
            amounts[self._minutes[index]] = reserved if reserved < most else most
            cost = taken[starts] = max(cost, 0)
            amounts[starts] = cost if cost < capacity else capacity
        return amounts, taken

    def _hold(
        self, book: LeaseBook, needs: Sequence[Need], amounts: dict[str, int], taken: dict[str, int], factor: float
    ) -> SharedHold:
        for index, starts in enumerate(self._starts):
            self._debts[index] -= taken[starts] - int(needs[index].cost * _SCALE / factor)
        self._next_at = 0.0
        self._reserved += needs[0].reserved
        return SharedHold(needs, book, {minute: amounts[minute] for minute in self._minutes})

    async def _write(self) -> None:
        """Write the capacities. Raises DatabaseDown."""
        rows = []
        for meter, minute, starts, capacity in zip(
            self._meters, self._minutes, self._starts, self._capacities, strict=True
        ):
            rows.append((self._refs[minute].source_id, "per_minute", meter.per_minute))
            rows.append((self._refs[starts].source_id, STARTS, capacity))
        replica = self._client.transactions.replica
        await write_capacities(self._client.transactions.database, rows)
        self._written_as = replica

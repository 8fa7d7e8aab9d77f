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

from app.governance.leases.balance import STARTS
from app.governance.leases.capacities import write_capacities
from app.governance.leases.client import LeaseClient, LeasesUnavailable, Refused
from app.governance.leases.lease_book import LeaseBook
from app.governance.leases.store import BalanceRef
from app.governance.quotas.leased_meter import LeasedMeter
from app.governance.quotas.meters import LocalMeters, Meter, MetersHold, Need
from app.storage.database import DatabaseDown

_log = logging.getLogger(__name__)

_SHORTEST_WAIT, _LONGEST_WAIT = 0.01, 0.5
_RETRY_SECONDS = 1.0


class SharedHold(MetersHold):
    """A hold of leased capacity. meters: of which it holds. held: of the minute of each."""

    meters: Sequence[LeasedMeter]
    held: Sequence[int]


class SharedMeters:
    """Meters whose capacity is leased. refs: their balances.

    Args:
        pool: what the pool is called in the database. meters: for the whole quota. alone: what counts while the
            database cannot be reached. clock: monotonic seconds.
    """

    answer_seconds = _LONGEST_WAIT

    def __init__(
        self,
        pool: str,
        meters: Sequence[Meter],
        client: LeaseClient,
        alone: LocalMeters,
        clock: Callable[[], float],
    ) -> None:
        digest = hashlib.blake2b(pool.encode(), digest_size=12).hexdigest()
        self._ids = [f"quota-{digest}-{meter.name}" for meter in meters]
        self._pool = pool
        self._meters = meters
        self._client = client
        self._alone = alone
        self._clock = clock
        book = client.transactions.book
        self._leased = [LeasedMeter(meter, id_, client, book) for meter, id_ in zip(meters, self._ids, strict=True)]
        self.refs: dict[str, BalanceRef] = {}
        for each, id_ in zip(self._leased, self._ids, strict=True):
            self.refs[each.minute] = BalanceRef(each.minute, "rate", f"{id_}-minute")
            self.refs[each.starts] = BalanceRef(each.starts, "rate", f"{id_}-starts")
        self.room = math.inf
        # as which replica this process wrote the capacities
        self._written_as = ""
        self._down_until = 0.0
        self._next_at = 0.0

    @property
    def reserved(self) -> int:
        """See `Meters`."""
        return self._leased[0].reserved + self._alone.reserved

    @property
    def only(self) -> LeasedMeter | None:
        """See `Meters`. The leases of another replica have another one."""
        if len(self._leased) > 1 or self._is_down or not self._is_written:
            return None
        return self._leased_in(self._client.transactions.book)[0]

    def take(self, needs: Sequence[Need], factor: float) -> MetersHold | None:
        """See `Meters`."""
        if self._is_down:
            return self._alone.take(needs, factor)
        if not self._is_written:
            return None
        needed = self._needed(needs, factor)
        book = self._client.take(self._amounts(needed))
        return None if book is None else self._hold(book, needs, needed)

    async def wait(self, needs: Sequence[Need], factor: float) -> MetersHold | float:
        """See `Meters`."""
        if self._is_down:
            return await self._alone.wait(needs, factor)
        try:
            if not self._is_written:
                # also after a database without them was restored, which does not know this replica
                await self._write()
            needed = self._needed(needs, factor)
            found = await self._client.acquire(self._amounts(needed), self.refs)
        except (LeasesUnavailable, DatabaseDown):
            _log.warning("a quota cannot be shared now: the database is down", extra={"fields": {"quota": self._pool}})
            self._down_until = self._clock() + _RETRY_SECONDS
            return _SHORTEST_WAIT
        if isinstance(found, Refused):
            seconds = _LONGEST_WAIT if found.retry_after is None else found.retry_after
            seconds = min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)
            self._next_at = self._clock() + seconds
            return seconds
        return self._hold(found, needs, needed)

    def settle(self, holds: Sequence[MetersHold], used: Sequence[Sequence[int]], factor: float) -> None:
        """See `Meters`."""
        for hold, amounts in zip(holds, used, strict=True):
            if not isinstance(hold, SharedHold):
                self._alone.settle([hold], [amounts], factor)
                continue
            for meter, need, held, amount in zip(hold.meters, hold.needs, hold.held, amounts, strict=True):
                meter.learn(factor)
                meter.end(need.reserved, held, need.cost, amount)

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

    @property
    def _is_written(self) -> bool:
        return self._written_as == self._client.transactions.replica

    def _needed(self, needs: Sequence[Need], factor: float) -> list[tuple[int, int, int]]:
        """Return what a call needs of each meter; see `LeasedMeter.needed`."""
        needed, room = [], self.room
        for meter, need in zip(self._leased, needs, strict=True):
            meter.learn(factor)
            needed.append(meter.needed(need, room))
            room = math.inf
        return needed

    def _amounts(self, needed: Sequence[tuple[int, int, int]]) -> dict[str, int]:
        """Return what is held of each balance."""
        amounts: dict[str, int] = {}
        for meter, (minute, starts, _) in zip(self._leased, needed, strict=True):
            amounts[meter.minute], amounts[meter.starts] = minute, starts
        return amounts

    def _hold(self, book: LeaseBook, needs: Sequence[Need], needed: Sequence[tuple[int, int, int]]) -> SharedHold:
        meters = self._leased_in(book)
        for meter, need, (_, starts, taken) in zip(meters, needs, needed, strict=True):
            # the starts count at once; what the calls reserve is kept
            meter.start(need, starts, taken)
        self._next_at = 0.0
        return SharedHold(needs, meters, [minute for minute, _, _ in needed])

    def _leased_in(self, book: LeaseBook) -> Sequence[LeasedMeter]:
        """Return the meters with the leases of a book."""
        if self._leased[0].book is not book:
            before = zip(self._meters, self._ids, self._leased, strict=True)
            self._leased = [LeasedMeter(meter, id_, self._client, book, old.debt) for meter, id_, old in before]
        return self._leased

    async def _write(self) -> None:
        """Write the capacities. Raises DatabaseDown."""
        rows = []
        for meter in self._leased:
            rows.append((self.refs[meter.minute].source_id, "per_minute", meter.per_minute))
            rows.append((self.refs[meter.starts].source_id, STARTS, meter.capacity))
        replica = self._client.transactions.replica
        await write_capacities(self._client.transactions.database, rows)
        self._written_as = replica

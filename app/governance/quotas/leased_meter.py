"""One meter of a pool that replicas share: what one replica has leased of it."""

from __future__ import annotations

from app.governance.leases.balance import STARTS_NS
from app.governance.leases.client import LeaseClient
from app.governance.leases.lease_book import Holding, LeaseBook
from app.governance.quotas.meters import Meter, Need

# starts are counted in thousandths, so that a few requests per minute are a whole number too
_SCALE = 1000


class LeasedMeter:
    """A meter whose two balances are leased. Calls that are over settle it as long as `book` is that of this process.

    minute, starts: the keys of its balances; see `shared_meters`. capacity: what may start within a second.
    debt: what calls took beyond what was expected of them; the next one takes it. reserved: by calls that run.
    """

    def __init__(self, meter: Meter, id_: str, client: LeaseClient, book: LeaseBook, debt: int = 0) -> None:
        self.minute, self.starts = self._keys = f"quota/{id_}/minute", f"quota/{id_}/starts"
        self.per_minute = meter.per_minute
        self.capacity = max(int(meter.rate(1.0) * STARTS_NS / 1e9 * _SCALE), 1)
        self.book = book
        self.debt = debt
        self.reserved = 0
        self._factor = 1.0
        self._client = client
        # where the book has the balances, and in which mapping they were found
        self._holdings: tuple[Holding, ...] = ()
        self._found_in: object = None

    def learn(self, factor: float) -> None:
        """See `Meter`."""
        self._factor = factor

    def take(self, reserved: int, cost: int, now: float) -> bool:
        """Start a call, if the whole quota is there and the leases cover the call; returns whether it did."""
        del now
        if self._client.transactions.book.holdings is not self._found_in and not self._find():
            return False
        due = cost * _SCALE + self.debt
        starts = due if due > 0 else 0
        if not self._client.take_from(self._holdings, (reserved, starts), self._keys):
            return False
        # a start counts at once; what the call reserves is kept
        self._holdings[1].spent += starts
        self.debt = due - starts
        self.reserved += reserved
        return True

    def settle(self, reserved: int, cost: int, used: int, now: float) -> None:
        """End calls that took directly: what they reserved, were expected to take and took together."""
        del now
        self.end(reserved, reserved, cost, used)

    def end(self, reserved: int, held: int, cost: int, used: int) -> None:
        """End calls. held: of the balance of a minute, for what they reserved."""
        self.reserved -= reserved
        self.debt += int((used - cost) * _SCALE / self._factor)
        self._client.settle(self.book, {self.minute: held}, {self.minute: int(used / self._factor)})

    def needed(self, need: Need, room: float) -> tuple[int, int, int]:
        """Return what a call holds of a minute and of starts, and what it takes of starts, which may be more.

        Args:
            room: see `Meters`.
        """
        reserved, most = int(need.reserved / self._factor), self.per_minute
        if room < most:
            # where all replicas together have less room than a minute's quota, each call takes more of that
            reserved = int(reserved * most / room)
        starts = max(int(need.cost * _SCALE / self._factor) + self.debt, 0)
        return min(reserved, most), min(starts, self.capacity), starts

    def start(self, need: Need, held: int, taken: int) -> None:
        """Start a call for which the book holds what it needs. held, taken: of starts."""
        self._client.settle(self.book, {self.starts: held}, {self.starts: taken})
        self.debt -= taken - int(need.cost * _SCALE / self._factor)
        self.reserved += need.reserved

    def _find(self) -> bool:
        """Find the balances in the book; returns False if it is not this process's, or does not know one of them."""
        book = self.book
        found = book.find(self._keys) if book is self._client.transactions.book else None
        if found is None:
            return False
        self._holdings, self._found_in = found, book.holdings
        return True

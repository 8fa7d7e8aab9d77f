"""A replica's side of the lease protocol: what it has leased, and what of that is idle. It does no input or output."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct, field

from app.governance.leases.balance import Ask, LeaseReply, LeaseRequest

_RECENT_SECONDS = 0.5
# the part of what was held within that time, below which more is leased in advance
_LOW = 0.75


@dataclass(slots=True, eq=False)
class Holding:
    """What a replica has of one balance. Times are those of a monotonic clock, in seconds.

    amount: the lease, as the database has it. It is the sum of `idle`, `held`, `spent` and `pending`.
    idle: what can be held at once; negative if attempts cost more than was held for them.
    spent: used, and not posted yet. pending: offered to the database in a transaction that runs.
    recent, before: what was held in this period and in the one before it. ends: when this period ends.
    is_recalled: nothing is held before the database has answered. recall_at: when an override of the capacity ends.
    """

    amount: int = 0
    idle: int = 0
    spent: int = 0
    pending: int = 0
    used_at: float = 0.0
    ends: float = 0.0
    recent: int = 0
    before: int = 0
    is_recalled: bool = False
    recall_at: float = math.inf

    @property
    def held(self) -> int:
        """What is held for attempts that run."""
        return self.amount - self.idle - self.spent - self.pending

    def lease(self, amount: int) -> None:
        """Note the lease that the database has now."""
        self.idle += amount - self.amount
        self.amount = amount

    def hold(self, amount: int, now: float) -> None:
        """Hold an amount, and count it for the size of the next lease."""
        self.idle -= amount
        self.used_at = now
        if now >= self.ends:
            self.begin_period(now)
        self.recent += amount

    def settle(self, held: int, used: int, now: float) -> None:
        """See `LeaseBook.settle`."""
        self.idle += held - used
        self.spent += used
        self.used_at = now

    def post(self, used: int) -> None:
        """Note that what was used is posted: the next lease is smaller by it."""
        self.spent -= used
        self.idle += used

    def offer(self) -> int:
        """Keep what is idle for a transaction; returns it, which is negative if too much was spent."""
        idle = self.idle
        if idle > 0:
            self.pending += idle
            self.idle = 0
        return idle

    def end_offer(self) -> None:
        """Have what was offered idle again."""
        self.idle += self.pending
        self.pending = 0

    def begin_period(self, now: float) -> None:
        """Begin to count what is held anew."""
        self.before = self.recent if now < self.ends + _RECENT_SECONDS else 0
        self.recent, self.ends = 0, now + _RECENT_SECONDS

    def wish(self, now: float) -> int:
        """Return what was held within about half a second: the size of a useful reserve."""
        if now >= self.ends + _RECENT_SECONDS:
            return 0
        return self.recent if now >= self.ends else max(self.recent, self.before)


class LeaseBook(Struct):
    """All leases of one replica.

    holdings: by the keys of balances. When some are forgotten it becomes another mapping, so that whoever has kept a
        holding knows to look it up again.
    valid_until: the monotonic time at which they end, unless they are renewed.
    """

    holdings: dict[str, Holding] = field(default_factory=dict)
    valid_until: float = 0.0

    def of(self, key: str) -> Holding:
        """Return the holding of a balance."""
        holding = self.holdings.get(key)
        if holding is None:
            holding = self.holdings[key] = Holding()
        return holding

    def take(self, needs: Mapping[str, int], now: float, used: Collection[str] = ()) -> bool:
        """Hold amounts of all balances, or of none; returns whether it did.

        Args:
            used: keys of balances of which the amount is used at once.

        Raises:
            ValueError: an amount is negative.
        """
        if min(needs.values(), default=0) < 0:
            raise ValueError("a hold must not be negative")
        found = self.find(needs)
        if found is None or not self.take_from(found, [*needs.values()], now):
            return False
        for key in used:
            self.settle(key, needs[key], needs[key], now)
        return True

    def find(self, keys: Iterable[str]) -> tuple[Holding, ...] | None:
        """Return the holdings of balances; None if one of them is not known."""
        try:
            return tuple([self.holdings[key] for key in keys])
        except KeyError:
            return None

    def take_from(self, holdings: Sequence[Holding], amounts: Sequence[int], now: float) -> bool:
        """Hold an amount of each holding, or nothing; returns whether it did.

        Args:
            holdings: found before in the mapping that the book has now. amounts: none is negative.
        """
        if now >= self.valid_until:
            return False
        for holding, amount in zip(holdings, amounts, strict=True):
            left = holding.idle - amount
            if left < 0 or holding.is_recalled:
                _undo(holdings, amounts, holding)
                return False
            # as `Holding.hold`: a call for each would take longer than this
            holding.idle = left
            holding.used_at = now
            if now >= holding.ends:
                holding.begin_period(now)
            holding.recent += amount
        return True

    def settle(self, key: str, held: int, used: int, now: float) -> None:
        """End a hold: what was used is to be posted, and the rest is idle again."""
        self.of(key).settle(held, used, now)

    def settle_from(self, holdings: Sequence[Holding], held: Sequence[int], used: Sequence[int], now: float) -> None:
        """End a hold in holdings that were found before. held, used: of each of them; more is left out."""
        for holding, amount, spent in zip(holdings, held, used, strict=False):
            # as `Holding.settle`
            holding.idle += amount - spent
            holding.spent += spent
            holding.used_at = now

    def running_low(self, now: float) -> set[str]:
        """Return the keys of balances of which too little is idle for the next half second."""
        return {
            key
            for key, each in self.holdings.items()
            if not each.is_recalled and each.idle < (wish := each.wish(now)) * _LOW and wish
        }

    def begin(
        self,
        asks: Sequence[Ask],
        now: float,
        *,
        posts: Collection[str] = (),
        returns: Collection[str] = (),
        more: Collection[str] = (),
    ) -> LeaseRequest:
        """Make the request of a transaction. Idle capacity for the asks cannot be held before `finish` or `abandon`.

        Args:
            posts: keys of rates whose use is posted. returns: keys whose idle capacity is given back.
            more: keys of which more is leased in advance, for about a second or, where there is plenty, for several.
        """
        idle: dict[str, int] = {}
        for key in {key for ask in asks for key in ask.needs}:
            holding = self.of(key)
            idle[key] = holding.offer()
        given = {}
        for key in returns:
            holding = self.of(key)
            if key not in idle and holding.idle > 0:
                given[key] = holding.offer()
        recalled = [key for key in (*idle, *given) if self.of(key).is_recalled]
        for key in recalled:
            # one that comes while the transaction runs stays: the transaction may not know the new capacity
            self.of(key).is_recalled = False
        used = {key: self.of(key) for key in posts}
        return LeaseRequest(
            posts={
                key: (each.spent, max(int((now - each.used_at) * 1e9), 0)) for key, each in used.items() if each.spent
            },
            returns=given,
            asks=asks,
            idle=idle,
            surplus={key: self.of(key).wish(now) for key in idle},
            recalled=recalled,
            more={
                key: (self.of(key).wish(now), self.of(key).idle)
                for key in more
                if not (key in idle or key in given or self.of(key).is_recalled)
            },
        )

    def finish(self, request: LeaseRequest, reply: LeaseReply, now: float) -> None:
        """Apply the answer of a transaction. What granted asks need is held for them."""
        self._note_commit(request, reply.amounts)
        for key in reply.amounts:
            holding = self.of(key)
            holding.is_recalled |= key in reply.exceeded
            holding.recall_at = now + reply.changes[key] / 1e9 if key in reply.changes else math.inf
        for ask, shortage in zip(request.asks, reply.shortages, strict=True):
            if shortage is None:
                for key, need in ask.needs.items():
                    self.of(key).hold(need, now)

    def apply(self, request: LeaseRequest, amounts: Mapping[str, int]) -> None:
        """Note that a transaction was committed, whatever it answered to its asks. amounts: the leases after it."""
        self._note_commit(request, amounts)
        self.recall(request.recalled)

    def _note_commit(self, request: LeaseRequest, amounts: Mapping[str, int]) -> None:
        self._end_pending(request)
        for key, (used, _) in request.posts.items():
            self.of(key).post(used)
        for key, amount in amounts.items():
            self.of(key).lease(amount)

    def abandon(self, request: LeaseRequest) -> None:
        """Note that a transaction was not committed."""
        self._end_pending(request)
        self.recall(request.recalled)

    def _end_pending(self, request: LeaseRequest) -> None:
        for key in (*request.idle, *request.returns):
            self.of(key).end_offer()

    def confirm(self, posted: Mapping[str, int], amounts: Mapping[str, int]) -> None:
        """Note that entries of the ledger are in the database. posted: their charges. amounts: the leases after it."""
        for key, charge in posted.items():
            self.of(key).post(charge)
        for key, amount in amounts.items():
            self.of(key).lease(amount)

    def recall(self, keys: Collection[str]) -> bool:
        """Hold nothing of balances before the database has answered; returns whether something of them is idle."""
        found = [self.holdings[key] for key in keys if key in self.holdings]
        for holding in found:
            holding.is_recalled = True
        return any(holding.idle > 0 for holding in found)

    def to_return(self, now: float, seconds: float) -> set[str]:
        """Return the keys of idle capacity that was recalled, or not used for some seconds."""
        self.recall([key for key, each in self.holdings.items() if each.recall_at <= now])
        return {
            key
            for key, each in self.holdings.items()
            if each.idle > 0 and (each.is_recalled or each.used_at <= now - seconds)
        }

    def drop_empty(self) -> None:
        """Forget balances of which nothing is leased, held or to be posted."""
        kept = {
            key: each for key, each in self.holdings.items() if each.amount or each.idle or each.spent or each.pending
        }
        if len(kept) < len(self.holdings):
            self.holdings = kept


def _undo(holdings: Sequence[Holding], amounts: Sequence[int], until: Holding) -> None:
    """Have idle again what was held of the first holdings, before one that has too little."""
    for holding, amount in zip(holdings, amounts, strict=True):
        if holding is until:
            return
        holding.idle += amount
        holding.recent -= amount

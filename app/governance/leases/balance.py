"""The database's side of the lease protocol, on the rows that a transaction has locked. It does no input or output.

Amounts are integers: nano-dollars, tokens, requests or permits. Invariants, for each balance:

- `leased` is the sum of the amounts of its leases that are not charged.
- A grant never makes `used + leased` exceed the capacity.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

MINUTE_NS = 60_000_000_000
# a limit of this kind spaces starts: its capacity is what may start within so many nanoseconds
STARTS, STARTS_NS = "starts", 1_000_000_000
Kind = Literal["budget", "rate", "permits"]
# leases of a balance grow by this factor with each grant, up to this part of what is left of it
_GROWTH, _PLENTY = 8, 256
# periods after which the use of a rate is refilled at most. It would take longer after the database's clock was ahead
# and is set right, and after a shadow limit, which lets through any number of calls, became enforced
_LONGEST_REFILL, _LONGEST_REFILL_IN_SHADOW = 60, 2


class Balance(Struct):
    """A row of `balances`, with the capacity from the row of its budget or limit.

    capacity: None if nothing limits it any more. is_enforced: False for shadow limits and for budgets that only warn:
        all that is asked for is granted.
    settled: posted, of a budget. refilled_at_ns: of a rate, when all that was used will have been refilled.
    period_ns: of a rate, in which its capacity is refilled. changes_ns: when an override of the capacity ends.
    """

    key: str
    kind: Kind
    capacity: int | None
    is_enforced: bool = True
    settled: int = 0
    leased: int = 0
    refilled_at_ns: int = 0
    period_ns: int = MINUTE_NS
    changes_ns: int | None = None

    def used(self, now_ns: int) -> int:
        """Return what is used now, without leases."""
        if self.kind != "rate":
            return self.settled
        missing_ns = max(self.refilled_at_ns - now_ns, 0)
        return -(-missing_ns * (self.capacity or 0) // self.period_ns)

    def free(self, now_ns: int) -> int | None:
        """Return what can still be leased; negative after the capacity was lowered; None without a limit."""
        if self.capacity is None:
            return None
        return self.capacity - self.used(now_ns) - self.leased

    def excess(self, now_ns: int) -> int:
        """Return what is used and leased beyond the capacity: it was lowered, or attempts cost more than held."""
        free = self.free(now_ns)
        return max(-free, 0) if self.is_enforced and free is not None else 0

    def is_scarce(self, now_ns: int) -> bool:
        """Return whether less than half of it is free: then nothing is leased in advance."""
        free = self.free(now_ns)
        return self.is_enforced and free is not None and 2 * free < (self.capacity or 0)

    def plenty(self, now_ns: int, replicas: int) -> int:
        """Return how much of it a replica may lease that does not need it yet: others will not miss it soon."""
        free = self.free(now_ns)
        if self.kind == "permits" or free is None:
            return 0
        return max(free, 0) // (_PLENTY * max(replicas, 1))

    def is_short(self, amount: int, now_ns: int) -> bool:
        """Return whether an amount cannot be granted."""
        free = self.free(now_ns)
        return self.is_enforced and free is not None and amount > max(free, 0)

    def wait_ns(self, amount: int, now_ns: int) -> int | None:
        """Return the nanoseconds until an amount of a rate fits, if nothing is returned; None if it never does."""
        if self.kind != "rate" or not self.capacity or amount + self.leased > self.capacity:
            return None
        excess = self.used(now_ns) + self.leased + amount - self.capacity
        return max(-(-excess * self.period_ns // self.capacity), 0)

    def bound(self, now_ns: int) -> None:
        """Forget what was used of a rate beyond the longest time to refill it."""
        periods = _LONGEST_REFILL if self.is_enforced else _LONGEST_REFILL_IN_SHADOW
        self.refilled_at_ns = min(self.refilled_at_ns, now_ns + periods * self.period_ns)

    def use(self, amount: int, at_ns: int) -> None:
        """Count what was used: of a budget, what was spent; of a rate, what was used at a time that has passed."""
        if self.kind == "budget":
            self.settled += amount
        elif self.kind == "rate" and self.capacity:
            self.refilled_at_ns = max(self.refilled_at_ns, at_ns) - (-amount * self.period_ns // self.capacity)
            if not self.is_enforced:
                self.bound(at_ns)


class Lease(Struct):
    """A row of `leases`. is_charged: its replica was lost, and its amount counts as used and not as leased."""

    amount: int = 0
    is_charged: bool = False

    def grant(self, balance: Balance, amount: int) -> None:
        """Add capacity from the balance."""
        self.amount += amount
        balance.leased += amount

    def give_back(self, balance: Balance, amount: int) -> None:
        """Return capacity to the balance; more than the lease has counts as all of it."""
        amount = min(amount, self.amount)
        self.amount -= amount
        if self.is_charged:
            balance.settled -= amount
        else:
            balance.leased -= amount

    def post(self, balance: Balance, amount: int, at_ns: int) -> None:
        """Turn leased capacity into used capacity. What exceeds the lease is used all the same."""
        self.give_back(balance, amount)
        balance.use(amount, at_ns)

    def charge(self, balance: Balance, now_ns: int) -> None:
        """Take the lease from a lost replica: money stays charged, a rate counts as used, permits return."""
        if self.is_charged:
            return
        balance.leased -= self.amount
        if balance.kind == "budget":
            balance.settled += self.amount
            self.is_charged = True
        else:
            balance.use(self.amount, now_ns)
            self.amount = 0


class Ask(Struct, frozen=True):
    """What one waiting request needs: amounts by the keys of balances. It gets all of it, or nothing."""

    needs: Mapping[str, int]


class LeaseRequest(Struct, frozen=True):
    """What a replica tells and asks in one transaction.

    posts: of rates, what was used, and how many nanoseconds ago. returns: idle capacity that it gives back.
    asks: in the order of their arrival. idle: what the replica has for them, negative if attempts cost more than held.
    surplus: what it would like to have beyond that. recalled: keys of which it holds nothing before the answer.
    more: of balances that nobody waits for, what it uses within half a second, and what is idle: it would like to have
        twice as much in advance, or several times where there is plenty.
    """

    posts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    returns: Mapping[str, int] = field(default_factory=dict)
    asks: Sequence[Ask] = ()
    idle: Mapping[str, int] = field(default_factory=dict)
    surplus: Mapping[str, int] = field(default_factory=dict)
    recalled: Collection[str] = ()
    more: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def keys(self) -> set[str]:
        """Return the keys of all balances that it is about."""
        return {*self.posts, *self.returns, *self.idle, *self.more, *(key for ask in self.asks for key in ask.needs)}


class Shortage(Struct, frozen=True):
    """Why an ask was not granted: the first balance with too little left.

    missing: what it would have to grant; free: what it could. leased_by_others: what other replicas have of it.
    retry_ns: when it will fit, of a rate; None if that is unknown.
    """

    key: str
    missing: int
    free: int
    leased_by_others: int
    retry_ns: int | None


class LeaseReply(Struct, frozen=True):
    """What a transaction answers: for each ask None or why it was not granted, and the leases after it.

    over: keys of balances that are not enforced, and have less left than was asked for. headroom: capacity and free,
        which is negative where more is leased than the capacity.
    exceeded: keys of balances with an excess. changes: nanoseconds until overrides end.
    """

    shortages: list[Shortage | None]
    amounts: dict[str, int]
    over: set[str]
    headroom: dict[str, tuple[int, int]]
    exceeded: set[str] = field(default_factory=set)
    changes: dict[str, int] = field(default_factory=dict)


def apply_request(
    request: LeaseRequest, balances: Mapping[str, Balance], leases: Mapping[str, Lease], now_ns: int, replicas: int
) -> LeaseReply:
    """Apply a replica's request to the locked rows.

    Args:
        balances, leases: by key, one of each for every key of the request. replicas: that are live.
    """
    for balance in balances.values():
        if balance.refilled_at_ns > now_ns:
            balance.bound(now_ns)
    for key, (amount, age_ns) in request.posts.items():
        leases[key].post(balances[key], amount, now_ns - age_ns)
    for key, amount in request.returns.items():
        leases[key].give_back(balances[key], amount)
    idle = dict(request.idle)
    for key, amount in request.idle.items():
        if (excess := min(amount, balances[key].excess(now_ns))) > 0:
            leases[key].give_back(balances[key], excess)
            idle[key] -= excess
    shortages: list[Shortage | None] = []
    over: set[str] = set()
    granted: dict[str, int] = {}
    for ask in request.asks:
        missing = {key: max(need - idle.get(key, 0), 0) for key, need in ask.needs.items()}
        short = next((key for key in sorted(missing) if balances[key].is_short(missing[key], now_ns)), None)
        if short is not None:
            shortages.append(_shortage(balances[short], leases[short], missing[short], now_ns))
            continue
        shortages.append(None)
        for key, amount in missing.items():
            free = balances[key].free(now_ns)
            if free is not None and amount > free:
                over.add(key)
            leases[key].grant(balances[key], amount)
            idle[key] = idle.get(key, 0) + amount - ask.needs[key]
            granted[key] = granted.get(key, 0) + ask.needs[key]
    for key in sorted(granted):
        balance = balances[key]
        wish, plenty = request.surplus.get(key, 0), balance.plenty(now_ns, replicas)
        if plenty >= granted[key]:
            wish = max(wish, min(_GROWTH * max(wish, granted[key]), plenty))
        _grant_surplus(balance, leases[key], wish - idle.get(key, 0), now_ns, replicas)
    for key, (usual, had) in request.more.items():
        balance = balances[key]
        if not balance.is_scarce(now_ns):
            wish = max(2 * usual, min(_GROWTH * usual, balance.plenty(now_ns, replicas)))
            _grant_surplus(balance, leases[key], wish - had, now_ns, replicas)
    headroom = {
        key: (balance.capacity, balance.free(now_ns) or 0)
        for key, balance in balances.items()
        if balance.capacity is not None
    }
    exceeded = {key for key, balance in balances.items() if balance.excess(now_ns)}
    changes = {key: balance.changes_ns - now_ns for key, balance in balances.items() if balance.changes_ns is not None}
    amounts = {key: lease.amount for key, lease in leases.items()}
    return LeaseReply(shortages, amounts, over, headroom, exceeded, changes)


def _shortage(balance: Balance, lease: Lease, missing: int, now_ns: int) -> Shortage:
    others = max(balance.leased - lease.amount, 0)
    return Shortage(balance.key, missing, balance.free(now_ns) or 0, others, balance.wait_ns(missing, now_ns))


def _grant_surplus(balance: Balance, lease: Lease, wish: int, now_ns: int, replicas: int) -> None:
    free = balance.free(now_ns)
    fair = wish if free is None or not balance.is_enforced else max(free, 0) // (2 * max(replicas, 1))
    if (amount := min(wish, fair)) > 0:
        lease.grant(balance, amount)

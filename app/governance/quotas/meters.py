"""When a call fits into a quota: the meters of one process, without input and output. Times are monotonic seconds.

Bedrock takes what a call may need when the call starts, and gives back in the end what it did not. A meter mirrors
that, and spaces the starts of calls evenly, since bursts are throttled even where the minute has room:

- `reserved` and what was used and is not refilled yet must fit into the quota of a minute.
- Starts are spaced by what calls are expected to take, at the target share of the quota. What a call took beyond that
  delays the next ones; what it took less is given to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

_MINUTE = 60.0
# seconds of the quota that may start at once after a pause
BURST_SECONDS = 0.5


class Need(Struct, frozen=True, gc=False):
    """What a call takes of one meter. reserved: at its start, at most. cost: in the end, as it is expected."""

    reserved: int
    cost: int


class MetersHold(Struct, gc=False):
    """What one call holds of all meters of a pool. It is settled once."""

    needs: Sequence[Need]


class OnlyMeter(Protocol):
    """The meter of a pool that has no other: calls may take of it without a `MetersHold`. See `Meter`."""

    def learn(self, factor: float) -> None:
        """Set the part of the quota that is there."""
        ...

    def take(self, reserved: int, cost: int, now: float) -> bool:
        """Start a call, if it may start now; returns whether it did."""
        ...

    def settle(self, reserved: int, cost: int, used: int, now: float) -> None:
        """End calls that took of this meter."""
        ...


class Meters(Protocol):
    """All meters of one pool. factor: the part of the quota that is there, as it was learned.

    room: tokens that calls of all replicas may reserve at once, as it was learned; meters of one process need it not.
    answer_seconds: that `wait` may take to say whether a call fits.
    """

    room: float
    answer_seconds: float

    @property
    def only(self) -> OnlyMeter | None:
        """The one meter, while all of the quota is there for it; None if there are several."""
        ...

    @property
    def reserved(self) -> int:
        """What calls of this process reserve of the first meter."""
        ...

    def take(self, needs: Sequence[Need], factor: float) -> MetersHold | None:
        """Hold what a call needs, if it fits now."""
        ...

    async def wait(self, needs: Sequence[Need], factor: float) -> MetersHold | float:
        """Hold what a call needs that did not fit, or return the seconds after which to ask again."""
        ...

    def settle(self, holds: Sequence[MetersHold], used: Sequence[Sequence[int]], factor: float) -> None:
        """End holds. used: what each of the calls took of each meter."""
        ...

    def delay(self, needs: Sequence[Need], factor: float) -> float:
        """Return the seconds until a call can start that is next, as far as it is known."""
        ...

    def next_start(self) -> float:
        """Return the seconds before which the first meter lets no call start; below 0 if starts have been saved up."""
        ...

    def rate(self, factor: float) -> float:
        """Return what the first meter lets start per second."""
        ...


@dataclass(slots=True, eq=False)
class Meter:
    """One number that is limited per minute: tokens, requests, or the input or output of mantle.

    target: the share of it that is used. next_start: when the next call may start. reserved: by calls that run.
    refilled_at: when all that was used will have been refilled.
    quota, per_second: what is there of a minute's quota as it was learned, and what of it may start per second.
    """

    name: str
    per_minute: int
    target: float
    burst_seconds: float = BURST_SECONDS
    next_start: float = 0.0
    reserved: int = 0
    refilled_at: float = 0.0
    quota: float = field(init=False)
    per_second: float = field(init=False)

    def __post_init__(self) -> None:
        self.learn(1.0)

    def learn(self, factor: float) -> None:
        """Set the part of the quota that is there."""
        self.quota, self.per_second = self.per_minute * factor, self.rate(factor)

    def delay(self, reserved: int, now: float) -> float:
        """Return the seconds until a call may start; one that exceeds the whole quota starts when no other runs."""
        start = self.next_start - now if self.next_start > now else 0.0
        quota = self.quota
        used = (self.refilled_at - now) * quota / _MINUTE if self.refilled_at > now else 0.0
        excess = used + self.reserved + (reserved if reserved < quota else quota) - quota
        return start if excess <= 0 else max(start, excess * _MINUTE / quota)

    def rate(self, factor: float) -> float:
        """Return what may start per second."""
        return self.per_minute * self.target * factor / _MINUTE

    def take(self, reserved: int, cost: int, now: float) -> bool:
        """Start a call, if it may start now; returns whether it did. reserved, cost: see `Need`."""
        start, together = self.next_start, self.reserved + reserved
        if start > now:
            return False
        quota = self.quota
        does_not_fit = together > quota or self.refilled_at + together * _MINUTE / quota > now + _MINUTE
        if does_not_fit and self.delay(reserved, now) > 0:
            return False
        saved = now - self.burst_seconds
        self.next_start = (start if start > saved else saved) + cost / self.per_second
        self.reserved = together
        return True

    def settle(self, reserved: int, cost: int, used: int, now: float) -> None:
        """End calls: what they reserved, were expected to take and took together."""
        self.reserved -= reserved
        seconds, saved = _MINUTE / self.quota, now - self.burst_seconds
        self.refilled_at = (self.refilled_at if self.refilled_at > now else now) + used * seconds
        more = (used - cost) / self.per_second
        self.next_start = (self.next_start if self.next_start > saved else saved) + more


class LocalMeters:
    """The meters of one process, which shares its pool with nobody.

    Args:
        clock: monotonic seconds.
    """

    answer_seconds = 0.0

    def __init__(self, meters: Sequence[Meter], clock: Callable[[], float]) -> None:
        self.meters = meters
        self.room = math.inf
        self._clock = clock

    @property
    def only(self) -> Meter | None:
        """See `Meters`."""
        return self.meters[0] if len(self.meters) == 1 else None

    @property
    def reserved(self) -> int:
        """See `Meters`."""
        return self.meters[0].reserved

    def take(self, needs: Sequence[Need], factor: float) -> MetersHold | None:
        """See `Meters`."""
        now = self._clock()
        if self._delay(needs, now, factor) > 0:
            return None
        for meter, need in zip(self.meters, needs, strict=True):
            meter.take(need.reserved, need.cost, now)
        return MetersHold(needs)

    async def wait(self, needs: Sequence[Need], factor: float) -> MetersHold | float:
        """See `Meters`."""
        return self.take(needs, factor) or self.delay(needs, factor)

    def settle(self, holds: Sequence[MetersHold], used: Sequence[Sequence[int]], factor: float) -> None:
        """See `Meters`."""
        now = self._clock()
        for index, meter in enumerate(self.meters):
            meter.learn(factor)
            needs = [hold.needs[index] for hold in holds]
            reserved, cost = sum([need.reserved for need in needs]), sum([need.cost for need in needs])
            meter.settle(reserved, cost, sum([amounts[index] for amounts in used]), now)

    def delay(self, needs: Sequence[Need], factor: float) -> float:
        """See `Meters`."""
        return self._delay(needs, self._clock(), factor)

    def _delay(self, needs: Sequence[Need], now: float, factor: float) -> float:
        longest = 0.0
        for meter, need in zip(self.meters, needs, strict=True):
            meter.learn(factor)
            longest = max(longest, meter.delay(need.reserved, now))
        return longest

    def next_start(self) -> float:
        """See `Meters`."""
        first = self.meters[0]
        return max(first.next_start - self._clock(), -first.burst_seconds)

    def rate(self, factor: float) -> float:
        """See `Meters`."""
        return self.meters[0].rate(factor)

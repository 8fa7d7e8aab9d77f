"""What one call holds of a quota while it runs."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from app.converse.usage import Usage
from app.governance.quotas.fair_queue import Flow
from app.governance.quotas.meters import MetersHold, OnlyMeter


class QuotaCall(Struct, frozen=True, gc=False):
    """A call before it is sent. size: bytes of its body. max_tokens: the most that it may answer."""

    flow: Flow
    size: int
    max_tokens: int


class ReservingPool(Protocol):
    """A pool, as its reservations end there."""

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """See `Reservation.settle`."""
        ...

    def note_throttle(self, reservation: Reservation, retry_after: float | None) -> None:
        """See `Reservation.throttled`."""
        ...

    def release(self, reservation: Reservation) -> None:
        """See `Reservation.release`."""
        ...


class Reservation(Struct, gc=False):
    """What a call holds of a pool while it runs. It is ended once.

    size: bytes of its body. reserved, cost: of the first meter; see `Need`. What Bedrock refused has reserved nothing.
    meter: of which the call took directly; None if `hold` has what it holds of all meters.
    waited: seconds in the queue. settled: tokens that it took in the end; None while it runs.
    usage: what its answer has reported.
    """

    pool: ReservingPool
    flow: Flow
    size: int
    reserved: int
    cost: int
    meter: OnlyMeter | None = None
    hold: MetersHold | None = None
    waited: float = 0.0
    settled: int | None = None
    usage: Usage | None = None

    def settle(self, usage: Usage | None) -> None:
        """End it. usage: what the answer reports; None if that is not known, and then what was expected counts."""
        self.pool.settle(self, usage)

    def throttled(self, retry_after: float | None) -> None:
        """End it: Bedrock throttled the call."""
        self.pool.note_throttle(self, retry_after)

    def release(self) -> None:
        """End it: Bedrock refused the call, or never got it, and counts nothing."""
        self.pool.release(self)

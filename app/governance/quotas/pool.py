"""One quota: what calls hold of it, and what they took in the end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter

from app.converse.usage import Usage
from app.governance.quotas.arithmetic import Arithmetic
from app.governance.quotas.calibration import Calibration
from app.governance.quotas.estimates import Estimates
from app.governance.quotas.fair_queue import Flow
from app.governance.quotas.figures import PoolFigures
from app.governance.quotas.learned_limit import LearnedLimit
from app.governance.quotas.meters import Meters, MetersHold, OnlyMeter
from app.governance.quotas.reservation import QuotaCall, Reservation
from app.governance.quotas.waiting_calls import WaitingCalls

# each of the first calls is settled at once, and later ones together after so many seconds, while no other waits:
# together they cost a fraction. One of so many answers is learned from then, a prime number since keys may take turns
_ALL_OF, _SETTLE_SECONDS, _LEARNED_OF = 100, 0.25, 17

_METER, _RESERVED, _COST, _SETTLED = map(attrgetter, ("meter", "reserved", "cost", "settled"))


class QuotaPool:
    """A pool. All times are those of `clock`, which must be that of the event loop.

    name: for people: model, location and endpoint. calibration: None if CloudWatch is not read.
    """

    def __init__(self, name: str, meters: Meters, arithmetic: Arithmetic, clock: Callable[[], float]) -> None:
        self.name = name
        self.meters = meters
        self.arithmetic = arithmetic
        self.estimates = Estimates(arithmetic)
        self.learned = LearnedLimit()
        self.calibration: Calibration | None = None
        self.settled_calls = 0
        self._figures = PoolFigures()
        self._waiting = WaitingCalls(meters, self.learned, self._figures, clock)
        self._queue = self._waiting.queue
        self._clock = clock
        self._ended: list[Reservation] = []
        self._settled_at: asyncio.TimerHandle | None = None
        # which calls take directly; None if all have to be asked for each call
        self._calm_meter: OnlyMeter | None = None

    @property
    def figures(self) -> PoolFigures:
        """What is counted of the calls so far."""
        self._settle_ended()
        return self._figures

    @property
    def reserved_now(self) -> int:
        """Tokens that calls reserve now."""
        self._settle_ended()
        return self.meters.reserved

    @property
    def waiting(self) -> int:
        """The number of calls that wait."""
        return self._queue.count

    def acquire_now(self, flow: Flow, size: int, max_tokens: int) -> Reservation | None:
        """Hold what a call needs; None if others wait, or if it does not fit now. size, max_tokens: see `QuotaCall`."""
        meter = self._calm_meter
        if meter is None:
            return self._acquire_with_care(flow, size, max_tokens)
        reserved, cost = self.estimates.first_need(flow.key, size, max_tokens)
        if not meter.take(reserved, cost, self._clock()):
            return self._acquire_with_care(flow, size, max_tokens)
        return Reservation(self, flow, size, reserved, cost, meter)

    async def acquire(
        self,
        call: QuotaCall,
        max_wait: float,
        *,
        may_spill: bool = False,
        on_wait: Callable[[], Awaitable[None]] | None = None,
        wait_step: float = math.inf,
    ) -> Reservation:
        """Hold what a call needs; wait for its turn if it does not fit now.

        Args:
            max_wait: seconds that it may wait. may_spill: another target is there if it may not.
            on_wait: called each `wait_step` seconds while it waits.

        Raises:
            QuotaBusy: it cannot start in time.
        """
        flow, size = call.flow, call.size
        reservation = self.acquire_now(flow, size, call.max_tokens)
        if reservation is not None:
            return reservation
        self._settle_ended()
        self._calm_meter = None
        needs = self.estimates.needs(flow.key, size, call.max_tokens)
        hold, waited = await self._waiting.wait(flow, needs, max_wait, may_spill, on_wait, wait_step)
        self._figures.waited += waited
        return self._reserved(flow, size, hold, waited)

    def outlook(self, call: QuotaCall) -> float:
        """Return the seconds until a call would start here."""
        self._settle_ended()
        needs = self.estimates.needs(call.flow.key, call.size, call.max_tokens)
        return max(self._waiting.expected_wait(call.flow, needs), 0.0)

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """See `Reservation.settle`."""
        if reservation.settled is not None:
            return
        reservation.usage = usage
        reservation.settled = reservation.cost if usage is None else self.arithmetic.first_used(usage)
        self._ended.append(reservation)
        if self._calm_meter is None:
            self._settle_ended()
        elif self._settled_at is None:
            self._settled_at = asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._settle_late)

    def note_throttle(self, reservation: Reservation, retry_after: float | None) -> None:
        """See `Reservation.throttled`."""
        self._figures.throttled += 1
        rate = self.meters.rate(1.0)
        self.learned.note_throttle(self._clock(), retry_after, self.reserved_now, rate)
        self._calm_meter = None
        # its turn is not given to another: Bedrock has too little for the calls that follow, too
        self._end(reservation, is_used=True)

    def release(self, reservation: Reservation) -> None:
        """See `Reservation.release`."""
        self._end(reservation, is_used=False)

    async def close(self) -> None:
        """Stop serving the queue."""
        if self._settled_at is not None:
            self._settled_at.cancel()
        self._settle_ended()
        await self._waiting.close()

    def _acquire_with_care(self, flow: Flow, size: int, max_tokens: int) -> Reservation | None:
        """Hold what a call needs of all meters, if no other waits and what throttles have taught allows it."""
        if self._queue.count:
            return None
        needs, factor = self.estimates.needs(flow.key, size, max_tokens), 1.0
        if self.learned.throttles:
            now = self._clock()
            self.learned.forget_old(now)
            if not self._waiting.may_start(needs[0].reserved, now):
                return None
            factor = self.learned.current(now)
        hold = self.meters.take(needs, factor)
        if hold is None and self._ended:
            self._settle_ended()
            hold = self.meters.take(needs, factor)
        return None if hold is None else self._reserved(flow, size, hold)

    def _reserved(self, flow: Flow, size: int, hold: MetersHold, waited: float = 0.0) -> Reservation:
        first = hold.needs[0]
        return Reservation(self, flow, size, first.reserved, first.cost, None, hold, waited)

    def _settle_late(self) -> None:
        self._settled_at = None
        self._settle_ended()

    def _settle_ended(self) -> None:
        """Settle the calls that have ended, count them, and learn from their answers."""
        ended = self._ended
        if not ended:
            return
        self._ended = []
        meters = {*map(_METER, ended)}
        for meter in meters:
            self._give_back(meter, ended if len(meters) == 1 else [each for each in ended if each.meter is meter])
        if self._queue.count:
            for each in ended:
                self._waiting.note_ended(each.flow, (each.settled or 0) - each.cost)
        self._figures.note_ended(ended)
        if self.calibration is not None:
            self.calibration.note(sum(map(_SETTLED, ended)))
        self._learn(ended)
        self.settled_calls += len(ended)
        is_calm = self.settled_calls >= _ALL_OF and not self._queue.count and not self.learned.throttles
        self._calm_meter = self.meters.only if is_calm else None

    def _learn(self, ended: Sequence[Reservation]) -> None:
        """Learn from answers. Where no call waits, little depends on it, and some of them suffice."""
        if self._calm_meter is not None:
            ended = ended[-self.settled_calls % _LEARNED_OF :: _LEARNED_OF]
        for each in ended:
            if each.usage is not None:
                self.estimates.note(each.flow.key, each.size, each.usage)
                if self.learned.throttles:
                    self.learned.note_success()

    def _give_back(self, meter: OnlyMeter | None, ended: Sequence[Reservation]) -> None:
        """Give back what calls held. meter: of which all of them took directly; None if all have holds."""
        factor = self.learned.factor
        if meter is not None:
            meter.learn(factor)
            meter.settle(sum(map(_RESERVED, ended)), sum(map(_COST, ended)), sum(map(_SETTLED, ended)), self._clock())
            return
        holds = [each.hold for each in ended if each.hold is not None]
        amounts = [
            [need.cost for need in hold.needs] if each.usage is None else self.arithmetic.used(each.usage)
            for each, hold in zip(ended, holds, strict=True)
        ]
        self.meters.settle(holds, amounts, factor)

    def _end(self, reservation: Reservation, *, is_used: bool) -> None:
        """End a call that has no usage. is_used: it took what was expected of it, or else nothing."""
        if reservation.settled is not None:
            return
        reservation.settled = 0
        self._figures.calls += 1
        cost, hold, factor = reservation.cost if is_used else 0, reservation.hold, self.learned.factor
        if hold is not None:
            used = [need.cost for need in hold.needs] if is_used else self.arithmetic.nothing()
            self.meters.settle([hold], [used], factor)
        elif (meter := reservation.meter) is not None:
            meter.learn(factor)
            meter.settle(reservation.reserved, reservation.cost, cost, self._clock())
        if self._queue.count:
            self._waiting.note_ended(reservation.flow, cost - reservation.cost)
        reservation.reserved = 0

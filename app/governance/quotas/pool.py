"""One quota, and the calls that wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from app.converse.usage import Usage
from app.errors import QuotaBusy
from app.governance.quotas.arithmetic import Arithmetic
from app.governance.quotas.calibration import Calibration
from app.governance.quotas.estimates import Estimates
from app.governance.quotas.fair_queue import Entry, FairQueue, Flow
from app.governance.quotas.figures import PoolFigures, ServedRate
from app.governance.quotas.learned_limit import LearnedLimit
from app.governance.quotas.meters import Hold, Meters, Need

_MAX_WAITING = 10_000
# the queue is looked at so often, even if nothing has changed
_LOOK_SECONDS = 0.5
_SHORTEST_SECONDS = 0.001
# so many calls are looked at each time to find those that cannot start in time any more
_MAX_LOOKED = 50

# each of the first calls is settled at once, and of later ones so many together, or after so many seconds, while no
# other waits: together they cost a fraction. So many of their answers are learned from then
_ALL_OF, _SETTLED_TOGETHER, _SETTLE_SECONDS, _LEARNED_TOGETHER = 100, 16, 0.25, 4


class QuotaCall(Struct, frozen=True, gc=False):
    """A call before it is sent. size: bytes of its body. max_tokens: the most that it may answer."""

    flow: Flow
    size: int
    max_tokens: int


class Reservation(Struct, gc=False):
    """What a call holds of a pool while it runs. It is ended once. waited: seconds in the queue."""

    pool: QuotaPool
    call: QuotaCall
    hold: Hold
    waited: float = 0.0
    is_open: bool = True

    def settle(self, usage: Usage | None) -> int:
        """End it, and return the tokens that it took.

        Args:
            usage: what the answer reports; None if that is not known, and then what was expected counts.
        """
        return self.pool.settle(self, usage)

    def throttled(self, retry_after: float | None) -> None:
        """End it: Bedrock throttled the call."""
        self.pool.note_throttle(self, retry_after)

    def release(self) -> None:
        """End it: Bedrock refused the call, or never got it, and counts nothing."""
        self.pool.release(self)


class _Waiter(Struct, eq=False):
    needs: Sequence[Need]
    granted: asyncio.Future[Hold]
    deadline: float


class QuotaPool:
    """A pool. All times are those of `clock`, which must be that of the event loop.

    name: for people: model, location and endpoint. calibration: None if CloudWatch is not read.
    """

    def __init__(self, name: str, meters: Meters, arithmetic: Arithmetic, clock: Callable[[], float]) -> None:
        self.name = name
        self.meters = meters
        self.arithmetic = arithmetic
        self.estimates = Estimates()
        self.learned = LearnedLimit()
        self._figures = PoolFigures()
        # calls that have ended, and what they took: they are settled together
        self._ended: list[tuple[Reservation, Sequence[int], Usage | None]] = []
        self._settled_at: asyncio.TimerHandle | None = None
        self.calibration: Calibration | None = None
        self._queue: FairQueue[_Waiter] = FairQueue()
        self._clock = clock
        self._news = asyncio.Event()
        self._server: asyncio.Task[None] | None = None
        self._served = ServedRate()
        self._looked_at, self._look_from = 0.0, 0
        self.settled_calls = 0

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
        return len(self._queue)

    def acquire_now(self, call: QuotaCall) -> Reservation | None:
        """Hold what a call needs; None if others wait, or if it does not fit now."""
        if self._queue.count:
            return None
        estimate = self.estimates.estimate(call.flow.key, call.size, call.max_tokens)
        needs, learned, factor = self.arithmetic.needs(estimate, call.max_tokens), self.learned, 1.0
        if learned.throttles:
            now = self._clock()
            if not self._may_start(needs, now):
                return None
            factor = learned.current(now)
        hold = self.meters.take(needs, factor)
        if hold is None and self._ended:
            self._settle_ended()
            hold = self.meters.take(needs, factor)
        if hold is None:
            return None
        self._figures.calls += 1
        return Reservation(self, call, hold)

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
        reservation = self.acquire_now(call)
        if reservation is not None:
            return reservation
        return await self._wait(call, self._needs(call), max_wait, may_spill, on_wait, wait_step)

    def outlook(self, call: QuotaCall) -> float:
        """Return the seconds until a call would start here."""
        self._settle_ended()
        return max(self.expected_wait(call.flow, self._needs(call)), 0.0)

    def expected_wait(self, flow: Flow, needs: Sequence[Need]) -> float:
        """Return the seconds until a new call can start, if all take what is expected and no other comes or leaves."""
        now = self._clock()
        factor = self.learned.current(now)
        head = max(self.meters.delay(needs, factor), self.learned.resumes_at - now)
        if not self._queue:
            return head
        least, largest = self._queue.served_before_new(flow, needs[0].cost)
        return head + (least + largest) / 2 / self._served_per_second(now, factor)

    def shortest_wait(self, flow: Flow, needs: Sequence[Need]) -> float:
        """Return the seconds before which a new call cannot start in its turn.

        That is if no other comes or leaves, all take what is expected, and the quota is as large as throttles have
        taught. Calls that run may end at any moment, so what they reserve delays nothing here.
        """
        now = self._clock()
        return self._earliest(self._queue.served_before_new(flow, needs[0].cost)[0] if self._queue else 0.0, now)

    def settle(self, reservation: Reservation, usage: Usage | None) -> int:
        """See `Reservation.settle`."""
        if not reservation.is_open:
            return 0
        reservation.is_open = False
        needs = reservation.hold.needs
        used = [need.cost for need in needs] if usage is None else self.arithmetic.used(usage)
        ended = self._ended
        ended.append((reservation, used, usage))
        if (
            self.settled_calls < _ALL_OF
            or len(ended) >= _SETTLED_TOGETHER
            or self._queue.count
            or self.learned.throttles
        ):
            self._settle_ended()
        elif self._settled_at is None:
            self._settled_at = asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._settle_late)
        return used[0]

    def note_throttle(self, reservation: Reservation, retry_after: float | None) -> None:
        """See `Reservation.throttled`."""
        self._figures.throttled += 1
        rate = self.meters.rate(1.0)
        self.learned.note_throttle(self._clock(), retry_after, self.reserved_now, rate)
        # its turn is not given to another: Bedrock has too little for the calls that follow, too
        self._end(reservation, [need.cost for need in reservation.hold.needs])

    def release(self, reservation: Reservation) -> None:
        """See `Reservation.release`."""
        self._end(reservation, self.arithmetic.nothing())

    async def close(self) -> None:
        """Stop serving the queue."""
        if self._settled_at is not None:
            self._settled_at.cancel()
        self._settle_ended()
        if self._server is not None:
            self._server.cancel()
            await asyncio.gather(self._server, return_exceptions=True)

    def _settle_late(self) -> None:
        self._settled_at = None
        self._settle_ended()

    def _settle_ended(self) -> None:
        """Settle the calls that have ended, count them, and learn from their answers."""
        ended, self._ended = self._ended, []
        if not ended:
            return
        self._give_back([reservation for reservation, _, _ in ended], [used for _, used, _ in ended])
        self._figures.note_ended(
            [(each.call.flow.team, each.hold.needs[0].reserved, used[0]) for each, used, _ in ended]
        )
        if self.calibration is not None:
            self.calibration.note(sum([used[0] for _, used, _ in ended]))
        self._learn(ended)
        self.settled_calls += len(ended)

    def _learn(self, ended: Sequence[tuple[Reservation, Sequence[int], Usage | None]]) -> None:
        """Learn from answers. Where no call waits, little depends on it, and a few of them suffice."""
        step = max(len(ended) // _LEARNED_TOGETHER, 1)
        # with another first one each time, since keys may take turns
        for reservation, _, usage in ended[self.settled_calls // _SETTLED_TOGETHER % step :: step]:
            if usage is not None:
                call = reservation.call
                self.estimates.note(call.flow.key, call.size, usage)
                if self.learned.throttles:
                    self.learned.note_success()

    def _needs(self, call: QuotaCall) -> list[Need]:
        estimate = self.estimates.estimate(call.flow.key, call.size, call.max_tokens)
        return self.arithmetic.needs(estimate, call.max_tokens)

    def _may_start(self, needs: Sequence[Need], now: float) -> bool:
        """Return whether what throttles have taught allows a call."""
        learned = self.learned
        if now < learned.resumes_at or not learned.has_room(self.meters.reserved, needs[0].reserved, now):
            return False
        self.meters.room = learned.room
        return True

    def _end(self, reservation: Reservation, used: Sequence[int]) -> None:
        if reservation.is_open:
            reservation.is_open = False
            self._give_back([reservation], [used])

    def _give_back(self, reservations: Sequence[Reservation], used: Sequence[Sequence[int]]) -> None:
        self.meters.settle([each.hold for each in reservations], used, self.learned.factor)
        if self._queue.count:
            for each, amounts in zip(reservations, used, strict=True):
                self._queue.charge(each.call.flow, amounts[0] - each.hold.needs[0].cost)
            self._news.set()

    async def _wait(
        self,
        call: QuotaCall,
        needs: Sequence[Need],
        max_wait: float,
        may_spill: bool,
        on_wait: Callable[[], Awaitable[None]] | None,
        wait_step: float,
    ) -> Reservation:
        self._settle_ended()
        figures, since = self._figures, self._clock()
        if self.shortest_wait(call.flow, needs) > max_wait or len(self._queue) >= _MAX_WAITING:
            figures.note_refusal(may_spill=may_spill)
            raise _too_late(self.expected_wait(call.flow, needs) - max_wait)
        waiter = _Waiter(needs, asyncio.get_running_loop().create_future(), since + max_wait)
        entry = Entry(call.flow, needs[0].cost, waiter)
        self._queue.push(entry)
        figures.queued += 1
        if self._server is None or self._server.done():
            self._served = ServedRate(since)
            self._server = asyncio.create_task(self._serve(), name="quota queue")
        try:
            while True:
                step = min(wait_step, waiter.deadline - self._clock())
                await asyncio.wait((waiter.granted,), timeout=max(step, 0.0))
                if waiter.granted.done():
                    break
                if self._clock() >= waiter.deadline:
                    raise _too_late(self.expected_wait(call.flow, needs))
                if on_wait is not None:
                    await on_wait()
            hold = waiter.granted.result()
        except BaseException as failure:
            if isinstance(failure, QuotaBusy):
                figures.note_refusal(may_spill=may_spill)
            self._leave(entry)
            raise
        waited = self._clock() - since
        figures.waited += waited
        figures.calls += 1
        return Reservation(self, call, hold, waited)

    def _leave(self, entry: Entry[_Waiter]) -> None:
        """Forget a call that waits no longer; what it was granted meanwhile is free again."""
        granted = entry.item.granted
        if entry.is_waiting:
            self._queue.remove(entry)
            self._news.set()
        elif granted.done() and not granted.cancelled() and granted.exception() is None:
            self.meters.settle([granted.result()], [self.arithmetic.nothing()], self.learned.factor)
            self._news.set()
        granted.cancel()

    async def _serve(self) -> None:
        """Start the calls that wait, each when it fits."""
        queue = self._queue
        while (entry := queue.peek()) is not None:
            self._news.clear()
            now = self._clock()
            factor, pause = self.learned.current(now), self.learned.resumes_at - now
            found: Hold | float = pause
            needs = entry.item.needs
            if pause <= 0 and not self._may_start(needs, now):
                found = _LOOK_SECONDS
            elif pause <= 0:
                found = self.meters.take(needs, factor) or await self.meters.wait(needs, factor)
            if isinstance(found, Hold):
                if not entry.is_waiting:
                    # it left meanwhile
                    self.meters.settle([found], [self.arithmetic.nothing()], factor)
                    continue
                self._served.note(entry.cost, self._clock())
                queue.pop(entry)
                entry.item.granted.set_result(found)
                continue
            self._refuse_late()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(found, _SHORTEST_SECONDS), _LOOK_SECONDS)):
                    await self._news.wait()

    def _refuse_late(self) -> None:
        """Refuse the calls that cannot start in time any more, because others came that go first."""
        now = self._clock()
        if now < self._looked_at + _LOOK_SECONDS:
            return
        self._looked_at = now
        queue, looked = self._queue, 0
        flows = queue.flows()
        if not flows:
            return
        self._look_from %= len(flows)
        for flow in flows[self._look_from :] + flows[: self._look_from]:
            self._look_from += 1
            # each refusal makes room for the calls that are looked at after it
            while (entry := queue.last_of(flow)) is not None and looked < _MAX_LOOKED:
                looked += 1
                left = entry.item.deadline - now
                if (wait := self._earliest(queue.served_before_last(flow)[0], now)) <= left:
                    break
                queue.remove(entry)
                entry.item.granted.set_exception(_too_late(wait - max(left, 0.0)))
            if looked >= _MAX_LOOKED:
                return

    def _earliest(self, served_before: float, now: float) -> float:
        """Return the seconds before which a call cannot start. served_before: tokens of calls that start before it."""
        head = max(self.meters.next_start(), self.learned.resumes_at - now)
        return head + served_before / self._served_per_second(now, self.learned.expected(now))

    def _served_per_second(self, now: float, factor: float) -> float:
        """Return what is served per second: at most what the quota allows, and less where other bounds are met."""
        return self._served.per_second(now, self.meters.rate(factor))


def _too_late(seconds: float) -> QuotaBusy:
    return QuotaBusy(
        "too many calls wait for the quota of this model at Bedrock: try again later",
        retry_after=float(max(math.ceil(seconds), 1)),
        detail="quota",
    )

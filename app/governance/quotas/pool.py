"""One quota, and the calls that wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, field

from app.converse.usage import Usage
from app.errors import QuotaBusy
from app.governance.quotas.estimates import Estimate, Estimates
from app.governance.quotas.fair_queue import Entry, FairQueue, Flow
from app.governance.quotas.learned_limit import LearnedLimit
from app.governance.quotas.meters import Hold, Meters, Need
from app.models.burndown import settled_tokens

_MAX_WAITING = 10_000
_MAX_TEAMS = 1_000
# the queue is looked at so often, even if nothing has changed
_LOOK_SECONDS = 0.5
_SHORTEST_SECONDS = 0.001
# the time for which the measured rate is remembered, and the part of the allowed rate below which it counts
_RATE_SECONDS, _CERTAIN, _MIN_RATE = 5.0, 0.7, 0.1
_MIN_SERVED = 5
# calls that are later than this cannot start in time; so many are refused at once
_LATE_SECONDS, _MAX_LATE = 2.0, 200


class QuotaCall(Struct, frozen=True):
    """A call before it is sent. size: bytes of its body. max_tokens: the most that it may answer."""

    flow: Flow
    size: int
    max_tokens: int


class TeamFigures(Struct):
    """Tokens of a team's calls: what they reserved at their starts, and what they took in the end."""

    reserved: int = 0
    settled: int = 0


class PoolFigures(Struct):
    """Counts of a pool since the start. waited: seconds of the calls that were served from the queue."""

    calls: int = 0
    queued: int = 0
    refused: int = 0
    spilled: int = 0
    throttled: int = 0
    reserved: int = 0
    settled: int = 0
    waited: float = 0.0
    teams: OrderedDict[str, TeamFigures] = field(default_factory=OrderedDict)

    def note(self, team: str, reserved: int, settled: int) -> None:
        """Count a call that has ended."""
        self.reserved += reserved
        self.settled += settled
        figures = self.teams.get(team)
        if figures is None:
            figures = self.teams[team] = TeamFigures()
            if len(self.teams) > _MAX_TEAMS:
                self.teams.popitem(last=False)
        figures.reserved += reserved
        figures.settled += settled


class Arithmetic(Struct, frozen=True):
    """How a call counts. output_rate: see `models.burndown`. is_mantle: output has a meter of its own.

    counts_requests: there is a meter of requests, the last one.
    """

    output_rate: int = 1
    is_mantle: bool = False
    counts_requests: bool = False

    def needs(self, estimate: Estimate, max_tokens: int) -> list[Need]:
        """Return what a call takes of each meter: what AWS reserves, or more if it may take more in the end."""
        reserved = estimate.input + max_tokens
        if self.is_mantle:
            needs = [Need(reserved, estimate.billed), Need(estimate.long_output, estimate.output)]
        else:
            longest = estimate.billed + estimate.long_output * self.output_rate
            needs = [Need(max(reserved, longest), estimate.billed + estimate.output * self.output_rate)]
        if self.counts_requests:
            needs.append(Need(1, 1))
        return needs

    def used(self, usage: Usage) -> list[int]:
        """Return what a call took of each meter."""
        used = [settled_tokens(usage, 0), usage.output] if self.is_mantle else [settled_tokens(usage, self.output_rate)]
        if self.counts_requests:
            used.append(1)
        return used

    def nothing(self) -> list[int]:
        """Return what a call took that Bedrock refused."""
        return [0] * (1 + self.is_mantle + self.counts_requests)


class Reservation(Struct):
    """What a call holds of a pool while it runs. waited: seconds in the queue."""

    pool: QuotaPool
    call: QuotaCall
    hold: Hold
    waited: float = 0.0

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


class ServedRate(Struct):
    """How fast a queue is served. since: when calls began to wait. served: of the last seconds, the older ones less."""

    since: float = 0.0
    served: float = 0.0
    at: float = 0.0
    count: int = 0

    def note(self, cost: int, now: float) -> None:
        """Count a call that was served."""
        self.served = self.served * math.exp((self.at - now) / _RATE_SECONDS) + cost
        self.at = now
        self.count += 1

    def per_second(self, now: float, most: float) -> float:
        """Return the rate. most: what the quota allows, which counts until a lower rate is certain."""
        age = now - self.since
        if age < 2 * _RATE_SECONDS or self.count < _MIN_SERVED:
            return most
        weight = _RATE_SECONDS * (1 - math.exp(-age / _RATE_SECONDS))
        measured = self.served * math.exp((self.at - now) / _RATE_SECONDS) / weight
        return max(measured, most * _MIN_RATE) if measured < most * _CERTAIN else most


class _Waiter(Struct, eq=False):
    needs: Sequence[Need]
    granted: asyncio.Future[Hold]
    deadline: float


class QuotaPool:
    """A pool. All times are those of `clock`, which must be that of the event loop.

    name: for people: model, location and endpoint. limits: what the quota is, for people.
    """

    def __init__(self, name: str, meters: Meters, arithmetic: Arithmetic, clock: Callable[[], float]) -> None:
        self.name = name
        self.meters = meters
        self.arithmetic = arithmetic
        self.estimates = Estimates()
        self.learned = LearnedLimit()
        self.figures = PoolFigures()
        self.reserved_now = 0
        self._queue: FairQueue[_Waiter] = FairQueue()
        self._clock = clock
        self._news = asyncio.Event()
        self._server: asyncio.Task[None] | None = None
        self._served = ServedRate()
        self._looked_at = 0.0

    @property
    def waiting(self) -> int:
        """The number of calls that wait."""
        return len(self._queue)

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
        arithmetic = self.arithmetic
        estimate = self.estimates.estimate(call.flow.key, call.size, call.max_tokens)
        needs = arithmetic.needs(estimate, call.max_tokens)
        if not self._queue:
            now = self._clock()
            if self._may_start(needs, now) and (hold := self.meters.take(needs, self.learned.current(now))):
                return self._begun(call, hold, 0.0)
        return await self._wait(call, needs, max_wait, may_spill, on_wait, wait_step)

    def outlook(self, call: QuotaCall) -> float:
        """Return the seconds until a call would start here."""
        estimate = self.estimates.estimate(call.flow.key, call.size, call.max_tokens)
        return max(self.expected_wait(call.flow, self.arithmetic.needs(estimate, call.max_tokens)), 0.0)

    def expected_wait(self, flow: Flow, needs: Sequence[Need]) -> float:
        """Return the seconds until a new call can start, if all others take what is expected and none leaves."""
        now = self._clock()
        factor = self.learned.current(now)
        head = max(self.meters.delay(needs, factor), self.learned.resumes_at - now)
        if not self._queue:
            return head
        cost = needs[0].cost
        return head + (self._queue.work_through(flow, cost) - cost) / self._served_per_second(now)

    def settle(self, reservation: Reservation, usage: Usage | None) -> int:
        """See `Reservation.settle`."""
        if not reservation.hold.is_open:
            return 0
        call, needs = reservation.call, reservation.hold.needs
        if usage is None:
            used = [need.cost for need in needs]
        else:
            used = self.arithmetic.used(usage)
            self.learned.note_success()
            self.estimates.note(call.flow.key, call.size, usage)
        self.figures.note(call.flow.team, needs[0].reserved, used[0])
        self._end(reservation, used)
        return used[0]

    def note_throttle(self, reservation: Reservation, retry_after: float | None) -> None:
        """See `Reservation.throttled`."""
        self.figures.throttled += 1
        rate = self.meters.rate(1.0)
        self.learned.note_throttle(self._clock(), retry_after, self.reserved_now, rate)
        # its turn is not given to another: Bedrock has too little for the calls that follow, too
        self._end(reservation, [need.cost for need in reservation.hold.needs])

    def release(self, reservation: Reservation) -> None:
        """See `Reservation.release`."""
        self._end(reservation, self.arithmetic.nothing())

    async def close(self) -> None:
        """Stop serving the queue."""
        if self._server is not None:
            self._server.cancel()
            await asyncio.gather(self._server, return_exceptions=True)

    def _may_start(self, needs: Sequence[Need], now: float) -> bool:
        """Return whether what throttles have taught allows a call."""
        return now >= self.learned.resumes_at and self.learned.has_room(self.reserved_now, needs[0].reserved, now)

    def _end(self, reservation: Reservation, used: Sequence[int]) -> None:
        hold = reservation.hold
        if hold.is_open:
            self.reserved_now -= hold.needs[0].reserved
            self.meters.settle(hold, used, self.learned.factor)
            if self._queue:
                self._queue.charge(reservation.call.flow, used[0] - hold.needs[0].cost)
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
        expected, figures, since = self.expected_wait(call.flow, needs), self.figures, self._clock()
        if expected > max_wait or len(self._queue) >= _MAX_WAITING:
            if may_spill:
                figures.spilled += 1
            else:
                figures.refused += 1
            raise _too_late(expected - max_wait)
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
                    figures.refused += 1
                    raise _too_late(self.expected_wait(call.flow, needs))
                if on_wait is not None:
                    await on_wait()
            hold = waiter.granted.result()
        except BaseException:
            self._leave(entry)
            raise
        waited = self._clock() - since
        figures.waited += waited
        return self._begun(call, hold, waited)

    def _begun(self, call: QuotaCall, hold: Hold, waited: float) -> Reservation:
        self.figures.calls += 1
        self.reserved_now += hold.needs[0].reserved
        return Reservation(self, call, hold, waited)

    def _leave(self, entry: Entry[_Waiter]) -> None:
        """Forget a call that waits no longer; what it was granted meanwhile is free again."""
        granted = entry.item.granted
        if entry.is_waiting:
            self._queue.remove(entry)
            self._news.set()
        elif granted.done() and not granted.cancelled() and granted.exception() is None:
            self.meters.settle(granted.result(), self.arithmetic.nothing(), self.learned.factor)
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
                    self.meters.settle(found, self.arithmetic.nothing(), factor)
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
        rate, factor = self._served_per_second(now), self.learned.current(now)
        for _ in range(_MAX_LATE):
            late = [
                (entry, wait)
                for entry in self._queue.last_of_flows()
                if (wait := (self._queue.work_through(entry.flow) - entry.cost) / rate)
                > entry.item.deadline - now + _LATE_SECONDS
            ]
            for entry, wait in late:
                self._queue.remove(entry)
                entry.item.granted.set_exception(_too_late(wait + self.meters.delay(entry.item.needs, factor)))
            if not late:
                return

    def _served_per_second(self, now: float) -> float:
        """Return what is served per second: at most what the quota allows, and less where other bounds are met."""
        return self._served.per_second(now, self.meters.rate(self.learned.current(now)))


def _too_late(seconds: float) -> QuotaBusy:
    return QuotaBusy(
        "too many calls wait for the quota of this model at Bedrock: try again later",
        retry_after=float(max(math.ceil(seconds), 1)),
        detail="quota",
    )

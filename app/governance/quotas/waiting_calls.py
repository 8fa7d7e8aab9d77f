"""The calls that wait for one quota: who of them starts next, and who is refused."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from app.errors import QuotaBusy
from app.governance.quotas.fair_queue import FairQueue, Flow, QueuedCall
from app.governance.quotas.figures import PoolFigures, ServedRate
from app.governance.quotas.learned_limit import LearnedLimit
from app.governance.quotas.meters import Meters, MetersHold, Need

_MAX_WAITING = 10_000
# the queue is looked at so often, even if nothing has changed
_LOOK_SECONDS = 0.5
_SHORTEST_SECONDS = 0.001
# so many calls are looked at each time to find those that cannot start in time any more
_MAX_LOOKED = 50


class _Waiter(Struct, eq=False):
    needs: Sequence[Need]
    granted: asyncio.Future[MetersHold]
    deadline: float


class WaitingCalls:
    """The calls that wait. queue: their order.

    Args:
        figures: in which queued and refused calls are counted. clock: that of the event loop.
    """

    def __init__(self, meters: Meters, learned: LearnedLimit, figures: PoolFigures, clock: Callable[[], float]) -> None:
        self.queue: FairQueue[_Waiter] = FairQueue()
        self._meters = meters
        self._learned = learned
        self._figures = figures
        self._clock = clock
        self._news = asyncio.Event()
        self._server: asyncio.Task[None] | None = None
        self._served = ServedRate()
        self._looked_at, self._look_from = 0.0, 0

    def expected_wait(self, flow: Flow, needs: Sequence[Need]) -> float:
        """Return the seconds until a new call can start, if all take what is expected and no other comes or leaves."""
        now = self._clock()
        factor = self._learned.current(now)
        head = max(self._meters.delay(needs, factor), self._learned.resumes_at - now)
        if not self.queue:
            return head
        least, largest = self.queue.served_before_new(flow, needs[0].cost)
        return head + (least + largest) / 2 / self._served_per_second(now, factor)

    def shortest_wait(self, flow: Flow, needs: Sequence[Need]) -> float:
        """Return the seconds before which a new call cannot start in its turn.

        That is if no other comes or leaves, all take what is expected, and the quota is as large as throttles have
        taught. Calls that run may end at any moment, so what they reserve delays nothing here.
        """
        now = self._clock()
        return self._earliest(self.queue.served_before_new(flow, needs[0].cost)[0] if self.queue else 0.0, now)

    def may_start(self, reserved: int, now: float) -> bool:
        """Return whether what throttles have taught allows a call. reserved: by it, of the first meter."""
        learned = self._learned
        if now < learned.resumes_at or not learned.has_room(self._meters.reserved, reserved, now):
            return False
        self._meters.room = learned.room
        return True

    def note_ended(self, flow: Flow, tokens: int) -> None:
        """Note that a call of a flow has ended. tokens: that it took beyond what was expected."""
        self.queue.charge(flow, tokens)
        self._news.set()

    async def wait(
        self,
        flow: Flow,
        needs: Sequence[Need],
        max_wait: float,
        may_spill: bool,
        on_wait: Callable[[], Awaitable[None]] | None,
        wait_step: float,
    ) -> tuple[MetersHold, float]:
        """Wait for the turn of a call; return what it holds, and the seconds that it has waited.

        Args:
            max_wait, may_spill, on_wait, wait_step: see `QuotaPool.acquire`.

        Raises:
            QuotaBusy: it cannot start in time.
        """
        figures, since = self._figures, self._clock()
        # a call that may not wait must not be refused before it is known whether it fits
        max_wait = max(max_wait, self._meters.answer_seconds)
        if self.shortest_wait(flow, needs) > max_wait or len(self.queue) >= _MAX_WAITING:
            figures.note_refusal(may_spill=may_spill)
            raise _too_late(self.expected_wait(flow, needs) - max_wait)
        waiter = _Waiter(needs, asyncio.get_running_loop().create_future(), since + max_wait)
        call = QueuedCall(flow, needs[0].cost, waiter)
        self.queue.push(call)
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
                    # or it would be told to wait for itself
                    self._leave(call)
                    raise _too_late(self.expected_wait(flow, needs))
                if on_wait is not None:
                    await on_wait()
            hold = waiter.granted.result()
        except BaseException as failure:
            if isinstance(failure, QuotaBusy):
                figures.note_refusal(may_spill=may_spill)
            self._leave(call)
            raise
        return hold, self._clock() - since

    async def close(self) -> None:
        """Stop serving the queue."""
        if self._server is not None:
            self._server.cancel()
            await asyncio.gather(self._server, return_exceptions=True)

    def _leave(self, call: QueuedCall[_Waiter]) -> None:
        """Forget a call that waits no longer; what it was granted meanwhile is free again."""
        granted = call.item.granted
        if call.is_waiting:
            self.queue.remove(call)
            self._news.set()
        elif granted.done() and not granted.cancelled() and granted.exception() is None:
            self._give_back(granted.result(), self._learned.factor)
            self._news.set()
        granted.cancel()

    async def _serve(self) -> None:
        """Start the calls that wait, each when it fits."""
        queue = self.queue
        while (call := queue.peek()) is not None:
            self._news.clear()
            now = self._clock()
            factor, pause = self._learned.current(now), self._learned.resumes_at - now
            found: MetersHold | float = pause
            needs = call.item.needs
            if pause <= 0 and not self.may_start(needs[0].reserved, now):
                found = _LOOK_SECONDS
            elif pause <= 0:
                found = self._meters.take(needs, factor) or await self._meters.wait(needs, factor)
            if isinstance(found, MetersHold):
                if not call.is_waiting:
                    # it left meanwhile
                    self._give_back(found, factor)
                    continue
                self._served.note(call.cost, self._clock())
                queue.pop(call)
                call.item.granted.set_result(found)
                continue
            self._refuse_late()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(found, _SHORTEST_SECONDS), _LOOK_SECONDS)):
                    await self._news.wait()

    def _give_back(self, hold: MetersHold, factor: float) -> None:
        self._meters.settle([hold], [[0] * len(hold.needs)], factor)

    def _refuse_late(self) -> None:
        """Refuse the calls that cannot start in time any more, because others came that go first."""
        now = self._clock()
        if now < self._looked_at + _LOOK_SECONDS:
            return
        self._looked_at = now
        queue, looked = self.queue, 0
        flows = queue.flows()
        if not flows:
            return
        self._look_from %= len(flows)
        for flow in flows[self._look_from :] + flows[: self._look_from]:
            self._look_from += 1
            # each refusal makes room for the calls that are looked at after it
            while (call := queue.last_of(flow)) is not None and looked < _MAX_LOOKED:
                looked += 1
                left = call.item.deadline - now
                if (wait := self._earliest(queue.served_before_last(flow)[0], now)) <= left:
                    break
                queue.remove(call)
                call.item.granted.set_exception(_too_late(wait - max(left, 0.0)))
            if looked >= _MAX_LOOKED:
                return

    def _earliest(self, served_before: float, now: float) -> float:
        """Return the seconds before which a call cannot start. served_before: tokens of calls that start before it."""
        head = max(self._meters.next_start(), self._learned.resumes_at - now)
        return head + served_before / self._served_per_second(now, self._learned.expected(now))

    def _served_per_second(self, now: float, factor: float) -> float:
        """Return what is served per second: at most what the quota allows, and less where other bounds are met."""
        return self._served.per_second(now, self._meters.rate(factor))


def _too_late(seconds: float) -> QuotaBusy:
    return QuotaBusy(
        "too many calls wait for the quota of this model at Bedrock: try again later",
        retry_after=float(max(math.ceil(seconds), 1)),
        detail="quota",
    )

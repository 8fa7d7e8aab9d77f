"""Limits how many requests run at once.

A request that gets no permit waits in a short queue; beyond that, it is refused and may be sent again. The counters may
be shared by several processes: the limits then hold for all of them together.

With several keys in API_KEYS, some permits are reserved for each, which no other caller can take. The other permits are
for any caller, and a virtual key gets half of all at most. Waiting requests of different callers take turns.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping

from msgspec import Struct, field

from app.errors import GatewayBusy
from app.process.shared_counter import SharedCounter
from app.server.worker_counters import AdmissionCounters, ReserveCounters

# a process is not notified when another one releases a permit
_POLL_SECONDS = 0.005
BUSY = "the gateway is busy: try again in a moment"


class Reserve(Struct, frozen=True):
    """The permits that only one caller can take. counters: its requests.

    largest: how many common permits it may hold besides; 0 for any number.
    """

    permits: int = 0
    counters: ReserveCounters = field(default_factory=ReserveCounters)
    largest: int = 0


class Admission(Struct):
    """Limits the number of parallel requests.

    limit: permits. max_waiting: requests in the queue. timeout: seconds that a request waits for a permit.
    reserves: by caller, if there are several. common: permits that are in no reserve.
    is_divided: some permits are reserved, or no caller may hold all.
    """

    limit: int
    max_waiting: int = 0
    timeout: float = 1.0
    counters: AdmissionCounters = field(default_factory=AdmissionCounters)
    reserves: Mapping[str, Reserve] = field(default_factory=dict)
    common: int = 0
    is_divided: bool = False
    # by caller; the caller whose turn is next comes first
    _queues: dict[str, "deque[_Waiter]"] = field(default_factory=dict)
    _poll: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        """Count the common permits: about half of all at least, so few permits of many callers are reserved twice."""
        reserved = sum(reserve.permits for reserve in self.reserves.values())
        self.is_divided = bool(self.reserves)
        self.common = max(self.limit - min(reserved, max(self.limit // 2 + 1, 2)), 0)

    def permit(self, caller: str = "") -> "Permit":
        """Return a permit that is still to be taken, by entering it as a context."""
        return Permit(self, caller)

    def _take(self, permit: "Permit", may_take_common: bool = True) -> bool:
        """Take a permit if one is free. may_take_common: not only one of the caller's own reserve."""
        if not (self._take_part(permit, may_take_common) if self.is_divided else may_take_common):
            return False
        inside = self.counters.inside
        inside.cells[inside.index] += 1
        if sum(inside.cells) <= self.limit:
            return True
        inside.cells[inside.index] -= 1
        permit.release_part()
        return False

    def _take_part(self, permit: "Permit", may_take_common: bool) -> bool:
        """Count a request among those of its caller's reserve, or else among the common ones."""
        reserve = self.reserves.get(permit.caller)
        if reserve is not None and reserve.permits and _add_within(reserve.counters.inside, reserve.permits):
            permit.part = reserve.counters.inside
            return True
        if not may_take_common:
            return False
        if self.common < self.limit:
            if not _add_within(self.counters.common, self.common):
                return False
            permit.part = self.counters.common
        if reserve is not None and reserve.largest:
            if not _add_within(reserve.counters.common, reserve.largest):
                permit.release_part()
                return False
            permit.share = reserve.counters.common
        return True

    async def _wait(self, permit: "Permit") -> None:
        since = time.monotonic_ns()
        waiting, reserve = self.counters.waiting, self.reserves.get(permit.caller)
        waiting.add(1)
        if reserve is not None:
            reserve.counters.waiting.add(1)
        try:
            if waiting.total > self.max_waiting or (reserve is not None and self._fills_queue(reserve)):
                # the queue also counts the requests of a process that is stopped, which take no permit
                if self._take(permit, not self._is_another_first(since)):
                    return
                raise GatewayBusy(BUSY, detail="no permit, and the queue is full")
            async with asyncio.timeout(self.timeout):
                await self._wait_for_turn(_Waiter(permit, since, asyncio.get_running_loop().create_future()))
        except TimeoutError:
            raise GatewayBusy(BUSY, detail="no permit became free") from None
        finally:
            waiting.add(-1)
            if reserve is not None:
                reserve.counters.waiting.add(-1)

    def _fills_queue(self, reserve: Reserve) -> bool:
        """True if too many requests of a caller wait: it gets as large a part of the queue as of the permits."""
        part = self.max_waiting * (reserve.permits + (reserve.largest or self.common)) // self.limit
        return reserve.counters.waiting.total > max(part, 1)

    async def _wait_for_turn(self, waiter: "_Waiter") -> None:
        self._queues.setdefault(waiter.permit.caller, deque()).append(waiter)
        self._grant()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.cancelled():
                self._leave_queue(waiter)
            else:
                await waiter.permit.__aexit__()
            raise

    def _leave_queue(self, waiter: "_Waiter") -> None:
        queue = self._queues.get(waiter.permit.caller, deque())
        if waiter not in queue:  # its turn came after it was cancelled
            return
        queue.remove(waiter)
        if not queue:
            del self._queues[waiter.permit.caller]
        self._grant()

    def _grant(self) -> None:
        """Give the permits that are free to waiting requests."""
        while self._grant_one():
            pass
        if self._queues and self._poll is None and self.counters.inside.is_shared:
            self._poll = asyncio.get_running_loop().call_later(_POLL_SECONDS, self._grant_again)

    def _grant_again(self) -> None:
        self._poll = None
        self._grant()

    def _grant_one(self) -> bool:
        """Give a permit to the caller whose turn is next, or to the next one for whom a permit is free.

        Of all processes, the one whose oldest request has waited longest takes the common permits.
        """
        oldest = min((queue[0].since for name, queue in self._queues.items() if self._may_get_more(name)), default=0)
        self.counters.first_since.put(oldest)
        may_take_common = bool(oldest) and not self._is_another_first(oldest)
        for caller, queue in self._queues.items():
            waiter = queue[0]
            if waiter.turn.done() or self._take(waiter.permit, may_take_common):
                queue.popleft()
                del self._queues[caller]
                if queue:
                    self._queues[caller] = queue
                if not waiter.turn.done():
                    waiter.turn.set_result(None)
                return True
        return False

    def _may_get_more(self, caller: str) -> bool:
        """True unless a caller holds as many permits as it may."""
        reserve = self.reserves.get(caller)
        if reserve is None or not reserve.largest:
            return True
        counters = reserve.counters
        return counters.common.total < reserve.largest or counters.inside.total < reserve.permits

    def _is_another_first(self, since: int) -> bool:
        # a time before `earliest` was left by a process that is stopped: its request would have timed out
        earliest = time.monotonic_ns() - int(self.timeout * 1e9)
        return any(earliest < other < since for other in self.counters.first_since.each)


class Permit(Struct):
    """A permit for one request, as a context in which the request holds it, or until `release`.

    part: counts it among those of its caller's reserve or the common ones, if some permits are reserved.
    share: counts it among those of a caller that may not hold all.
    """

    admission: Admission
    caller: str
    part: SharedCounter | None = None
    share: SharedCounter | None = None
    is_released: bool = False

    async def __aenter__(self) -> None:
        """Take the permit.

        Raises:
            GatewayBusy: no permit is free, and none became free in time.
        """
        if not self.take_if_free():
            await self.wait()

    async def __aexit__(self, *_: object) -> None:
        """Release the permit, unless that has been done."""
        self.release()

    def take_if_free(self) -> bool:
        """Take the permit if one is free, and no request waits that comes first. Returns whether it was taken."""
        admission = self.admission
        is_first = not sum(admission.counters.waiting.cells)
        return (is_first or _has_no_queue(admission.reserves.get(self.caller))) and admission._take(self, is_first)

    async def wait(self) -> None:
        """Wait for the permit. Raises GatewayBusy: none became free in time."""
        await self.admission._wait(self)

    def release(self) -> None:
        """Release the permit, for a request in the queue. A second call does nothing."""
        if self.is_released:
            return
        self.is_released = True
        admission = self.admission
        inside = admission.counters.inside
        inside.cells[inside.index] -= 1
        if admission.is_divided:
            self.release_part()
        if admission._queues:
            admission._grant()

    def release_part(self) -> None:
        """Release the permit in its reserve and in its share."""
        part, share = self.part, self.share
        if part is not None:
            part.cells[part.index] -= 1
        if share is not None:
            share.cells[share.index] -= 1
        self.part = self.share = None


class _Waiter(Struct, eq=False):
    """A request in the queue. since: ns of the monotonic clock. turn: done once it holds its permit."""

    permit: Permit
    since: int
    turn: "asyncio.Future[None]"


def _has_no_queue(reserve: Reserve | None) -> bool:
    """True if a caller has a reserve, and no request of it waits."""
    return reserve is not None and not reserve.counters.waiting.total


def _add_within(counter: SharedCounter, limit: int) -> bool:
    """Count one more, unless the total would exceed the limit."""
    counter.cells[counter.index] += 1
    if sum(counter.cells) <= limit:
        return True
    counter.cells[counter.index] -= 1
    return False

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


# the cells of a counter, the one of this process, and how many requests it lets in
Gate = tuple["memoryview[int]", int, int]
# a request that is admitted is inside of all of them
Gates = tuple[Gate, ...]


class Reserve(Struct):
    """The permits that only one caller can take. counters: its requests.

    largest: how many common permits it may hold besides; 0 for any number.
    gates: of its own permits, and of the common ones; made when they are asked for.
    """

    permits: int = 0
    counters: ReserveCounters = field(default_factory=ReserveCounters)
    largest: int = 0
    gates: tuple[Gates, Gates] | None = None


class Admission(Struct):
    """Limits the number of parallel requests.

    limit: permits. max_waiting: requests in the queue. timeout: seconds that a request waits for a permit.
    reserves: by caller, if there are several. common: permits that are in no reserve.
    gates: those of `Reserve` for a caller who has none.
    """

    limit: int
    max_waiting: int = 0
    timeout: float = 1.0
    counters: AdmissionCounters = field(default_factory=AdmissionCounters)
    reserves: Mapping[str, Reserve] = field(default_factory=dict)
    common: int = 0
    gates: tuple[Gates, Gates] = ((), ())
    # by caller; the caller whose turn is next comes first
    _queues: dict[str, "deque[_Waiter]"] = field(default_factory=dict)
    _poll: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        """Count the common permits: about half of all at least, so few permits of many callers are reserved twice."""
        reserved = sum(reserve.permits for reserve in self.reserves.values())
        self.common = max(self.limit - min(reserved, max(self.limit // 2 + 1, 2)), 0)
        self.gates = self._gates_for(Reserve())

    def permit(self, caller: str = "") -> "Permit":
        """Return a permit that is still to be taken, by entering it as a context."""
        return Permit(self, caller)

    def _gates_for(self, reserve: Reserve) -> tuple[Gates, Gates]:
        """Return the gates of permits that only one caller can take, and of those that any caller can."""
        inside = _gate(self.counters.inside, self.limit)
        own = (_gate(reserve.counters.inside, reserve.permits), inside) if reserve.permits else ()
        share = (_gate(reserve.counters.common, reserve.largest),) if reserve.largest else ()
        common = (_gate(self.counters.common, self.common),) if self.common < self.limit else ()
        return own, (*common, *share, inside)

    def _take(self, permit: "Permit", may_take_common: bool = True) -> bool:
        """Take a permit if one is free. may_take_common: not only one of the caller's own reserve."""
        reserve = self.reserves.get(permit.caller)
        if reserve is None:
            own, common = self.gates
        else:
            if reserve.gates is None:
                reserve.gates = self._gates_for(reserve)
            own, common = reserve.gates
        if own and _enter(own):
            permit.inside = own
            return True
        if may_take_common and _enter(common):
            permit.inside = common
            return True
        return False

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

    inside: the gates that it has passed; none while it is not taken.
    """

    admission: Admission
    caller: str
    inside: Gates = ()

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
        if self.inside:
            for cells, index, _ in self.inside:
                cells[index] -= 1
            self.inside = ()
            if self.admission._queues:
                self.admission._grant()


class _Waiter(Struct, eq=False):
    """A request in the queue. since: ns of the monotonic clock. turn: done once it holds its permit."""

    permit: Permit
    since: int
    turn: "asyncio.Future[None]"


def _has_no_queue(reserve: Reserve | None) -> bool:
    """True if a caller has a reserve, and no request of it waits."""
    return reserve is not None and not reserve.counters.waiting.total


def _gate(counter: SharedCounter, limit: int) -> Gate:
    return counter.cells, counter.index, limit


def _enter(gates: Gates) -> bool:
    """Pass all gates, or none; returns whether they were passed."""
    for number, (cells, index, limit) in enumerate(gates, start=1):
        cells[index] += 1
        if sum(cells) > limit:
            for passed, own, _ in gates[:number]:
                passed[own] -= 1
            return False
    return True

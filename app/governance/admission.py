"""Limits how many requests run at once.

A request that gets no permit waits in a short queue; beyond that, it is refused and may be sent again. The counters may
be shared by several processes: the limits then hold for all of them together.
"""

import asyncio
import contextlib
import time

from msgspec import Struct, field

from app.errors import GatewayBusy
from app.server.worker_counters import AdmissionCounters

# a process is not notified when another one releases a permit
_POLL_SECONDS = 0.005
BUSY = "the gateway is busy: try again in a moment"


class Admission(Struct):
    """Limits the number of parallel requests: a context in which a request holds a permit.

    limit: permits. max_waiting: requests in the queue. timeout: seconds that a request waits for a permit.
    """

    limit: int
    max_waiting: int = 0
    timeout: float = 1.0
    counters: AdmissionCounters = field(default_factory=AdmissionCounters)
    _line: asyncio.Lock = field(default_factory=asyncio.Lock)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> None:
        """Take a permit.

        Raises:
            GatewayBusy: no permit is free, and none became free in time.
        """
        if sum(self.counters.waiting.cells) or not self._try_enter():
            await self._wait()

    async def __aexit__(self, *_: object) -> None:
        """Release the permit, for the first request in the queue."""
        inside = self.counters.inside
        inside.cells[inside.index] -= 1
        self._released.set()

    def _try_enter(self) -> bool:
        inside = self.counters.inside
        inside.cells[inside.index] += 1
        if sum(inside.cells) <= self.limit:
            return True
        inside.cells[inside.index] -= 1
        return False

    async def _wait(self) -> None:
        since = time.monotonic_ns()
        waiting = self.counters.waiting
        waiting.add(1)
        try:
            if waiting.total > self.max_waiting:
                # the queue also counts the requests of a process that is stopped, which take no permit
                if not self._is_another_first(since) and self._try_enter():
                    return
                raise GatewayBusy(BUSY, detail="no permit, and the queue is full")
            async with asyncio.timeout(self.timeout), self._line:
                await self._wait_as_first(since)
        except TimeoutError:
            raise GatewayBusy(BUSY, detail="no permit became free") from None
        finally:
            waiting.add(-1)

    async def _wait_as_first(self, since: int) -> None:
        """Wait for a permit. Of the first requests of all processes, the one that has waited longest gets it."""
        self.counters.first_since.put(since)
        try:
            while self._is_another_first(since) or not self._try_enter():
                await self._wait_for_release()
        finally:
            self.counters.first_since.put(0)

    def _is_another_first(self, since: int) -> bool:
        # a time before `earliest` was left by a process that is stopped: its request would have timed out
        earliest = time.monotonic_ns() - int(self.timeout * 1e9)
        return any(earliest < other < since for other in self.counters.first_since.each)

    async def _wait_for_release(self) -> None:
        self._released.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS if self.counters.inside.is_shared else None):
                await self._released.wait()

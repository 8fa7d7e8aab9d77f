"""How many requests may run at once: so many, and a short queue; everybody else is told at once to come back.

What is counted may be shared with other processes: then the limits hold for all of them together.
"""

import asyncio
import contextlib
import time

from msgspec import Struct, field

from app.errors import GatewayBusy
from app.process.shared_counter import SharedCounter

# nobody tells a process that another has freed a place
_LOOK_SECONDS = 0.005


class Admission(Struct):
    """Lets requests in: a context in which a request has its place.

    most: at once. most_waiting: in the queue. patience: seconds in the queue. inside, waiting: how many there are.
    first: since when whoever is first in the queue waits, in ns of the monotonic clock, or 0.
    """

    limit: int
    max_waiting: int = 0
    timeout: float = 1.0
    inside: SharedCounter = field(default_factory=SharedCounter)
    waiting: SharedCounter = field(default_factory=SharedCounter)
    first: SharedCounter = field(default_factory=SharedCounter)
    _line: asyncio.Lock = field(default_factory=asyncio.Lock)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> None:
        """A place, for as long as the context lasts.

        Raises:
            GatewayBusy: there is none, and none became free.
        """
        if self.waiting.total or not self._enter():
            await self._wait()

    async def __aexit__(self, *_: object) -> None:
        """Give the place to the first who waits."""
        self.inside.add(-1)
        self._freed.set()

    def _enter(self) -> bool:
        self.inside.add(1)
        if self.inside.total <= self.limit:
            return True
        self.inside.add(-1)
        return False

    async def _wait(self) -> None:
        since = time.monotonic_ns()
        self.waiting.add(1)
        try:
            if self.waiting.total > self.max_waiting:
                # those of a process that has stopped are counted, and take no place
                if not self._is_another_first(since) and self._enter():
                    return
                raise GatewayBusy(
                    "the gateway is busy: try again in a moment", detail="no place, and the queue is full"
                )
            async with asyncio.timeout(self.timeout), self._line:
                await self._wait_as_first(since)
        except TimeoutError:
            raise GatewayBusy("the gateway is busy: try again in a moment", detail="no place became free") from None
        finally:
            self.waiting.add(-1)

    async def _wait_as_first(self, since: int) -> None:
        """Of those who are first in the queues of all processes, whoever has waited longest gets in."""
        self.first.put(since)
        try:
            while self._is_another_first(since) or not self._enter():
                await self._wait_for_change()
        finally:
            self.first.put(0)

    def _is_another_first(self, since: int) -> bool:
        # who has waited for longer than anybody does has stopped, and not said so
        longest = time.monotonic_ns() - int(self.timeout * 1e9)
        return any(longest < other < since for other in self.first.each)

    async def _wait_for_change(self) -> None:
        self._freed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS if self.inside.is_shared else None):
                await self._freed.wait()


class Bodies(Struct):
    """How many bytes of callers' bodies are held at once.

    most: no more than these. most_of_one: nor these for one name. of_each: what is held for each name that has a limit.
    slowest: bytes a second; a caller that sends no faster, on average, is taken for one that only holds a place.
    """

    limit: int
    held: SharedCounter = field(default_factory=SharedCounter)
    max_of_one: int = 0
    of_each: dict[str, SharedCounter] = field(default_factory=dict)
    slowest: int = 16 * 1024

    def count(self, name: str, count: int) -> None:
        """Count so many more for a name, or, if it is negative, fewer."""
        self.held.add(count)
        if name in self.of_each:
            self.of_each[name].add(count)

    def excess(self, name: str) -> str:
        """What is too much of what is held; nothing where nothing is."""
        if self.held.total > self.limit:
            return "too many bytes of bodies"
        is_over = name in self.of_each and self.of_each[name].total > self.max_of_one
        return "too many bytes of one caller's bodies" if is_over else ""


class HeldBody(Struct):
    """The bytes of one body, which are held until it is released. name: the caller's, or what it claims to be."""

    bodies: Bodies
    name: str = ""
    size: int = 0

    def add(self, count: int) -> None:
        """Hold more of it.

        Raises:
            GatewayBusy: all bodies together are too many bytes, or all of one caller.
        """
        self.bodies.count(self.name, count)
        if excess := self.bodies.excess(self.name):
            self.bodies.count(self.name, -count)
            raise GatewayBusy("the gateway is busy: try again in a moment", detail=excess)
        self.size += count

    def move(self, bodies: Bodies) -> None:
        """Hold it among others from now on.

        Raises:
            GatewayBusy: those are too many bytes with it.
        """
        size = self.size
        self.release()
        self.bodies = bodies
        self.add(size)

    def release(self) -> None:
        """Hold no more of it."""
        self.bodies.count(self.name, -self.size)
        self.size = 0

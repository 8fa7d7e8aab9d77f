"""How many requests may run at once: so many, and a short queue; everybody else is told at once to come back."""

import asyncio
from dataclasses import dataclass, field

from app.errors import GatewayBusy


@dataclass(slots=True)
class Admission:
    """Lets requests in: a context in which a request has its place.

    most: at once. most_waiting: in the queue. patience: seconds in the queue.
    """

    most: int
    most_waiting: int = 0
    patience: float = 1.0
    waiting: int = 0
    inside: int = 0
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.most)

    async def __aenter__(self) -> None:
        """A place, for as long as the context lasts.

        Raises:
            GatewayBusy: there is none, and none became free.
        """
        if self._places.locked():
            await self._wait()
        else:
            await self._places.acquire()
        self.inside += 1

    async def __aexit__(self, *_: object) -> None:
        """Give the place to the first who waits."""
        self.inside -= 1
        self._places.release()

    async def _wait(self) -> None:
        if self.waiting >= self.most_waiting:
            raise GatewayBusy("the gateway is busy: try again in a moment", detail="no place, and the queue is full")
        self.waiting += 1
        try:
            async with asyncio.timeout(self.patience):
                await self._places.acquire()
        except TimeoutError:
            raise GatewayBusy("the gateway is busy: try again in a moment", detail="no place became free") from None
        finally:
            self.waiting -= 1


@dataclass(slots=True)
class Bodies:
    """How many bytes of callers' bodies are held at once. most: no more than these."""

    most: int
    held: int = 0


@dataclass(slots=True)
class HeldBody:
    """The bytes of one body, which are held until it is released."""

    bodies: Bodies
    size: int = 0

    def add(self, count: int) -> None:
        """Hold more of it.

        Raises:
            GatewayBusy: all bodies together are too many bytes.
        """
        if self.bodies.held + count > self.bodies.most:
            raise GatewayBusy("the gateway is busy: try again in a moment", detail="too many bytes of bodies")
        self.bodies.held += count
        self.size += count

    def release(self) -> None:
        """Hold no more of it."""
        self.bodies.held -= self.size
        self.size = 0

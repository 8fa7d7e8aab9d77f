"""How many requests may run at once: so many, and a short queue; everybody else is told at once to come back."""

import asyncio
from dataclasses import dataclass, field

from app.errors import GatewayBusy


@dataclass(slots=True)
class Admission:
    """Lets requests in.

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

    async def enter(self) -> None:
        """Take a place; whoever has one must `leave`.

        Raises:
            GatewayBusy: there is none, and none became free.
        """
        if self._places.locked():
            await self._wait()
        else:
            await self._places.acquire()
        self.inside += 1

    def leave(self) -> None:
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

"""Lets the tasks of one caller do heavy work in the event loop one after the other, and others in between."""

import asyncio
from collections import deque


class LoopTurns:
    """Wakes one task of each caller in an iteration of the event loop."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    async def wait(self, caller: str) -> None:
        """Wait until it is this task's turn among those of the caller."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        queue = self._queues.get(caller)
        if queue is None:
            queue = self._queues[caller] = deque()
            loop.call_soon(self._wake, caller)
        queue.append(turn)
        await turn

    def _wake(self, caller: str) -> None:
        queue = self._queues[caller]
        while queue:
            turn = queue.popleft()
            if not turn.done():  # its task was not cancelled
                turn.set_result(None)
                break
        if queue:
            asyncio.get_running_loop().call_soon(self._wake, caller)
        else:
            del self._queues[caller]

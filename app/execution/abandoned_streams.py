"""Reads streams to their end whose callers have left: Bedrock bills the whole answer, and reports it in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

_MAX_STREAMS = 100
_SECONDS = 60.0


class AbandonedStreams:
    """The streams of this process that are read for nobody: a limited number, each for a limited time."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def read_on(self, rest: Coroutine[Any, Any, None]) -> bool:
        """Read the rest of a stream; returns False if there are too many already."""
        if len(self._tasks) >= _MAX_STREAMS:
            rest.close()
            return False
        task = asyncio.create_task(_within_limit(rest), name="abandoned stream")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Give up all of them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _within_limit(rest: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(_SECONDS):
            await rest
    except TimeoutError:
        pass  # what was reported before counts

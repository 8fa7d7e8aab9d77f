"""Lets calls end whose callers have left: Bedrock bills the whole answer, and reports its tokens in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

_MAX_CALLS = 100
_SECONDS = 300.0


class AbandonedCalls:
    """The calls of this process that go on for nobody: a limited number, each for a limited time."""

    def __init__(self) -> None:
        self._timers: dict[asyncio.Task[Any], asyncio.TimerHandle] = {}

    def let_end(self, task: asyncio.Task[Any]) -> bool:
        """Let a task go on to its end; returns False if there are too many already."""
        if len(self._timers) >= _MAX_CALLS:
            return False
        self._timers[task] = asyncio.get_running_loop().call_later(_SECONDS, task.cancel)
        task.add_done_callback(self._forget)
        return True

    def read_on(self, rest: Coroutine[Any, Any, None]) -> bool:
        """Read the rest of a stream; returns False if there are too many calls already."""
        if len(self._timers) >= _MAX_CALLS:
            rest.close()
            return False
        return self.let_end(asyncio.create_task(rest, name="abandoned stream"))

    async def close(self) -> None:
        """Give up all of them."""
        tasks = [*self._timers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._timers.pop(task).cancel()

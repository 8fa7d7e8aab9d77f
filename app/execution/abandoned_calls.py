"""Lets calls end whose callers have left: Bedrock bills the whole answer, and reports its tokens in the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from functools import partial
from typing import Any

_MAX_CALLS = 100
# none of which makes the calls of others end early
_MAX_CALLS_OF_KEY = 10
_SECONDS = 300.0


class AbandonedCalls:
    """The calls of this process that go on for nobody: a limited number, of which each key has a part, for a while."""

    def __init__(self) -> None:
        self._timers: dict[asyncio.Task[Any], asyncio.TimerHandle] = {}
        self._of_keys: Counter[str] = Counter()

    def let_end(self, task: asyncio.Task[Any], key: str) -> bool:
        """Let a task of a key go on to its end; returns False if there are too many already."""
        if self._are_too_many(key):
            return False
        self._of_keys[key] += 1
        self._timers[task] = asyncio.get_running_loop().call_later(_SECONDS, task.cancel)
        task.add_done_callback(partial(self._forget, key))
        return True

    def read_on(self, rest: Coroutine[Any, Any, None], key: str) -> bool:
        """Read the rest of a stream; returns False if there are too many calls already."""
        if self._are_too_many(key):
            rest.close()
            return False
        return self.let_end(asyncio.create_task(rest, name="abandoned stream"), key)

    async def close(self) -> None:
        """Give up all of them."""
        tasks = [*self._timers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _are_too_many(self, key: str) -> bool:
        return len(self._timers) >= _MAX_CALLS or self._of_keys[key] >= _MAX_CALLS_OF_KEY

    def _forget(self, key: str, task: asyncio.Task[Any]) -> None:
        self._timers.pop(task).cancel()
        self._of_keys[key] -= 1
        if not self._of_keys[key]:
            del self._of_keys[key]

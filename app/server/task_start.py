"""Starts the tasks of requests."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

Start = Callable[[asyncio.AbstractEventLoop, Coroutine[Any, Any, None]], "asyncio.Task[None]"]


def start_soon(loop: asyncio.AbstractEventLoop, run: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Start a task in the event loop's next iteration."""
    return loop.create_task(run)


if sys.version_info >= (3, 12):

    def start_at_once(loop: asyncio.AbstractEventLoop, run: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task, and run it until it waits: an iteration of the event loop less."""
        return asyncio.Task(run, loop=loop, eager_start=True)

else:  # 3.11 has no such tasks
    start_at_once = start_soon

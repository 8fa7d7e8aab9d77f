"""Runs heavy work in a thread, so that the event loop goes on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# work on fewer bytes takes less than a few tens of milliseconds, whatever they hold; a thread would cost more
MAX_LOOP_BYTES = 64 * 1024
# one thread: several would share the interpreter's lock, and the event loop would wait for all of them
_executor = ThreadPoolExecutor(1, "off-loop")


async def off_loop(size: int, work: Callable[[], T]) -> T:
    """Run `work` on `size` bytes: in the thread where they exceed MAX_LOOP_BYTES, else at once.

    On the request path, call small work directly: `work() if size <= MAX_LOOP_BYTES else await off_loop(size, work)`.
    """
    return await asyncio.get_running_loop().run_in_executor(_executor, work) if size > MAX_LOOP_BYTES else work()

"""Work that would hold everybody up is done aside."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# what takes less than a few tens of milliseconds, whatever is in it, and more than a thread costs
_HEAVY_BYTES = 64 * 1024
# one thread: several would only take turns with each other, and the event loop would have to wait for all of them
_aside = ThreadPoolExecutor(1, "aside")


async def off_loop(size: int, work: Callable[[], T]) -> T:
    """What `work` makes of so many bytes: in a thread where they are many, so that the event loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(_aside, work) if size > _HEAVY_BYTES else work()

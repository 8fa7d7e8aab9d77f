"""Work that would hold everybody up is done aside."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# what takes less than a few tens of milliseconds, whatever is in it, and more than a thread costs
_HEAVY_BYTES = 64 * 1024


async def off_loop(size: int, work: Callable[[], T]) -> T:
    """What `work` makes of so many bytes: in a thread where they are many, so that the event loop goes on."""
    return await asyncio.to_thread(work) if size > _HEAVY_BYTES else work()

"""Waiting for conditions. The bound is generous: a test that passes ends its wait as soon as the condition holds."""

import asyncio
import time
from collections.abc import Callable

SECONDS = 30.0


def wait_until(holds: Callable[[], object], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)


async def until(holds: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait as `wait_until` does, while the event loop runs."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.01)

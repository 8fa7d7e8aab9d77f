"""Limits how many bytes of request bodies, and of responses, are held at once.

The counters may be shared by several processes: the limits then hold for all of them together.
"""

import asyncio
from typing import NoReturn

from msgspec import Struct, field

from app.errors import GatewayBusy
from app.governance.admission import BUSY
from app.process.shared_counter import SharedCounter

_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.02


class ByteLimit(Struct):
    """Limits the bytes of request bodies, or of responses, that are held at once.

    limit: bytes of all callers. max_of_one: bytes of one caller. of_each: counters of the callers that have a limit.
    slowest: bytes a second that a caller must send on average; a slower one is disconnected. of: what is counted, for
    the log.
    """

    limit: int
    held: SharedCounter = field(default_factory=SharedCounter)
    max_of_one: int = 0
    of_each: dict[str, SharedCounter] = field(default_factory=dict)
    slowest: int = 16 * 1024
    of: str = "bodies"


class HeldBytes(Struct):
    """The bytes of one request, counted until they are released. name: the caller, or the caller that is claimed."""

    limits: ByteLimit
    name: str = ""
    size: int = 0

    def add(self, count: int) -> None:
        """Count more bytes.

        Raises:
            GatewayBusy: the bytes of all callers, or of this caller, exceed their limit.
        """
        limits = self.limits
        held, own = limits.held, limits.of_each.get(self.name)
        held.cells[held.index] += count
        if own is not None:
            own.cells[own.index] += count
        self.size += count
        if sum(held.cells) > limits.limit:
            self._refuse(count, f"too many bytes of {limits.of}")
        if own is not None and sum(own.cells) > limits.max_of_one:
            self._refuse(count, f"too many bytes of one caller's {limits.of}")

    def _refuse(self, count: int, detail: str) -> NoReturn:
        """Take back what was counted."""
        size = self.size - count
        self.size = count
        self.release()
        self.size = size
        raise GatewayBusy(BUSY, detail=detail)

    async def add_when_free(self, count: int) -> None:
        """Count more bytes as soon as the limit allows it; other processes may hold what is to be released.

        Raises:
            GatewayBusy: it did not for some seconds, or never will.
        """
        limits = self.limits
        of_one = limits.max_of_one if self.name in limits.of_each else limits.limit
        deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
        while True:
            try:
                return self.add(count)
            except GatewayBusy:
                if self.size + count > of_one or asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(_POLL_SECONDS)

    def move(self, limits: ByteLimit) -> None:
        """Count these bytes towards other limits from now on.

        Raises:
            GatewayBusy: as `add` does.
        """
        size = self.size
        self.release()
        self.limits = limits
        self.add(size)

    def release(self) -> None:
        """Stop counting these bytes."""
        held, own = self.limits.held, self.limits.of_each.get(self.name)
        held.cells[held.index] -= self.size
        if own is not None:
            own.cells[own.index] -= self.size
        self.size = 0

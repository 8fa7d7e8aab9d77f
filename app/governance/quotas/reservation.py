"""What one call holds of a quota while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from app.converse.usage import Usage
from app.governance.quotas.fair_queue import Flow
from app.governance.quotas.meters import Hold, Need

if TYPE_CHECKING:
    from app.governance.quotas.pool import QuotaPool


class QuotaCall(Struct, frozen=True, gc=False):
    """A call before it is sent. size: bytes of its body. max_tokens: the most that it may answer."""

    flow: Flow
    size: int
    max_tokens: int


class Reservation(Struct, gc=False):
    """What a call holds of a pool while it runs. It is ended once.

    size: bytes of its body. reserved, cost: of the first meter; see `Need`.
    hold: of all meters; None if the pool has one meter and shares it with no other process.
    waited: seconds in the queue.
    """

    pool: QuotaPool
    flow: Flow
    size: int
    reserved: int
    cost: int
    hold: Hold | None = None
    waited: float = 0.0
    is_open: bool = True

    @property
    def held(self) -> Hold:
        """What it holds of all meters."""
        return self.hold or Hold([Need(self.reserved, self.cost)])

    def settle(self, usage: Usage | None) -> int:
        """End it, and return the tokens that it took.

        Args:
            usage: what the answer reports; None if that is not known, and then what was expected counts.
        """
        return self.pool.settle(self, usage)

    def throttled(self, retry_after: float | None) -> None:
        """End it: Bedrock throttled the call."""
        self.pool.note_throttle(self, retry_after)

    def release(self) -> None:
        """End it: Bedrock refused the call, or never got it, and counts nothing."""
        self.pool.release(self)

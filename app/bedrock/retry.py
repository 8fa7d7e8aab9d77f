"""Which failures are retried, and after how long: exponential backoff with full jitter.

Full jitter draws a wait between 0 and a limit that doubles with each attempt, so that clients that failed together do
not retry together (AWS Architecture Blog, "Exponential Backoff And Jitter").

The control plane has one target and uses tenacity's loop, here. `routing/failover` has its own loop over the targets of
a call, and draws its waits here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from app.errors import GatewayError
from app.process.deadline import Deadline

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState


class RetryPolicy(Struct, frozen=True):
    """How often to retry, and after how many seconds.

    max_attempts: attempts, the first included.
    first_wait: the limit of the first wait; it doubles with each failure.
    max_wait: the limit of all waits; a longer Retry-After ends the retries.
    uniform: draws a number between two others.
    """

    max_attempts: int = 3
    first_wait: float = 0.25
    max_wait: float = 20.0
    uniform: Callable[[float, float], float] = random.uniform

    def retrying(self, deadline: Deadline) -> AsyncRetrying:
        """Iterate over the attempts at one target, each a context manager. No wait exceeds the deadline."""
        from tenacity import AsyncRetrying, retry_if_exception  # calls of models do not need it

        def wait(state: RetryCallState) -> float:
            return self.wait(state.attempt_number, state.outcome.exception() if state.outcome else None)

        def is_over(state: RetryCallState) -> bool:
            return state.attempt_number >= self.max_attempts or state.upcoming_sleep >= deadline.remaining()

        return AsyncRetrying(
            retry=retry_if_exception(_is_retryable),
            wait=wait,
            stop=is_over,
            reraise=True,
        )

    def wait(self, failures: int, error: BaseException | None) -> float:
        """Return the seconds to wait after so many failures of one target, the last of them `error`.

        At least Bedrock's Retry-After; infinite if that is longer than `max_wait`.
        """
        retry_after = error.retry_after or 0.0 if isinstance(error, GatewayError) else 0.0
        if retry_after > self.max_wait:
            return math.inf
        limit = min(self.first_wait * 2.0 ** (failures - 1), self.max_wait)
        return max(self.uniform(0.0, limit), retry_after)


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, GatewayError) and error.retry_here

"""Which failures are worth another attempt, and how long is waited before it: exponential backoff with full jitter.

Full jitter: a wait is drawn from 0 to the cap, which doubles with each attempt, so that callers who failed together
do not return together (AWS Architecture Blog, "Exponential Backoff And Jitter").

Two loops follow it: tenacity's own, here, asks one target again, which is all that the control plane needs;
`routing/failover` asks the targets of a call, and has health and a budget to heed, but draws its waits here.
"""

import math

from msgspec import Struct
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from app.errors import GatewayError
from app.process.deadline import Deadline


class RetryPolicy(Struct, frozen=True):
    """How often and how long to try. Seconds.

    max_attempts: attempts, the first included.
    first_wait: the cap of the first wait; it doubles from there.
    max_wait: no wait is longer; a Retry-After beyond it ends the retries.
    """

    max_attempts: int = 3
    first_wait: float = 0.25
    max_wait: float = 20.0

    def retrying(self, deadline: Deadline) -> AsyncRetrying:
        """The attempts at one target: iterate over them, each a context manager. No wait outlasts the deadline."""

        def wait(state: RetryCallState) -> float:
            return self.wait(state.attempt_number, state.outcome.exception() if state.outcome else None)

        def is_over(state: RetryCallState) -> bool:
            return state.attempt_number >= self.max_attempts or state.upcoming_sleep >= deadline.remaining()

        return AsyncRetrying(
            retry=retry_if_exception(_is_worth_another),
            wait=wait,
            stop=is_over,
            reraise=True,
        )

    def wait(self, failures: int, error: BaseException | None) -> float:
        """Seconds to wait after so many failures of one target, the last of them `error`; infinite if too long.

        Never sooner than Bedrock's Retry-After allows.
        """
        asked = error.retry_after or 0.0 if isinstance(error, GatewayError) else 0.0
        if asked > self.max_wait:
            return math.inf
        state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
        state.attempt_number = failures
        return max(wait_random_exponential(multiplier=self.first_wait, max=self.max_wait)(state), asked)


def _is_worth_another(error: BaseException) -> bool:
    return isinstance(error, GatewayError) and error.retry_here

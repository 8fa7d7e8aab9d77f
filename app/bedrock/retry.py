"""The one place that waits and tries again: tenacity, exponential backoff with full jitter.

Full jitter: a wait is drawn from 0 to the cap, which doubles with each attempt, so that callers who failed together
do not return together (AWS Architecture Blog, "Exponential Backoff And Jitter").
"""

import math

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from app.errors import GatewayError
from app.kit.clock import Deadline
from app.kit.values import Struct


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
        """The attempts at one target: iterate over them, each a context manager."""
        return AsyncRetrying(
            retry=retry_if_exception(_is_worth_another),
            wait=_Wait(self),
            stop=stop_after_attempt(self.max_attempts) | _Pointless(self, deadline),
            reraise=True,
        )

    def wait(self, failures: int, error: GatewayError) -> float:
        """Seconds to wait after so many failures of one target, the last of them `error`; infinite if too long."""
        asked = error.retry_after or 0.0
        if asked > self.max_wait:
            return math.inf
        state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
        state.attempt_number = failures
        return max(wait_random_exponential(multiplier=self.first_wait, max=self.max_wait)(state), asked)


def _is_worth_another(error: BaseException) -> bool:
    return isinstance(error, GatewayError) and error.retry_here


class _Wait(wait_base):
    """Full jitter, but never sooner than Retry-After allows."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._jitter = wait_random_exponential(multiplier=policy.first_wait, max=policy.max_wait)

    def __call__(self, retry_state: RetryCallState) -> float:
        return max(self._jitter(retry_state), _retry_after(retry_state))


class _Pointless(stop_base):
    """Stops where the wait would outlast the deadline, or Retry-After the longest wait."""

    def __init__(self, policy: RetryPolicy, deadline: Deadline) -> None:
        self._policy = policy
        self._deadline = deadline

    def __call__(self, retry_state: RetryCallState) -> bool:
        wait = retry_state.upcoming_sleep
        return wait >= self._deadline.remaining() or _retry_after(retry_state) > self._policy.max_wait


def _retry_after(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after or 0.0 if isinstance(error, GatewayError) else 0.0

"""The one place that waits and tries again: tenacity, exponential backoff with full jitter.

Full jitter: a wait is drawn from 0 to the cap, which doubles with each attempt, so that callers who failed together
do not return together (AWS Architecture Blog, "Exponential Backoff And Jitter").
"""

from collections.abc import Callable
from dataclasses import dataclass

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from app.errors import GatewayError
from app.kit.clock import Deadline


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try. Seconds.

    max_attempts: attempts, the first included.
    first_wait: the cap of the first wait; it doubles from there.
    max_wait: no wait is longer; a Retry-After beyond it ends the retries.
    """

    max_attempts: int = 3
    first_wait: float = 0.25
    max_wait: float = 20.0

    def retrying(
        self,
        deadline: Deadline,
        is_worth_another: Callable[[BaseException], bool] | None = None,
        is_next_elsewhere: Callable[[], bool] | None = None,
        max_attempts: int | None = None,
    ) -> AsyncRetrying:
        """The attempts of one request: iterate over them, each a context manager.

        Args:
            is_worth_another: whether an error leads to another attempt; by its `retry_here` if left out.
            is_next_elsewhere: whether the next attempt goes to a target not asked yet, for which nothing is waited.
            max_attempts: instead of the policy's own.
        """
        return AsyncRetrying(
            retry=retry_if_exception(is_worth_another or _is_worth_another_here),
            wait=_Wait(self, is_next_elsewhere or _never),
            stop=stop_after_attempt(max_attempts or self.max_attempts) | _Pointless(self, deadline),
            reraise=True,
        )


def _is_worth_another_here(error: BaseException) -> bool:
    return isinstance(error, GatewayError) and error.retry_here


def _never() -> bool:
    return False


class _Wait(wait_base):
    """Full jitter, but never sooner than Retry-After allows; nothing where another target is asked instead."""

    def __init__(self, policy: RetryPolicy, is_next_elsewhere: Callable[[], bool]) -> None:
        self._jitter = wait_random_exponential(multiplier=policy.first_wait, max=policy.max_wait)
        self._is_next_elsewhere = is_next_elsewhere

    def __call__(self, retry_state: RetryCallState) -> float:
        if self._is_next_elsewhere():
            return 0.0
        return max(self._jitter(retry_state), _retry_after(retry_state))


class _Pointless(stop_base):
    """Stops where the wait would outlast the deadline, or Retry-After the longest wait."""

    def __init__(self, policy: RetryPolicy, deadline: Deadline) -> None:
        self._policy = policy
        self._deadline = deadline

    def __call__(self, retry_state: RetryCallState) -> bool:
        wait = retry_state.upcoming_sleep
        is_too_long = wait > 0 and _retry_after(retry_state) > self._policy.max_wait
        return is_too_long or wait >= self._deadline.remaining()


def _retry_after(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after or 0.0 if isinstance(error, GatewayError) else 0.0

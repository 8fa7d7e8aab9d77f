"""Retries: as the error allows, limited by attempts and the deadline, never before Retry-After."""

import pytest

from app import errors
from app.bedrock.retry import RetryPolicy
from app.process.deadline import Deadline


class Attempts:
    """Fails with each of `outcomes` in turn, then succeeds; records the waits."""

    def __init__(self, *outcomes: Exception) -> None:
        self.outcomes = list(outcomes)
        self.count = 0
        self.sleeps: list[float] = []

    async def run(self, policy: RetryPolicy, deadline: Deadline | None = None) -> str:
        async def sleep(seconds: float) -> None:
            self.sleeps.append(seconds)

        retrying = policy.retrying(deadline or Deadline.after(1000))
        retrying.sleep = sleep
        async for attempt in retrying:
            with attempt:
                self.count += 1
                if self.outcomes:
                    raise self.outcomes.pop(0)
                return "done"
        raise AssertionError


def throttle(retry_after: float | None = None) -> errors.RateLimited:
    return errors.RateLimited("slow", retry_after=retry_after)


async def test_succeeds_after_failures_that_may_be_retried() -> None:
    attempts = Attempts(throttle(), errors.Overloaded("busy"))
    assert await attempts.run(RetryPolicy(3, first_wait=0.5)) == "done"
    assert attempts.count == 3
    assert all(0 <= seconds <= cap for seconds, cap in zip(attempts.sleeps, (0.5, 1.0), strict=True))


async def test_last_error_is_raised_after_the_last_attempt() -> None:
    attempts = Attempts(throttle(), throttle(), errors.Overloaded("last"))
    with pytest.raises(errors.Overloaded, match="last"):
        await attempts.run(RetryPolicy(3))
    assert attempts.count == 3


@pytest.mark.parametrize("error", [errors.InvalidRequest("bad"), errors.UpstreamTimeout("slow"), ValueError("bug")])
async def test_errors_that_may_not_be_retried_are_raised_at_once(error: Exception) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        await attempts.run(RetryPolicy(3))
    assert attempts.count == 1


async def test_retry_after_is_honoured() -> None:
    attempts = Attempts(throttle(3.0))
    await attempts.run(RetryPolicy(3))
    assert attempts.sleeps == [3.0]


async def test_retry_after_beyond_the_longest_wait_ends_the_retries() -> None:
    attempts = Attempts(throttle(30.0))
    with pytest.raises(errors.RateLimited):
        await attempts.run(RetryPolicy(3, max_wait=20))
    assert attempts.count == 1


async def test_no_wait_outlasts_the_deadline() -> None:
    attempts = Attempts(throttle(5.0))
    with pytest.raises(errors.RateLimited):
        await attempts.run(RetryPolicy(3), Deadline.after(4))
    assert (attempts.count, attempts.sleeps) == (1, [])


async def test_jitter_is_full_and_its_limit_doubles() -> None:
    caps = []

    def uniform(low: float, high: float) -> float:
        caps.append((low, high))
        return high

    policy = RetryPolicy(5, first_wait=1, max_wait=5, uniform=uniform)
    await Attempts(*[throttle() for _ in range(4)]).run(policy)
    assert caps == [(0, 1), (0, 2), (0, 4), (0, 5)]

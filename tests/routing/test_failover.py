"""The order of attempts: elsewhere at once, here after a wait, never beyond the budget, the breakers and the deadline."""

from collections.abc import Sequence
from unittest import mock

import pytest

from app import errors
from app.bedrock.endpoints import Place
from app.bedrock.retry import RetryPolicy
from app.kit.clock import Deadline
from app.routing.failover import Failover
from app.routing.health import Breakers, RetryBudget
from app.routing.plan import Choice, Planner, Route, Target

A, B = "a.one", "b.two"
PLANNER = Planner(A, routes={"both": Route((Choice(A), Choice(B, Place("us-west-2"))))})


class Attempts:
    """Fails with each of `outcomes` in turn, then succeeds; notes who was asked, and how long was waited."""

    def __init__(self, *outcomes: BaseException) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[str] = []
        self.sleeps: list[float] = []

    async def __call__(self, target: Target) -> str:
        self.asked.append(target.model.raw)
        if self.outcomes:
            raise self.outcomes.pop(0)
        return target.model.raw

    async def run(self, failover: Failover, targets: Sequence[Target], seconds: float = 100) -> str:
        async def sleep(wait: float) -> None:
            self.sleeps.append(wait)

        with mock.patch("asyncio.sleep", sleep):
            return await failover.run(targets, Deadline.after(seconds), self)


def failover(attempts: int = 3, **parts: object) -> Failover:
    return Failover(RetryPolicy(attempts, first_wait=0.5), **parts)  # type: ignore[arg-type]


def both() -> list[Target]:
    return PLANNER.plan("both")


def throttle(seconds: float | None = None) -> errors.RateLimited:
    return errors.RateLimited("slow", retry_after=seconds)


async def test_what_succeeds_at_once_asks_once() -> None:
    attempts = Attempts()
    assert await attempts.run(failover(), both()) == A
    assert (attempts.asked, attempts.sleeps) == ([A], [])


@pytest.mark.parametrize(
    "error", [throttle(30.0), errors.UpstreamTimeout("silent"), errors.PermissionRefused("no", retry_elsewhere=True)]
)
async def test_what_may_succeed_elsewhere_goes_there_at_once(error: errors.GatewayError) -> None:
    attempts = Attempts(error)
    assert await attempts.run(failover(), both()) == B
    assert (attempts.asked, attempts.sleeps) == ([A, B], [0.0])


async def test_when_all_have_throttled_the_next_round_waits_for_as_long_as_was_asked() -> None:
    attempts = Attempts(throttle(1.0), throttle(2.0))
    assert await attempts.run(failover(), both()) in (A, B)
    assert len(attempts.asked) == 3
    assert attempts.sleeps == [0.0, 2.0]


async def test_a_target_that_failed_for_good_is_not_asked_again() -> None:
    attempts = Attempts(errors.UpstreamTimeout("silent"), throttle(), throttle())
    assert await attempts.run(failover(4), both()) == B
    assert attempts.asked == [A, B, B, B]


async def test_what_the_caller_did_wrong_goes_nowhere_else() -> None:
    attempts = Attempts(errors.InvalidRequest("bad"))
    with pytest.raises(errors.InvalidRequest):
        await attempts.run(failover(), both())
    assert attempts.asked == [A]


async def test_every_target_is_asked_even_where_there_are_more_than_attempts() -> None:
    attempts = Attempts(throttle())
    assert await attempts.run(failover(1), both()) == B


async def test_what_another_target_cannot_carry_is_told_only_where_none_could() -> None:
    unfit = errors.InvalidRequest("cannot carry", retry_elsewhere=True)
    attempts = Attempts(errors.Overloaded("busy", retry_here=False), unfit)
    with pytest.raises(errors.Overloaded, match="busy"):
        await attempts.run(failover(), both())
    attempts = Attempts(unfit, errors.InvalidRequest("nor that", retry_elsewhere=True))
    with pytest.raises(errors.InvalidRequest, match="nor that"):
        await attempts.run(failover(), both())
    assert attempts.asked == [A, B]


async def test_no_retry_is_made_beyond_the_budget() -> None:
    budget = RetryBudget(share=0.0, floor=0.0, most=1.0)
    attempts = Attempts(*[throttle() for _ in range(5)])
    with pytest.raises(errors.RateLimited):
        await attempts.run(failover(budget=budget), PLANNER.plan(A))
    assert attempts.asked == [A, A]


async def test_no_wait_outlasts_the_deadline() -> None:
    attempts = Attempts(throttle(5.0))
    with pytest.raises(errors.RateLimited):
        await attempts.run(failover(), PLANNER.plan(A), seconds=4)
    assert (attempts.asked, attempts.sleeps) == ([A], [])


async def test_a_target_whose_breaker_is_open_is_passed_over_and_if_all_are_nobody_is_asked() -> None:
    breakers = Breakers(1, 50.0)
    first, second = both()
    breakers.note(first.key, errors.UpstreamUnreachable("no"))
    attempts = Attempts()
    assert await attempts.run(failover(breakers=breakers), both()) == B
    breakers.note(second.key, errors.UpstreamUnreachable("no"))
    attempts = Attempts()
    with pytest.raises(errors.Overloaded, match="kept failing") as caught:
        await attempts.run(failover(breakers=breakers), both())
    assert attempts.asked == []
    assert (caught.value.retry_here, 49 < (caught.value.retry_after or 0) <= 50) == (False, True)


async def test_one_that_rests_is_asked_last() -> None:
    breakers = Breakers()
    breakers.note(both()[0].key, throttle(60))
    attempts = Attempts()
    assert await attempts.run(failover(breakers=breakers), both()) == B


async def test_outcomes_reach_the_breakers() -> None:
    breakers = Breakers(2, 50.0)
    attempts = Attempts(*[errors.Overloaded("x") for _ in range(4)])
    with pytest.raises(errors.Overloaded, match="x"):
        await attempts.run(failover(4, breakers=breakers), both())
    assert set(breakers.states()) == {"a.one@here", "b.two@us-west-2"}

"""Breakers open by outages alone, let one probe pass, and close by what it finds; the budget bounds retries."""

import asyncio

import pytest

from app import errors
from app.routing.health import Breakers, RetryBudget


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock, failures: int = 3) -> Breakers:
    breakers = Breakers(failures, 5.0, clock)
    for _ in range(failures):
        breakers.note("a", errors.UpstreamUnreachable("no"))
    return breakers


def test_it_opens_after_outages_in_a_row_and_lets_one_probe_pass_after_a_while() -> None:
    clock = Clock()
    breakers = opened(clock)
    assert (breakers.wait("a"), breakers.states(), breakers.wait("b")) == (5.0, {"a": "open"}, 0.0)
    clock.now += 5.0
    assert (breakers.wait("a"), breakers.states()) == (0.0, {"a": "half_open"})
    breakers.start("a")
    assert breakers.wait("a") == 5.0
    breakers.note("a", None)
    assert (breakers.wait("a"), breakers.states()) == (0.0, {})


def test_a_probe_that_fails_opens_it_again_and_one_that_is_given_up_makes_room_for_another() -> None:
    clock = Clock()
    breakers = opened(clock)
    clock.now += 6.0
    breakers.start("a")
    breakers.note("a", asyncio.CancelledError())
    assert breakers.wait("a") == 0.0
    breakers.start("a")
    breakers.note("a", errors.ConnectTimeout("no"))
    assert breakers.wait("a") == 5.0


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequest("the caller's"),
        errors.UpstreamTimeout("a slow model"),
        errors.RateLimited("a throttle"),
        errors.UpstreamFailed("one odd answer"),
        errors.Overloaded("no credentials", retry_here=False),
        errors.InternalFailure("our own"),
    ],
)
def test_what_says_nothing_about_the_target_does_not_open_it(error: errors.GatewayError) -> None:
    breakers = Breakers(1, 5.0, Clock())
    breakers.note("a", error)
    assert breakers.wait("a") == 0.0


def test_a_success_in_between_begins_the_count_again_and_zero_means_never() -> None:
    breakers = Breakers(2, 5.0, Clock())
    for error in (errors.Overloaded("x"), None, errors.Overloaded("x")):
        breakers.note("a", error)
    assert breakers.states() == {}
    never = Breakers(0, 5.0, Clock())
    for _ in range(50):
        never.note("a", errors.Overloaded("x"))
    assert (never.wait("a"), never.states()) == (0.0, {})


def test_a_throttled_target_rests_for_as_long_as_it_asks() -> None:
    clock = Clock()
    breakers = Breakers(clock=clock)
    breakers.note("a", errors.RateLimited("x", retry_after=3))
    assert (breakers.is_resting("a"), breakers.is_resting("b"), breakers.wait("a")) == (True, False, 0.0)
    clock.now += 3.1
    assert not breakers.is_resting("a")


def test_what_is_remembered_is_bounded() -> None:
    breakers = Breakers(1)
    for number in range(5000):
        breakers.note(f"model-{number}", errors.Overloaded("x"))
    assert len(breakers.states()) == 4096


def test_retries_are_a_share_of_the_traffic() -> None:
    clock = Clock()
    budget = RetryBudget(share=0.1, floor=1.0, most=5.0, clock=clock)
    assert [budget.take() for _ in range(6)] == [True] * 5 + [False]
    for _ in range(20):
        budget.note_request()
    assert [budget.take() for _ in range(3)] == [True, True, False]
    clock.now += 1.0
    assert [budget.take() for _ in range(2)] == [True, False]

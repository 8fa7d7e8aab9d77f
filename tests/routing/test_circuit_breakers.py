"""Breakers open by outages alone, let one probe pass at a time, and close by an answer; the budget bounds retries."""

import pytest

from app import errors
from app.routing.circuit_breakers import Breakers, RetryBudget


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock, failures: int = 3) -> Breakers:
    breakers = Breakers(failures, 5.0, clock=clock)
    for _ in range(failures):
        breakers.note("a", errors.UpstreamUnreachable("no"), is_probe=False)
    return breakers


def test_it_opens_after_outages_in_a_row_and_lets_one_probe_pass_after_a_while() -> None:
    clock = Clock()
    breakers = opened(clock)
    assert (breakers.wait("a"), breakers.states(), breakers.wait("b")) == (5.0, {"a": "open"}, 0.0)
    assert not breakers.are_closed
    clock.now += 5.0
    assert (breakers.wait("a"), breakers.states()) == (0.0, {"a": "half_open"})
    assert breakers.start("a")
    assert breakers.wait("a") == 5.0
    breakers.note("a", None, is_probe=True)
    assert (breakers.wait("a"), breakers.states(), breakers.are_closed) == (0.0, {}, True)
    assert not breakers.start("a")


@pytest.mark.parametrize(
    "error", [errors.ConnectTimeout("no"), errors.ConnectionLost("no"), errors.UpstreamTimeout("?")]
)
def test_a_probe_that_gets_no_answer_opens_it_again(error: errors.GatewayError) -> None:
    clock = Clock()
    breakers = opened(clock)
    clock.now += 6.0
    breakers.start("a")
    clock.now += 1.0
    breakers.note("a", error, is_probe=True)
    assert breakers.wait("a") == 5.0


def test_a_probe_that_lasts_makes_room_for_another_and_an_older_call_for_none() -> None:
    clock = Clock()
    breakers = opened(clock)
    clock.now += 6.0
    breakers.start("a")
    # a call that began before the breaker opened breaks down
    breakers.note("a", errors.UpstreamTimeout("?"), is_probe=False)
    assert breakers.wait("a") == 5.0
    clock.now += 5.0
    assert breakers.wait("a") == 0.0


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
    breakers = Breakers(1, 5.0, clock=Clock())
    breakers.note("a", error, is_probe=False)
    assert breakers.wait("a") == 0.0


def test_silence_does_not_begin_the_count_again_and_an_answer_does() -> None:
    breakers = Breakers(2, 5.0, clock=Clock())
    outage, silence, answer = errors.Overloaded("x"), errors.UpstreamTimeout("x"), errors.InvalidRequest("x")
    for error in (outage, answer, outage, None, outage):
        breakers.note("a", error, is_probe=False)
    assert breakers.states() == {}
    for error in (silence, outage):
        breakers.note("a", error, is_probe=False)
    assert breakers.states() == {"a": "open"}
    never = Breakers(0, 5.0, clock=Clock())
    for _ in range(50):
        never.note("a", outage, is_probe=False)
    assert (never.wait("a"), never.states()) == (0.0, {})


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (errors.RateLimited("x", retry_after=3), 3.0),
        (errors.RateLimited("x"), 1.0),
        (errors.PermissionRefused("x"), 30.0),
        (errors.ModelNotFound("x"), 30.0),
        (errors.UpstreamTimeout("x"), 5.0),
    ],
)
def test_a_target_that_refuses_rests(error: errors.GatewayError, seconds: float) -> None:
    clock = Clock()
    breakers = Breakers(clock=clock)
    breakers.note("a", error, is_probe=False)
    assert (breakers.is_resting("a"), breakers.is_resting("b"), breakers.wait("a")) == (True, False, 0.0)
    clock.now += seconds
    assert not breakers.is_resting("a")
    breakers.note("a", error, is_probe=False)
    breakers.note("a", None, is_probe=False)
    assert not breakers.is_resting("a")


def test_what_is_remembered_is_bounded_and_open_breakers_are_forgotten_last() -> None:
    breakers = Breakers(1)
    breakers.note("ill", errors.Overloaded("x"), is_probe=False)
    for number in range(5000):
        breakers.note(f"model-{number}", errors.RateLimited("x"), is_probe=False)
    assert breakers.states() == {"ill": "open"}
    assert len(breakers._healths) == 4096
    for number in range(5000):
        breakers.note(f"model-{number}", errors.Overloaded("x"), is_probe=False)
    assert len(breakers._healths) == 4096


def test_retries_are_a_share_of_the_traffic() -> None:
    clock = Clock()
    budget = RetryBudget(share=0.1, layer=1.0, limit=5.0, clock=clock)
    assert [budget.take() for _ in range(6)] == [True] * 5 + [False]
    for _ in range(20):
        budget.note_call()
    assert [budget.take() for _ in range(3)] == [True, True, False]
    clock.now += 1.0
    assert [budget.take() for _ in range(2)] == [True, False]


def test_each_target_has_its_own_budget() -> None:
    clock = Clock()
    breakers = Breakers(share=0.5, clock=clock)
    assert [breakers.may_retry("a") for _ in range(21)] == [True] * 20 + [False]
    assert breakers.may_retry("b")
    for _ in range(2):
        breakers.start("a")
    assert [breakers.may_retry("a") for _ in range(2)] == [True, False]

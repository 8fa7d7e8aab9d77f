"""Breakers open after outages only, pass one probe at a time, and close after a response; budgets limit retries."""

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
        breakers["a"].note(errors.UpstreamUnreachable("no"), is_probe=False)
    return breakers


def test_a_breaker_opens_after_outages_in_a_row_and_passes_one_probe_later() -> None:
    clock = Clock()
    breakers = opened(clock)
    assert (breakers["a"].wait(), breakers.states(), breakers["b"].wait()) == (5.0, {"a": "open"}, 0.0)
    assert not breakers.are_closed
    clock.now += 5.0
    assert (breakers["a"].wait(), breakers.states()) == (0.0, {"a": "half_open"})
    assert breakers["a"].begin_probe()
    assert breakers["a"].wait() == 5.0
    breakers["a"].note(None, is_probe=True)
    assert (breakers["a"].wait(), breakers.states(), breakers.are_closed) == (0.0, {}, True)
    assert not breakers["a"].begin_probe()


@pytest.mark.parametrize(
    "error", [errors.ConnectTimeout("no"), errors.ConnectionLost("no"), errors.UpstreamTimeout("?")]
)
def test_a_probe_without_a_response_opens_the_breaker_again(error: errors.GatewayError) -> None:
    clock = Clock()
    breakers = opened(clock)
    clock.now += 6.0
    breakers["a"].begin_probe()
    clock.now += 1.0
    breakers["a"].note(error, is_probe=True)
    assert breakers["a"].wait() == 5.0


def test_a_slow_probe_allows_another_and_an_older_call_does_not() -> None:
    clock = Clock()
    breakers = opened(clock)
    clock.now += 6.0
    breakers["a"].begin_probe()
    # a call that began before the breaker opened breaks down
    breakers["a"].note(errors.UpstreamTimeout("?"), is_probe=False)
    assert breakers["a"].wait() == 5.0
    clock.now += 5.0
    assert breakers["a"].wait() == 0.0


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
def test_errors_that_are_no_outages_do_not_open_a_breaker(error: errors.GatewayError) -> None:
    breakers = Breakers(1, 5.0, clock=Clock())
    breakers["a"].note(error, is_probe=False)
    assert breakers["a"].wait() == 0.0


def test_a_response_resets_the_outages_and_a_timeout_does_not() -> None:
    breakers = Breakers(2, 5.0, clock=Clock())
    outage, silence, answer = errors.Overloaded("x"), errors.UpstreamTimeout("x"), errors.InvalidRequest("x")
    for error in (outage, answer, outage, None, outage):
        breakers["a"].note(error, is_probe=False)
    assert breakers.states() == {}
    for error in (silence, outage):
        breakers["a"].note(error, is_probe=False)
    assert breakers.states() == {"a": "open"}
    never = Breakers(0, 5.0, clock=Clock())
    for _ in range(50):
        never["a"].note(outage, is_probe=False)
    assert (never["a"].wait(), never.states()) == (0.0, {})


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
def test_a_target_is_paused_after_a_refusal(error: errors.GatewayError, seconds: float) -> None:
    clock = Clock()
    breakers = Breakers(clock=clock)
    breakers["a"].note(error, is_probe=False)
    assert (breakers["a"].is_paused(), breakers["b"].is_paused(), breakers["a"].wait()) == (True, False, 0.0)
    clock.now += seconds
    assert not breakers["a"].is_paused()
    breakers["a"].note(error, is_probe=False)
    breakers["a"].note(None, is_probe=False)
    assert not breakers["a"].is_paused()


@pytest.mark.parametrize("threshold", [1, 3, 10])
def test_no_caller_alone_opens_the_breaker_of_others(threshold: int) -> None:
    """Finding M4: one key's bodies opened the breaker for all keys."""
    breakers = Breakers(threshold, 5.0, clock=Clock(), has_several_callers=True)
    for _ in range(50):
        breakers["a"].note(errors.InternalFailure("x", retry_here=True), is_probe=False, caller="hostile")
        breakers["a"].note(errors.Overloaded("x"), is_probe=False, caller="hostile")
    assert breakers.are_closed
    for _ in range(threshold):
        breakers["a"].note(errors.Overloaded("x"), is_probe=False, caller="honest")
    assert not breakers.are_closed
    breakers["a"].note(None, is_probe=True, caller="honest")
    breakers["a"].note(errors.Overloaded("x"), is_probe=False, caller="hostile")
    assert breakers.are_closed
    alone = Breakers(threshold, 5.0, clock=Clock())
    for _ in range(threshold):
        breakers["b"].note(errors.ConnectionLost("x"), is_probe=False, caller="hostile")
        alone["a"].note(errors.Overloaded("x"), is_probe=False, caller="only")
    assert [breakers.states(), alone.states()] == [{"b": "open"}, {"a": "open"}]


def test_the_number_of_breakers_is_limited_and_open_ones_are_dropped_last() -> None:
    breakers = Breakers(1)
    breakers["ill"].note(errors.Overloaded("x"), is_probe=False)
    for number in range(5000):
        breakers[f"model-{number}"].note(errors.RateLimited("x"), is_probe=False)
    assert breakers.states() == {"ill": "open"}
    assert len(breakers) == 4096
    for number in range(5000):
        breakers[f"model-{number}"].note(errors.Overloaded("x"), is_probe=False)
    assert len(breakers) == 4096


def test_retries_are_a_share_of_the_traffic() -> None:
    clock = Clock()
    budget = RetryBudget(share=0.1, rate=1.0, limit=5.0, clock=clock)
    assert [budget.take() for _ in range(6)] == [True] * 5 + [False]
    for _ in range(20):
        budget.note_call()
    assert [budget.take() for _ in range(3)] == [True, True, False]
    clock.now += 1.0
    assert [budget.take() for _ in range(2)] == [True, False]


def test_each_target_has_its_own_budget() -> None:
    clock = Clock()
    breakers = Breakers(share=0.5, clock=clock)
    assert [breakers["a"].may_retry() for _ in range(21)] == [True] * 20 + [False]
    assert breakers["b"].may_retry()
    budget = breakers["a"].retry_budget
    assert budget is not None
    for _ in range(2):
        budget.note_call()
    assert [breakers["a"].may_retry() for _ in range(2)] == [True, False]

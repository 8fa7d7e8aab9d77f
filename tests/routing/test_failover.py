"""The order of attempts: other targets at once, the same one after a wait, within budget, breakers and deadline."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from app import errors
from app.bedrock.retry import RetryPolicy
from app.process.deadline import Deadline
from app.routing.circuit_breakers import Breakers
from app.routing.failover import AttemptResult, Failover, FailoverCandidate, _Outcome
from tests.waiting import until

UNFIT = errors.InvalidRequest("cannot carry")


async def run(
    failover: Failover,
    targets: Mapping[str, Callable[[], Awaitable[str]]],
    deadline: Deadline | None = None,
    *,
    is_verbatim: bool = False,
    prepare_seconds: float = 0.0,
) -> str:
    """Run a call over targets: the functions that make their attempts, by their keys."""

    async def prepare(name: str) -> FailoverCandidate:
        await asyncio.sleep(prepare_seconds)
        return FailoverCandidate(key=name, is_verbatim=is_verbatim)

    async def attempt(candidate: FailoverCandidate) -> AttemptResult[FailoverCandidate, str]:
        try:
            return AttemptResult(candidate, await targets[str(candidate.key)]())
        except errors.GatewayError as error:
            return AttemptResult(candidate, error=error)

    return value_of(await failover.run([*targets], prepare, attempt, deadline or Deadline.after(9)))


def value_of(result: AttemptResult[FailoverCandidate, str]) -> str:
    if result.error is not None:
        raise result.error
    assert result.value is not None
    return result.value


class Attempts:
    """Fails with each of `outcomes` in turn, then succeeds; notes which targets were tried, and how long was waited."""

    def __init__(self, *outcomes: errors.GatewayError) -> None:
        self.outcomes = list(outcomes)
        self.prepared: list[str] = []
        self.asked: list[str] = []
        self.sleeps: list[float] = []
        self.now = 1000.0

    async def sleep(self, wait: float) -> None:
        self.sleeps.append(round(wait, 3))
        self.now += wait

    async def prepare(self, name: str) -> FailoverCandidate:
        if name.isupper():
            raise UNFIT
        self.prepared.append(name)
        return FailoverCandidate(key=name)

    async def attempt(self, candidate: FailoverCandidate) -> AttemptResult[FailoverCandidate, str]:
        name = str(candidate.key)
        self.asked.append(name)
        return AttemptResult(candidate, error=self.outcomes.pop(0)) if self.outcomes else AttemptResult(candidate, name)

    async def run(self, failover: Failover, names: str = "ab", seconds: float = 100) -> str:
        """Run a call over the targets called by the letters of `names`; a capital one cannot carry the call."""
        retry = replace(failover.retry, uniform=lambda _low, high: high)
        timed = replace(failover, retry=retry, clock=lambda: self.now, sleep=self.sleep)
        return value_of(await timed.run([*names], self.prepare, self.attempt, Deadline(self.now + seconds)))


def failover(attempts: int = 3, breakers: Any = None) -> Failover:
    return Failover(RetryPolicy(attempts, first_wait=0.5), Breakers(0) if breakers is None else breakers)


def throttle(seconds: float | None = None) -> errors.RateLimited:
    return errors.RateLimited("slow", retry_after=seconds)


async def test_a_call_that_succeeds_makes_one_attempt() -> None:
    attempts = Attempts()
    assert await attempts.run(failover()) == "a"
    assert (attempts.asked, attempts.sleeps) == (["a"], [])


async def test_only_targets_that_are_tried_are_prepared() -> None:
    attempts = Attempts(throttle())
    assert await attempts.run(failover(), "abc") == "b"
    assert attempts.prepared == attempts.asked == ["a", "b"]


@pytest.mark.parametrize(
    "error",
    [
        throttle(30.0),
        errors.UpstreamTimeout("silent"),
        errors.PermissionRefused("no", retry_elsewhere=True),
        errors.ModelNotFound("not here"),
        errors.Overloaded("no credentials", retry_here=False),
    ],
)
async def test_an_error_that_another_target_may_not_have_tries_it_at_once(error: errors.GatewayError) -> None:
    attempts = Attempts(error)
    assert await attempts.run(failover()) == "b"
    assert (attempts.asked, attempts.sleeps) == (["a", "b"], [0.0])


async def test_after_throttles_of_all_targets_the_first_to_be_ready_is_tried() -> None:
    attempts = Attempts(throttle(3.0), throttle())
    assert await attempts.run(failover()) == "b"
    # never the first one sooner than it asked
    assert attempts.asked == ["a", "b", "b"]
    assert attempts.sleeps == [0.0, 0.5]
    attempts = Attempts(throttle(1.0), throttle(2.0))
    assert await attempts.run(failover()) == "a"
    assert attempts.sleeps == [0.0, 1.0]


async def test_a_target_with_a_long_pause_does_not_end_retries_of_others() -> None:
    attempts = Attempts(throttle(60.0), errors.Overloaded("busy"), errors.Overloaded("busy"))
    assert await attempts.run(failover(5)) == "b"
    assert attempts.asked == ["a", "b", "b", "b"]


async def test_waits_grow_and_are_full_jitter() -> None:
    attempts = Attempts(*[throttle() for _ in range(3)])
    assert await attempts.run(failover(4), "a") == "a"
    assert attempts.sleeps == [0.5, 1.0, 2.0]


async def test_a_final_failure_of_one_target_takes_no_attempt_from_another() -> None:
    attempts = Attempts(throttle(), errors.ModelNotFound("not here"), throttle())
    assert await attempts.run(failover(4)) == "a"
    assert attempts.asked == ["a", "b", "a", "a"]
    attempts = Attempts(throttle(), errors.ModelNotFound("not here"), throttle(), throttle(), throttle())
    with pytest.raises(errors.RateLimited) as caught:
        await attempts.run(failover(4))
    assert caught.value.is_final
    assert attempts.asked == ["a", "b", "a", "a", "a"]


async def test_of_several_throttles_the_one_with_the_shortest_pause_is_raised() -> None:
    for waits in ((50.0, 90.0), (90.0, 50.0)):
        attempts = Attempts(*map(throttle, waits))
        with pytest.raises(errors.RateLimited) as caught:
            await attempts.run(failover(2))
        assert caught.value.retry_after == 50.0


@pytest.mark.parametrize(
    ("limit", "outcomes", "targets", "asked"),
    [
        (1, [throttle(), errors.ModelNotFound("no")], "ab", "ab"),
        (2, [throttle(), errors.ContextTooLong("no"), throttle()], "abc", "aba"),
        (3, [throttle(), *[errors.ModelNotFound("no")] * 7, throttle(), throttle()], "abcdefgh", "abcdefghaa"),
    ],
)
async def test_no_target_is_tried_more_often_than_it_would_be_alone(
    limit: int, outcomes: list[Exception], targets: str, asked: str
) -> None:
    attempts = Attempts(*outcomes)
    with pytest.raises(errors.RateLimited):
        await attempts.run(failover(limit), targets)
    assert attempts.asked == [*asked]


def test_of_several_throttles_the_one_that_ends_first_is_raised() -> None:
    outcome: _Outcome[FailoverCandidate, str] = _Outcome()
    for key, pause, now in (("a", 25.0, 100.0), ("b", 24.0, 120.0)):
        error = throttle(pause)
        outcome.note(AttemptResult(FailoverCandidate(key=key), error=error), error, now)
    told = outcome.result().error
    assert told is not None
    assert told.retry_after == 25.0


async def test_a_refusal_takes_no_attempt_from_a_target_that_failed() -> None:
    attempts = Attempts(throttle(), errors.ContextTooLong("too long"))
    assert await attempts.run(failover(2)) == "a"
    assert attempts.asked == ["a", "b", "a"]


async def test_an_invalid_request_is_tried_at_no_other_target() -> None:
    attempts = Attempts(errors.InvalidRequest("bad"))
    with pytest.raises(errors.InvalidRequest):
        await attempts.run(failover())
    assert attempts.asked == ["a"]


async def test_after_a_refusal_only_targets_that_failed_are_tried_again() -> None:
    attempts = Attempts(throttle(), errors.ContextTooLong("b is small"))
    assert await attempts.run(failover(), "abc") == "a"
    assert (attempts.asked, attempts.sleeps) == (["a", "b", "a"], [0.0, 0.5])


@pytest.mark.parametrize("names", ["a", "ab"])
async def test_the_latest_error_of_a_target_is_raised(names: str) -> None:
    said = [errors.InternalFailure("hiccup", retry_here=True), errors.ModelNotFound("no such"), UNFIT]
    attempts = Attempts(*(said if names == "ab" else (said[0], UNFIT)))
    with pytest.raises(errors.InvalidRequest) as caught:
        await attempts.run(failover(3), names)
    assert attempts.asked == ["a", *names[1:], "a"]
    assert caught.value.is_final


async def test_each_target_is_tried_once_even_if_there_are_more_than_attempts() -> None:
    attempts = Attempts(throttle(), throttle())
    assert await attempts.run(failover(1), "abc") == "c"
    attempts = Attempts(throttle())
    with pytest.raises(errors.RateLimited) as caught:
        await attempts.run(failover(1), "a")
    # nobody has tried again: a caller may
    assert not caught.value.is_final


async def test_a_target_that_cannot_carry_the_call_is_no_attempt() -> None:
    breakers = Breakers(1, 50.0)
    breakers["A"].note(errors.Overloaded("x"), is_probe=False)
    attempts = Attempts()
    assert await attempts.run(failover(breakers=breakers), "Ab") == "b"
    assert (attempts.sleeps, breakers.states()) == ([], {"A": "open"})
    attempts = Attempts(throttle(), throttle())
    assert await attempts.run(failover(), "aB") == "a"
    assert attempts.asked == ["a"] * 3


async def test_an_unfit_target_is_reported_only_if_all_are_unfit() -> None:
    with pytest.raises(errors.InvalidRequest, match="cannot carry"):
        await Attempts().run(failover(), "AB")
    with pytest.raises(errors.Overloaded, match="busy"):
        await Attempts(errors.Overloaded("busy", retry_here=False)).run(failover(), "aB")
    breakers = Breakers(1, 50.0)
    breakers["a"].note(errors.Overloaded("x"), is_probe=False)
    with pytest.raises(errors.Overloaded, match="kept failing"):
        await Attempts().run(failover(breakers=breakers), "aB")


def refused(*names: str, attempts: Attempts) -> Any:
    """Return an attempt that a budget refuses at these targets."""

    async def attempt(candidate: FailoverCandidate) -> AttemptResult[FailoverCandidate, str]:
        if candidate.key in names:
            # the price of b is not known
            error = errors.ModelNotFound if candidate.key == "b" else errors.BudgetSpent
            raise error(f"{candidate.key} is too dear")
        return await attempts.attempt(candidate)

    return attempt


async def run_refused(names: str, *outcomes: errors.GatewayError, dear: str, breakers: Any = None) -> Attempts:
    attempts = Attempts(*outcomes)
    timed = replace(failover(breakers=breakers), clock=lambda: attempts.now, sleep=attempts.sleep)
    attempt = refused(*dear, attempts=attempts)
    value_of(await timed.run([*names], attempts.prepare, attempt, Deadline(attempts.now + 100)))
    return attempts


async def test_a_target_that_a_budget_cannot_pay_is_passed_over() -> None:
    breakers = Breakers(1, 50.0)
    attempts = await run_refused("abc", dear="ab", breakers=breakers)
    assert (attempts.asked, attempts.sleeps) == (["c"], [])
    assert "open" not in breakers.states().values()
    attempts = await run_refused("ab", throttle(), throttle(), dear="b")
    assert attempts.asked == ["a"] * 3


async def test_a_spent_budget_is_reported_if_no_target_was_tried() -> None:
    with pytest.raises(errors.ModelNotFound, match="b is too dear"):
        await run_refused("aBb", dear="ab")
    with pytest.raises(errors.BudgetSpent, match="a is too dear"):
        await run_refused("bAa", dear="ab")
    with pytest.raises(errors.RateLimited, match="slow"):
        await run_refused("ab", throttle(), throttle(), throttle(), dear="b")


async def test_the_retry_budget_limits_retries_and_not_failover() -> None:
    breakers = Breakers(0, share=0.0)
    while breakers["a"].may_retry():
        pass
    attempts = Attempts(throttle(), throttle())
    with pytest.raises(errors.RateLimited) as caught:
        await attempts.run(failover(breakers=breakers), "a")
    assert (attempts.asked, caught.value.is_final) == (["a"], True)
    while breakers["c"].may_retry():
        pass
    attempts = Attempts(throttle())
    assert await attempts.run(failover(breakers=breakers), "cd") == "d"


async def test_no_wait_exceeds_the_deadline_or_the_longest_wait() -> None:
    for seconds, asked in ((4, 5.0), (100, 30.0)):
        attempts = Attempts(throttle(asked))
        with pytest.raises(errors.RateLimited):
            await attempts.run(failover(), "a", seconds=seconds)
        assert (attempts.asked, attempts.sleeps) == (["a"], [])


async def test_targets_with_open_breakers_are_skipped_and_the_call_fails_if_all_are_open() -> None:
    breakers = Breakers(1, 50.0)
    breakers["a"].note(errors.UpstreamUnreachable("no"), is_probe=False)
    attempts = Attempts()
    assert await attempts.run(failover(breakers=breakers)) == "b"
    breakers = Breakers(1, 50.0, clock=lambda: attempts.now)
    for name in "ab":
        breakers[name].note(errors.UpstreamUnreachable("no"), is_probe=False)
    attempts = Attempts()
    with pytest.raises(errors.Overloaded, match="kept failing") as caught:
        await attempts.run(failover(breakers=breakers))
    assert attempts.asked == []
    assert (caught.value.retry_here, caught.value.retry_after) == (False, 50.0)


async def test_a_half_open_breaker_passes_one_probe_however_long_preparing_takes() -> None:
    breakers = Breakers(1, 0.0)
    for name in "ab":
        breakers[name].note(errors.UpstreamUnreachable("no"), is_probe=False)
    breakers.seconds = 50.0
    asked: list[str] = []

    async def ask(name: str) -> str:
        asked.append(name)
        await asyncio.sleep(0.05)
        return name

    targets = {name: partial(ask, name) for name in "ab"}
    calls = (run(failover(breakers=breakers), targets, prepare_seconds=0.02) for _ in range(20))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(asked) == ["a", "b"]
    assert sum(isinstance(outcome, errors.Overloaded) for outcome in outcomes) == 18


async def test_a_breaker_that_opens_during_a_call_ends_it_with_the_last_error() -> None:
    attempts = Attempts(errors.Overloaded("busy", retry_after=2))
    with pytest.raises(errors.Overloaded, match="busy"):
        await attempts.run(failover(breakers=Breakers(1, 50.0)), "a")
    assert (attempts.asked, attempts.sleeps) == (["a"], [])


async def test_a_paused_target_is_tried_last() -> None:
    attempts = Attempts()
    breakers = Breakers(clock=lambda: attempts.now)
    breakers["a"].note(throttle(60), is_probe=False)
    assert await attempts.run(failover(breakers=breakers)) == "b"
    assert await attempts.run(failover(breakers=breakers), "a") == "a"


async def test_outcomes_of_attempts_reach_the_breakers() -> None:
    breakers = Breakers(2, 50.0)
    attempts = Attempts(*[errors.Overloaded("x") for _ in range(4)])
    with pytest.raises(errors.Overloaded, match="x"):
        await attempts.run(failover(4, breakers=breakers))
    assert set(breakers.states()) == {"a", "b"}


@pytest.mark.parametrize("error", [None, errors.UpstreamUnreachable("no")])
async def test_a_probe_continues_when_its_caller_leaves(error: errors.GatewayError | None) -> None:
    breakers = Breakers(1, 0.0)
    for name in "ab":
        breakers[name].note(errors.UpstreamUnreachable("no"), is_probe=False)
    breakers.seconds = 50.0
    answer = asyncio.Event()
    asked: list[str] = []

    async def ask(name: str) -> str:
        asked.append(name)
        await answer.wait()
        if error is not None:
            raise error
        return name

    targets = {name: partial(ask, name) for name in "ab"}
    for _ in range(3):  # who is as impatient goes to the next target, and then is told at once
        with pytest.raises((TimeoutError, errors.Overloaded)):
            async with asyncio.timeout(0.01):
                await run(failover(breakers=breakers), targets)
    assert asked == ["a", "b"]
    answer.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert breakers.are_closed is (error is None)


async def test_an_abandoned_probe_is_cancelled_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.routing.failover._ABANDONED_PROBE_SECONDS", 0.02)
    breakers = Breakers(1, 0.0)
    breakers["a"].note(errors.UpstreamUnreachable("no"), is_probe=False)
    ended: list[bool] = []

    async def ask() -> str:
        try:
            return await asyncio.sleep(60, "a")
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run(failover(breakers=breakers), {"a": ask})
    assert not ended
    await until(lambda: ended)
    assert (ended, breakers.are_closed) == ([True], False)


@pytest.mark.parametrize("error", [errors.PermissionRefused("no"), errors.ModelNotFound("no")])
async def test_a_refusal_of_a_verbatim_call_does_not_pause_the_target(
    error: errors.GatewayError,
) -> None:
    breakers = Breakers()

    async def refuse() -> str:
        raise error

    for is_verbatim in (True, False):
        with pytest.raises(type(error)):
            await run(failover(breakers=breakers), {"a": refuse}, is_verbatim=is_verbatim)
        assert breakers["a"].is_paused() is not is_verbatim


async def test_a_target_that_refuses_what_the_next_one_accepts_is_paused() -> None:
    breakers = Breakers()
    asked: list[str] = []

    async def ask(name: str) -> str:
        asked.append(name)
        if name == "a":
            raise errors.PermissionRefused("no", retry_elsewhere=True)
        return name

    targets = {name: partial(ask, name) for name in "ab"}
    for _ in range(2):
        assert await run(failover(breakers=breakers), targets, is_verbatim=True) == "b"
    assert asked == ["a", "b", "b"]


async def test_a_refusal_of_a_verbatim_call_ends_no_pause() -> None:
    breakers = Breakers()
    breakers["a"].note(throttle(60.0), is_probe=False)

    async def refuse() -> str:
        raise errors.PermissionRefused("no")

    with pytest.raises(errors.PermissionRefused):
        await run(failover(breakers=breakers), {"a": refuse}, is_verbatim=True)
    assert breakers["a"].is_paused()

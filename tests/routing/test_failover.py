"""The order of attempts: elsewhere at once, here after a wait, never beyond the budget, the breakers and the deadline."""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import pytest

from app import errors
from app.bedrock.retry import RetryPolicy
from app.process.deadline import Deadline
from app.routing.circuit_breakers import Breakers
from app.routing.failover import Candidate, Failover, _Outcome

UNFIT = errors.InvalidRequest("cannot carry")


def here(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Ours in this thread: gateways of other tests run in others."""
    ident = threading.get_ident()

    def either(*arguments: Any) -> Any:
        return ours(*arguments) if threading.get_ident() == ident else theirs(*arguments)

    return either


class Attempts:
    """Fails with each of `outcomes` in turn, then succeeds; notes who was asked, and how long was waited."""

    def __init__(self, *outcomes: BaseException) -> None:
        self.outcomes = list(outcomes)
        self.prepared: list[str] = []
        self.asked: list[str] = []
        self.sleeps: list[float] = []
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    def candidate(self, name: str) -> Callable[[], Awaitable[Candidate[str]]]:
        async def ask() -> str:
            self.asked.append(name)
            if self.outcomes:
                raise self.outcomes.pop(0)
            return name

        async def prepare() -> Candidate[str]:
            self.prepared.append(name)
            return Candidate(name, ask)

        return prepare

    async def run(self, failover: Failover, names: str = "ab", seconds: float = 100) -> str:
        """Ask the targets called by the letters of `names`; a capital one cannot carry the call."""

        async def sleep(wait: float) -> None:
            self.sleeps.append(round(wait, 3))
            self.now += wait

        async def unfit() -> Candidate[str]:
            raise UNFIT

        candidates = [unfit if name.isupper() else self.candidate(name) for name in names]
        with (
            mock.patch("asyncio.sleep", here(sleep, asyncio.sleep)),
            mock.patch("time.monotonic", here(self.clock, time.monotonic)),
            mock.patch("random.uniform", here(lambda _low, high: high, random.uniform)),
        ):
            return await failover.run(candidates, Deadline.after(seconds))


def failover(attempts: int = 3, breakers: Any = None) -> Failover:
    return Failover(RetryPolicy(attempts, first_wait=0.5), breakers or Breakers(0))


def throttle(seconds: float | None = None) -> errors.RateLimited:
    return errors.RateLimited("slow", retry_after=seconds)


async def test_what_succeeds_at_once_asks_once() -> None:
    attempts = Attempts()
    assert await attempts.run(failover()) == "a"
    assert (attempts.asked, attempts.sleeps) == (["a"], [])


async def test_only_who_is_asked_is_made_ready() -> None:
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
async def test_what_may_succeed_elsewhere_goes_there_at_once(error: errors.GatewayError) -> None:
    attempts = Attempts(error)
    assert await attempts.run(failover()) == "b"
    assert (attempts.asked, attempts.sleeps) == (["a", "b"], [0.0])


async def test_when_all_have_throttled_the_first_that_may_be_asked_again_is_waited_for() -> None:
    attempts = Attempts(throttle(3.0), throttle())
    assert await attempts.run(failover()) == "b"
    # never the first one sooner than it asked
    assert attempts.asked == ["a", "b", "b"]
    assert attempts.sleeps == [0.0, 0.5]
    attempts = Attempts(throttle(1.0), throttle(2.0))
    assert await attempts.run(failover()) == "a"
    assert attempts.sleeps == [0.0, 1.0]


async def test_one_that_may_not_be_asked_again_does_not_end_the_others() -> None:
    attempts = Attempts(throttle(60.0), errors.Overloaded("busy"), errors.Overloaded("busy"))
    assert await attempts.run(failover(5)) == "b"
    assert attempts.asked == ["a", "b", "b", "b"]


async def test_waits_grow_and_are_full_jitter() -> None:
    attempts = Attempts(*[throttle() for _ in range(3)])
    assert await attempts.run(failover(4), "a") == "a"
    assert attempts.sleeps == [0.5, 1.0, 2.0]


async def test_a_target_that_failed_for_good_is_not_asked_again_and_the_other_as_often_as_alone() -> None:
    attempts = Attempts(throttle(), errors.ModelNotFound("not here"), throttle())
    assert await attempts.run(failover(4)) == "a"
    assert attempts.asked == ["a", "b", "a", "a"]
    attempts = Attempts(throttle(), errors.ModelNotFound("not here"), throttle(), throttle(), throttle())
    with pytest.raises(errors.RateLimited) as caught:
        await attempts.run(failover(4))
    assert caught.value.is_final
    assert attempts.asked == ["a", "b", "a", "a", "a"]


async def test_of_several_that_throttle_the_first_to_be_asked_again_is_told() -> None:
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
async def test_nobody_is_asked_more_often_than_alone(
    limit: int, outcomes: list[Exception], targets: str, asked: str
) -> None:
    attempts = Attempts(*outcomes)
    with pytest.raises(errors.RateLimited):
        await attempts.run(failover(limit), targets)
    assert attempts.asked == [*asked]


async def test_of_those_that_throttle_a_pause_that_is_nearly_over_counts_for_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("app.routing.failover.time.monotonic", lambda: now)
    outcome = _Outcome()
    outcome.note("a", throttle(25.0))
    now += 20
    outcome.note("b", throttle(24.0))
    assert outcome.error().retry_after == 25.0


async def test_who_refuses_the_call_takes_no_attempt_from_who_only_failed() -> None:
    attempts = Attempts(throttle(), errors.ContextTooLong("too long"))
    assert await attempts.run(failover(2)) == "a"
    assert attempts.asked == ["a", "b", "a"]


async def test_what_the_caller_did_wrong_goes_nowhere_else() -> None:
    attempts = Attempts(errors.InvalidRequest("bad"))
    with pytest.raises(errors.InvalidRequest):
        await attempts.run(failover())
    assert attempts.asked == ["a"]


async def test_what_one_refuses_takes_nothing_from_another_that_had_only_failed() -> None:
    attempts = Attempts(throttle(), errors.ContextTooLong("b is small"))
    assert await attempts.run(failover(), "abc") == "a"
    assert (attempts.asked, attempts.sleeps) == (["a", "b", "a"], [0.0, 0.5])


@pytest.mark.parametrize("names", ["a", "ab"])
async def test_the_last_word_of_a_target_is_told_not_what_it_said_before(names: str) -> None:
    said = [errors.InternalFailure("hiccup", retry_here=True), errors.ModelNotFound("no such"), UNFIT]
    attempts = Attempts(*(said if names == "ab" else (said[0], UNFIT)))
    with pytest.raises(errors.InvalidRequest) as caught:
        await attempts.run(failover(3), names)
    assert attempts.asked == ["a", *names[1:], "a"]
    assert caught.value.is_final


async def test_every_target_is_asked_once_even_where_there_are_more_than_attempts() -> None:
    attempts = Attempts(throttle(), throttle())
    assert await attempts.run(failover(1), "abc") == "c"
    attempts = Attempts(throttle())
    with pytest.raises(errors.RateLimited) as caught:
        await attempts.run(failover(1), "a")
    # nobody has tried again: a caller may
    assert not caught.value.is_final


async def test_a_target_that_cannot_carry_the_call_counts_for_nothing() -> None:
    breakers = Breakers(1, 50.0)
    breakers.note("A", errors.Overloaded("x"), is_probe=False)
    attempts = Attempts()
    assert await attempts.run(failover(breakers=breakers), "Ab") == "b"
    assert (attempts.sleeps, breakers.states()) == ([], {"A": "open"})
    attempts = Attempts(throttle(), throttle())
    assert await attempts.run(failover(), "aB") == "a"
    assert attempts.asked == ["a"] * 3


async def test_that_no_target_can_carry_the_call_is_told_only_where_none_could() -> None:
    with pytest.raises(errors.InvalidRequest, match="cannot carry"):
        await Attempts().run(failover(), "AB")
    with pytest.raises(errors.Overloaded, match="busy"):
        await Attempts(errors.Overloaded("busy", retry_here=False)).run(failover(), "aB")
    breakers = Breakers(1, 50.0)
    breakers.note("a", errors.Overloaded("x"), is_probe=False)
    with pytest.raises(errors.Overloaded, match="kept failing"):
        await Attempts().run(failover(breakers=breakers), "aB")


async def test_retries_of_a_target_keep_to_its_budget_and_going_elsewhere_costs_nothing() -> None:
    breakers = Breakers(0, share=0.0)
    while breakers.may_retry("a"):
        pass
    attempts = Attempts(throttle(), throttle())
    with pytest.raises(errors.RateLimited) as caught:
        await attempts.run(failover(breakers=breakers), "a")
    assert (attempts.asked, caught.value.is_final) == (["a"], True)
    while breakers.may_retry("c"):
        pass
    attempts = Attempts(throttle())
    assert await attempts.run(failover(breakers=breakers), "cd") == "d"


async def test_no_wait_outlasts_the_deadline_or_the_longest_wait() -> None:
    for seconds, asked in ((4, 5.0), (100, 30.0)):
        attempts = Attempts(throttle(asked))
        with pytest.raises(errors.RateLimited):
            await attempts.run(failover(), "a", seconds=seconds)
        assert (attempts.asked, attempts.sleeps) == (["a"], [])


async def test_a_target_whose_breaker_is_open_is_passed_over_and_if_all_are_nobody_is_asked() -> None:
    breakers = Breakers(1, 50.0)
    breakers.note("a", errors.UpstreamUnreachable("no"), is_probe=False)
    attempts = Attempts()
    assert await attempts.run(failover(breakers=breakers)) == "b"
    breakers = Breakers(1, 50.0, clock=lambda: attempts.now)
    for name in "ab":
        breakers.note(name, errors.UpstreamUnreachable("no"), is_probe=False)
    attempts = Attempts()
    with pytest.raises(errors.Overloaded, match="kept failing") as caught:
        await attempts.run(failover(breakers=breakers))
    assert attempts.asked == []
    assert (caught.value.retry_here, caught.value.retry_after) == (False, 50.0)


async def test_a_half_open_breaker_lets_one_probe_through_however_long_targets_take_to_be_made_ready() -> None:
    breakers = Breakers(1, 0.0)
    for name in "ab":
        breakers.note(name, errors.UpstreamUnreachable("no"), is_probe=False)
    breakers._seconds = 50.0
    asked: list[str] = []

    def candidate(name: str) -> Callable[[], Awaitable[Candidate[str]]]:
        async def ask() -> str:
            asked.append(name)
            await asyncio.sleep(0.05)
            return name

        async def prepare() -> Candidate[str]:
            await asyncio.sleep(0.02)
            return Candidate(name, ask)

        return prepare

    calls = (failover(breakers=breakers).run([candidate("a"), candidate("b")], Deadline.after(9)) for _ in range(20))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(asked) == ["a", "b"]
    assert sum(isinstance(outcome, errors.Overloaded) for outcome in outcomes) == 18


async def test_when_the_breaker_opens_on_the_way_the_refusal_comes_at_once_and_says_why() -> None:
    attempts = Attempts(errors.Overloaded("busy", retry_after=2))
    with pytest.raises(errors.Overloaded, match="busy"):
        await attempts.run(failover(breakers=Breakers(1, 50.0)), "a")
    assert (attempts.asked, attempts.sleeps) == (["a"], [])


async def test_one_that_rests_is_asked_last() -> None:
    attempts = Attempts()
    breakers = Breakers(clock=lambda: attempts.now)
    breakers.note("a", throttle(60), is_probe=False)
    assert await attempts.run(failover(breakers=breakers)) == "b"
    assert await attempts.run(failover(breakers=breakers), "a") == "a"


async def test_outcomes_reach_the_breakers() -> None:
    breakers = Breakers(2, 50.0)
    attempts = Attempts(*[errors.Overloaded("x") for _ in range(4)])
    with pytest.raises(errors.Overloaded, match="x"):
        await attempts.run(failover(4, breakers=breakers))
    assert set(breakers.states()) == {"a", "b"}


@pytest.mark.parametrize("error", [None, errors.UpstreamUnreachable("no")])
async def test_a_probe_goes_on_for_all_others_where_its_caller_gives_it_up(error: errors.GatewayError | None) -> None:
    breakers = Breakers(1, 0.0)
    for name in "ab":
        breakers.note(name, errors.UpstreamUnreachable("no"), is_probe=False)
    breakers._seconds = 50.0
    answer = asyncio.Event()
    asked: list[str] = []

    def candidate(name: str) -> Callable[[], Awaitable[Candidate[str]]]:
        async def ask() -> str:
            asked.append(name)
            await answer.wait()
            if error is not None:
                raise error
            return name

        async def prepare() -> Candidate[str]:
            return Candidate(name, ask)

        return prepare

    for _ in range(3):  # who is as impatient goes to the next target, and then is told at once
        with pytest.raises((TimeoutError, errors.Overloaded)):
            async with asyncio.timeout(0.01):
                await failover(breakers=breakers).run([candidate("a"), candidate("b")], Deadline.after(9))
    assert asked == ["a", "b"]
    answer.set()
    await asyncio.sleep(0.01)
    assert breakers.are_closed is (error is None)


async def test_a_probe_that_was_given_up_does_not_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.routing.failover._LEFT_PROBE_SECONDS", 0.02)
    breakers = Breakers(1, 0.0)
    breakers.note("a", errors.UpstreamUnreachable("no"), is_probe=False)
    ended: list[bool] = []

    async def ask() -> str:
        try:
            return await asyncio.sleep(60, "a")
        finally:
            ended.append(True)

    async def prepare() -> Candidate[str]:
        return Candidate("a", ask)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await failover(breakers=breakers).run([prepare], Deadline.after(9))
    assert not ended
    await asyncio.sleep(0.05)
    assert (ended, breakers.are_closed) == ([True], False)


@pytest.mark.parametrize("error", [errors.PermissionRefused("no"), errors.ModelNotFound("no")])
async def test_a_refusal_of_what_a_caller_says_in_bedrocks_words_does_not_have_the_target_rest(
    error: errors.GatewayError,
) -> None:
    breakers = Breakers()

    async def refuse() -> str:
        raise error

    for is_verbatim in (True, False):

        async def prepare(is_verbatim: bool = is_verbatim) -> Candidate[str]:
            return Candidate("a", refuse, is_verbatim)

        with pytest.raises(type(error)):
            await failover(breakers=breakers).run([prepare], Deadline.after(9))
        assert breakers.is_resting("a") is not is_verbatim


async def test_who_refuses_what_the_next_target_takes_rests() -> None:
    breakers = Breakers()
    asked: list[str] = []

    def candidate(name: str) -> Callable[[], Awaitable[Candidate[str]]]:
        async def ask() -> str:
            asked.append(name)
            if name == "a":
                raise errors.PermissionRefused("no", retry_elsewhere=True)
            return name

        async def prepare() -> Candidate[str]:
            return Candidate(name, ask, is_verbatim=True)

        return prepare

    for _ in range(2):
        assert await failover(breakers=breakers).run([candidate("a"), candidate("b")], Deadline.after(9)) == "b"
    assert asked == ["a", "b", "b"]


async def test_a_refusal_of_a_callers_own_words_ends_no_rest() -> None:
    breakers = Breakers()
    breakers.note("a", throttle(60.0), is_probe=False)

    async def refuse() -> str:
        raise errors.PermissionRefused("no")

    async def prepare() -> Candidate[str]:
        return Candidate("a", refuse, is_verbatim=True)

    with pytest.raises(errors.PermissionRefused):
        await failover(breakers=breakers).run([prepare], Deadline.after(9))
    assert breakers.is_resting("a")

"""Decides whether a call gets another attempt, at which target, and when.

After a throttle or a failure the next target is tried at once. When all have been tried, failover waits for the target
that may be tried again first, with backoff and never less than its `Retry-After`. A streamed call is never tried again
after its first event.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from operator import attrgetter, itemgetter
from typing import Generic, TypeVar, cast

from msgspec import Struct, field
from msgspec.structs import replace

from app.bedrock.retry import RetryPolicy
from app.converse.usage import Usage
from app.errors import (
    BudgetSpent,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    Overloaded,
    PermissionRefused,
    QuotaBusy,
)
from app.process.deadline import Deadline
from app.routing.circuit_breakers import Breakers, CircuitBreaker

_REFUSALS = (PermissionRefused, NotFound)
_NOT_AFFORDED = (BudgetSpent, ModelNotFound)
_ABANDONED_PROBE_SECONDS = 10.0
_BY_FAILURES = attrgetter("failures", "ready_at")


class FailoverCandidate(Struct, frozen=True, kw_only=True):
    """A target that failover may try.

    key: its circuit breaker's. is_verbatim: the caller's body is sent unchanged, so a 403 or 404 may be caused by it.
    """

    key: Hashable
    is_verbatim: bool = False


T = TypeVar("T")
C = TypeVar("C", bound=FailoverCandidate)
TargetT = TypeVar("TargetT")


class AttemptResult(Struct, Generic[C, T], frozen=True):
    """The outcome of one attempt: a value, an error, or neither while it runs.

    candidate: with what the attempt learned of it; later attempts use it.
    usage, tier: those that the response reported, even if the attempt failed after that.
    """

    candidate: C
    value: T | None = None
    error: GatewayError | None = None
    upstream_request_id: str = ""
    usage: Usage | None = None
    tier: str = ""


class _TargetState(Struct, Generic[TargetT, C]):
    """A target in the course of a call. candidate: None until it is prepared. ready_at: when it may be tried again."""

    target: TargetT
    candidate: C | None = None
    failures: int = 0
    ready_at: float = 0.0
    is_over: bool = False


class Failover(Struct, frozen=True):
    """Makes the attempts of a call in turn. clock: monotonic seconds. sleep: as that of asyncio."""

    retry: RetryPolicy
    breakers: Breakers = field(default_factory=Breakers)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(
        self,
        targets: Sequence[TargetT],
        prepare: Callable[[TargetT], Awaitable[C]],
        attempt: Callable[[C], Awaitable[AttemptResult[C, T]]],
        deadline: Deadline,
        caller: str = "",
    ) -> AttemptResult[C, T]:
        """Return the result of the first target that succeeds, or else of the one most likely to succeed later.

        Args:
            targets: in the order in which they are tried. prepare: makes a candidate of a target that is about to be
                tried; raises InvalidRequest if the target cannot carry the call, which counts as no attempt.
            attempt: makes one attempt; raises GatewayError if nothing may be sent, and BudgetSpent or ModelNotFound
                if nothing may be sent to this target. caller: the name of who makes the call.

        Raises:
            GatewayError: of `attempt`. InvalidRequest: no target can carry the call.
            BudgetSpent, ModelNotFound: no target was tried, because a budget can pay none of them.
            Overloaded: the circuit breakers of all targets are open.
        """
        candidate: C | None = None
        result: AttemptResult[C, T] | None = None
        unfit: InvalidRequest | None = None
        spent: BudgetSpent | ModelNotFound | None = None
        try:
            candidate = await prepare(targets[0])
        except InvalidRequest as error:
            unfit = error.replaced()
        else:
            breaker = self.breakers[candidate.key]
            is_troubled = breaker.failures or breaker.paused_until
            if not is_troubled:
                if breaker.retry_budget is not None:
                    breaker.retry_budget.note_call()
                try:
                    result = await attempt(candidate)
                except _NOT_AFFORDED as error:
                    # another target may cost less, or have a known price
                    spent = error
                else:
                    if result.error is not None or breaker.failures or breaker.paused_until:
                        _note(breaker, result, caller, is_probe=False)
                    if result.error is None:
                        return result
        first = _TargetState(targets[0], candidate, is_over=unfit is not None or spent is not None)
        states = [first, *[_TargetState[TargetT, C](target) for target in targets[1:]]]
        outcome: _Outcome[C, T] = _Outcome(unfit, spent)
        if result is not None:
            self._note_failure(first, states, result, outcome)
        return await self._run_all(states, prepare, attempt, deadline, caller, outcome)

    async def _run_all(
        self,
        states: list[_TargetState[TargetT, C]],
        prepare: Callable[[TargetT], Awaitable[C]],
        attempt: Callable[[C], Awaitable[AttemptResult[C, T]]],
        deadline: Deadline,
        caller: str,
        outcome: _Outcome[C, T],
    ) -> AttemptResult[C, T]:
        """Try the targets as long as one of them may succeed. See `run`."""
        while not outcome.counted_attempts or outcome.counted_attempts < self._max_attempts(states):
            chosen = await self._next(states, prepare, outcome)
            if chosen is None:
                break
            state, candidate, breaker = chosen
            if breaker.failures and breaker.wait():
                continue  # another call became the probe while this one prepared its target
            if outcome.attempts and not await self._wait_for(state, breaker, deadline, outcome):
                state.is_over = True
                continue
            try:
                result = await self._attempt(candidate, breaker, attempt, caller)
            except _NOT_AFFORDED as spent:
                state.is_over = True
                outcome.spent = spent
                continue
            if result.error is None:
                # another target accepts the call, so the refusals were not about the caller's own words
                for key, refusal in outcome.refusals:
                    self.breakers[key].note(refusal, is_probe=False, caller=caller)
                return result
            self._note_failure(state, states, result, outcome)
        return outcome.result()

    def _max_attempts(self, states: list[_TargetState[TargetT, C]]) -> int:
        return max(self.retry.max_attempts, sum([not state.is_over for state in states]))

    async def _next(
        self,
        states: list[_TargetState[TargetT, C]],
        prepare: Callable[[TargetT], Awaitable[C]],
        outcome: _Outcome[C, T],
    ) -> tuple[_TargetState[TargetT, C], C, CircuitBreaker] | None:
        """Choose the target with the fewest failures, then the one that is ready first, then the first in order.

        Of targets with as many failures, a paused one comes last. Only targets that are considered are prepared.
        """
        paused: tuple[_TargetState[TargetT, C], C, CircuitBreaker] | None = None
        left = [state for state in states if not state.is_over]
        for state in sorted(left, key=_BY_FAILURES) if len(left) > 1 else left:
            if paused is not None and state.failures > paused[0].failures:
                break
            candidate = state.candidate
            if candidate is None:
                try:
                    candidate = state.candidate = await prepare(state.target)
                except InvalidRequest as error:
                    state.is_over = True
                    outcome.unfit = outcome.unfit or error.replaced()
                    continue
            breaker = self.breakers[candidate.key]
            if breaker.failures and (wait := breaker.wait()):
                outcome.open_for = min(outcome.open_for, wait)
            elif not (breaker.paused_until and breaker.is_paused()):
                return state, candidate, breaker
            else:
                paused = paused or (state, candidate, breaker)
        return paused

    async def _wait_for(
        self,
        state: _TargetState[TargetT, C],
        breaker: CircuitBreaker,
        deadline: Deadline,
        outcome: _Outcome[C, T],
    ) -> bool:
        """Wait until a target may be tried; False if that takes too long, or if its retry budget is spent."""
        now = self.clock()
        wait = state.ready_at - now if state.failures else 0.0
        if wait >= deadline.at - now or math.isinf(wait):
            return False
        if state.failures and not breaker.may_retry():
            outcome.is_budget_spent = True
            return False
        await self.sleep(max(wait, 0.0))
        return not breaker.wait()

    def _note_failure(
        self,
        state: _TargetState[TargetT, C],
        states: list[_TargetState[TargetT, C]],
        result: AttemptResult[C, T],
        outcome: _Outcome[C, T],
    ) -> None:
        """Note a failed attempt at a target, and which targets may still be tried."""
        error = cast("GatewayError", result.error)
        state.candidate = result.candidate
        outcome.note(result, error, self.clock())
        if result.candidate.is_verbatim and isinstance(error, _REFUSALS):
            outcome.refusals.append((result.candidate.key, error))
        state.failures += 1
        state.is_over = not error.retry_here
        state.ready_at = self.clock() + self.retry.wait(state.failures, error)
        # an attempt that ends the use of its target is not counted, so it takes none from the other targets
        outcome.counted_attempts += error.retry_here
        if not (error.retry_here or error.retry_elsewhere):
            # no other target is tried, except those that failed and may be tried again
            for other in states:
                other.is_over = other.is_over or not other.failures

    async def _attempt(
        self,
        candidate: C,
        breaker: CircuitBreaker,
        attempt: Callable[[C], Awaitable[AttemptResult[C, T]]],
        caller: str,
    ) -> AttemptResult[C, T]:
        if breaker.retry_budget is not None:
            breaker.retry_budget.note_call()
        if breaker.failures and breaker.begin_probe():
            return await _probe(candidate, breaker, attempt, caller)
        result = await attempt(candidate)
        if result.error is not None or breaker.failures or breaker.paused_until:
            _note(breaker, result, caller, is_probe=False)
        return result


async def _probe(
    candidate: C, breaker: CircuitBreaker, attempt: Callable[[C], Awaitable[AttemptResult[C, T]]], caller: str
) -> AttemptResult[C, T]:
    """Make the attempt in a task that goes on without its caller: all callers of the target wait for its outcome."""

    async def probe() -> AttemptResult[C, T]:
        try:
            result = await attempt(candidate)
        except GatewayError:
            # the caller's own limits refused it, so the next call is the probe
            breaker.open_until = 0.0
            raise
        _note(breaker, result, caller, is_probe=True)
        return result

    task = asyncio.create_task(probe())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        timer = asyncio.get_running_loop().call_later(_ABANDONED_PROBE_SECONDS, task.cancel)
        task.add_done_callback(partial(_drop, timer))
        raise


def _drop(timer: asyncio.TimerHandle, probe: asyncio.Task[AttemptResult[C, T]]) -> None:
    """Retrieve the outcome that nobody waits for; a stream closes when nothing refers to it."""
    timer.cancel()
    if not probe.cancelled():
        probe.exception()


def _note(breaker: CircuitBreaker, result: AttemptResult[C, T], caller: str, *, is_probe: bool) -> None:
    if result.candidate.is_verbatim and isinstance(result.error, _REFUSALS):
        breaker.reset()  # the target is up; the refusal may be about the caller's own words
    else:
        breaker.note(result.error, is_probe=is_probe, caller=caller)


class _Outcome(Struct, Generic[C, T]):
    """The outcome of a call that no target has answered.

    counted_attempts: those that count against the limit. refusals: which may be about the caller's own words, by the
        keys of their circuit breakers.
    """

    unfit: InvalidRequest | None = None
    spent: BudgetSpent | ModelNotFound | None = None
    open_for: float = math.inf
    is_budget_spent: bool = False
    attempts: int = 0
    counted_attempts: int = 0
    refusals: list[tuple[Hashable, GatewayError]] = []
    # the last failure of each target, the latest last, and when that target may be tried again
    _failures: dict[Hashable, tuple[AttemptResult[C, T], GatewayError, float]] = {}

    def note(self, result: AttemptResult[C, T], error: GatewayError, now: float) -> None:
        """Note a failed attempt, instead of an earlier one at the same target."""
        self.attempts += 1
        pause = error.default_retry_after if error.retry_after is None else error.retry_after
        self._failures.pop(result.candidate.key, None)
        self._failures[result.candidate.key] = result, error, now + (pause or 0.0)

    def result(self) -> AttemptResult[C, T]:
        """Return the failure that the caller gets: one of a target that may succeed later rather than of one that never
        will; the latest, but of several of one kind that of the target that may be tried again first.

        Raises:
            GatewayError: there was no attempt.
        """
        if self._failures:
            latest = [*reversed(self._failures.values())]
            retryable = [failure for failure in latest if failure[1].retry_here] or latest
            kind = type(retryable[0][1])
            result, error, _ = min([failure for failure in retryable if type(failure[1]) is kind], key=itemgetter(2))
            is_final = self.attempts > 1 or self.is_budget_spent or not error.retry_here
            # the queue of a quota tells when to try again
            is_final = is_final and not isinstance(error, QuotaBusy)
            return replace(result, error=error.replaced(is_final=is_final))
        if not math.isinf(self.open_for):
            raise Overloaded(
                "Bedrock has kept failing, and is given a rest",
                retry_here=False,
                retry_elsewhere=False,
                retry_after=max(round(self.open_for, 1), 0.1),
                detail="breaker open",
            )
        raise self.spent or self.unfit or InvalidRequest("there is no target for this call")

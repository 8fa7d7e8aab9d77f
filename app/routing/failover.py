"""The one place that decides whether a call has another attempt, at which target, and when.

A throttle or a failure goes to the next target at once; when all have been asked, the one that may be asked again
first is waited for, with backoff and never sooner than its `Retry-After`. An attempt ends where the first event has
come: from then on nothing is tried again.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Generic, TypeVar

from msgspec import Struct, field

from app.bedrock.retry import RetryPolicy
from app.errors import GatewayError, InvalidRequest, NotFound, Overloaded, PermissionRefused
from app.process.deadline import Deadline
from app.routing.circuit_breakers import Breakers

T = TypeVar("T")

_REFUSALS = (PermissionRefused, NotFound)
_LEFT_PROBE_SECONDS = 10.0


class Candidate(Struct, Generic[T], frozen=True):
    """One target of a call, ready to be asked.

    key: what its health is kept under. ask: makes one attempt. is_verbatim: it is asked in the caller's own words, so
    that a refusal may be about these; it is not where another target takes them.
    """

    key: Hashable
    ask: Callable[[], Awaitable[T]]
    is_verbatim: bool = False


class _CandidateState(Struct, Generic[T]):
    """A target in the course of one call. option: None while it is not prepared. ready_at: when it may be asked."""

    prepare: Callable[[], Awaitable[Candidate[T]]]
    candidate: Candidate[T] | None = None
    failures: int = 0
    ready_at: float = 0.0
    is_over: bool = False


class Failover(Struct, frozen=True):
    """Makes the attempts of one call after the other."""

    retry: RetryPolicy
    breakers: Breakers = field(default_factory=Breakers)

    async def run(self, candidates: Sequence[Callable[[], Awaitable[Candidate[T]]]], deadline: Deadline) -> T:
        """What the first target says that answers.

        Args:
            options: makes each target ready, in the order in which they are to be tried; raises InvalidRequest where
                it cannot carry the call, and then counts for nothing.

        Raises:
            GatewayError: the outcome of the target that could best have answered; `is_final` where the caller should
                not try again. Overloaded, at once, where nobody may be asked because all have kept failing.
        """
        states = [_CandidateState(prepare) for prepare in candidates]
        outcome = _Outcome()
        refused: list[tuple[Hashable, GatewayError]] = []
        made = 0
        # each may be asked once, whatever their number; who never will answer takes nothing from the others
        while made < max(self.retry.max_attempts, sum(not state.is_over for state in states)):
            state = await self._next(states, outcome)
            if state is None or state.candidate is None:
                break
            if self.breakers.wait(
                state.candidate.key
            ):  # another call has become its probe while targets were made ready
                continue
            if outcome.attempts and not await self._may_go_on(state, state.candidate, deadline, outcome):
                state.is_over = True
                continue
            made += 1
            try:
                taken = await self._attempt(state.candidate)
            except GatewayError as error:
                # its frames hold this one, which holds it, and with them the body
                error.with_traceback(None).__context__ = None
                outcome.note(state.candidate.key, error)
                if state.candidate.is_verbatim and isinstance(error, _REFUSALS):
                    refused.append((state.candidate.key, error))
                state.failures += 1
                state.is_over = not error.retry_here
                made -= state.is_over
                state.ready_at = time.monotonic() + self.retry.wait(state.failures, error)
                if not (error.retry_here or error.retry_elsewhere):
                    # nobody else is asked; but who has only failed gets no less than it would alone
                    for other in states:
                        other.is_over = other.is_over or not other.failures
            else:
                for key, refusal in refused:  # what one target takes was not why another did not
                    self.breakers.note(key, refusal, is_probe=False)
                return taken
        raise outcome.error()

    async def _next(self, states: list[_CandidateState[T]], outcome: _Outcome) -> _CandidateState[T] | None:
        """The target to ask next: of those that may be asked the least failed, then the first ready, in their order.

        One that rests comes after those that failed as seldom. Only those that are looked at are made ready.
        """
        resting: _CandidateState[T] | None = None
        for state in sorted(
            (state for state in states if not state.is_over), key=lambda state: (state.failures, state.ready_at)
        ):
            if resting is not None and state.failures > resting.failures:
                break
            if state.candidate is None:
                try:
                    state.candidate = await state.prepare()
                except InvalidRequest as error:
                    state.is_over = True
                    outcome.unfit = outcome.unfit or error
                    continue
            if wait := self.breakers.wait(state.candidate.key):
                outcome.open_for = min(outcome.open_for, wait)
            elif not self.breakers.is_resting(state.candidate.key):
                return state
            else:
                resting = resting or state
        return resting

    async def _may_go_on(
        self, state: _CandidateState[T], candidate: Candidate[T], deadline: Deadline, outcome: _Outcome
    ) -> bool:
        """Wait until the target may be asked; False if that would be too long, or is more than its share of retries."""
        wait = state.ready_at - time.monotonic() if state.failures else 0.0
        if wait >= deadline.remaining() or math.isinf(wait):
            return False
        if state.failures and not self.breakers.may_retry(candidate.key):
            outcome.is_spent = True
            return False
        await asyncio.sleep(max(wait, 0.0))
        return not self.breakers.wait(candidate.key)

    async def _attempt(self, candidate: Candidate[T]) -> T:
        if not self.breakers.start(candidate.key):
            return await self._ask(candidate, is_probe=False)
        probe = asyncio.create_task(self._ask(candidate, is_probe=True))
        try:
            return await asyncio.shield(probe)
        except asyncio.CancelledError:
            # what comes of it matters to all who wait for this target, not only to whoever has given it up
            limit = asyncio.get_running_loop().call_later(_LEFT_PROBE_SECONDS, probe.cancel)
            probe.add_done_callback(partial(_drop, limit))
            raise

    async def _ask(self, candidate: Candidate[T], *, is_probe: bool) -> T:
        try:
            taken = await candidate.ask()
        except GatewayError as error:
            if candidate.is_verbatim and isinstance(error, _REFUSALS):
                self.breakers.note_answer(candidate.key)
            else:
                self.breakers.note(candidate.key, error, is_probe=is_probe)
            raise
        self.breakers.note(candidate.key, None, is_probe=is_probe)
        return taken


def _drop(limit: asyncio.TimerHandle, probe: asyncio.Task[T]) -> None:
    """Nobody wants what came of it; a stream is closed as soon as nothing holds it any more."""
    limit.cancel()
    if not probe.cancelled():
        probe.exception()


def _pause(error: GatewayError) -> float:
    """The seconds that whoever asks again has to wait."""
    return (error.default_retry_after if error.retry_after is None else error.retry_after) or 0.0


class _Outcome:
    """What to tell of a call that nobody answered."""

    def __init__(self) -> None:
        self.unfit: InvalidRequest | None = None
        self.open_for = math.inf
        self.is_spent = False
        # and when that target may be asked again
        self._last_of_each: dict[Hashable, tuple[GatewayError, float]] = {}
        self.attempts = 0

    def note(self, key: Hashable, error: GatewayError) -> None:
        """A target has failed: what it said before is over, and it may know now that it never will answer."""
        self.attempts += 1
        self._last_of_each.pop(key, None)
        self._last_of_each[key] = error, time.monotonic() + _pause(error)

    def error(self) -> GatewayError:
        """The error for the caller: of a target that may yet answer rather than of one that never will; the latest, but
        where several say the same, of the one that may be asked again first.
        """
        if self._last_of_each:
            latest = [*reversed(self._last_of_each.values())]
            hopeful = [told for told in latest if told[0].retry_here] or latest
            kind = type(hopeful[0][0])
            best, _ = min((told for told in hopeful if type(told[0]) is kind), key=lambda told: told[1])
            best.is_final = self.attempts > 1 or self.is_spent or not best.retry_here
            return best
        if not math.isinf(self.open_for):
            return Overloaded(
                "Bedrock has kept failing, and is given a rest",
                retry_here=False,
                retry_elsewhere=False,
                retry_after=max(round(self.open_for, 1), 0.1),
                detail="breaker open",
            )
        return self.unfit or InvalidRequest("there is no target for this call")

"""The one place that decides whether there is another attempt, at which target, and when.

A throttle or a failure goes to the next target of the route at once; when every one of them has been asked, the next
round waits, with backoff and never sooner than `Retry-After`. An attempt ends where the first event has come: from then
on nothing is tried again.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from app.bedrock.retry import RetryPolicy
from app.errors import GatewayError, InvalidRequest, Overloaded
from app.kit.clock import Deadline
from app.routing.health import Breakers, RetryBudget
from app.routing.plan import Target

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failover:
    """Makes the attempts of one call after the other."""

    retry: RetryPolicy
    breakers: Breakers = field(default_factory=Breakers)
    budget: RetryBudget = field(default_factory=RetryBudget)

    async def run(self, targets: Sequence[Target], deadline: Deadline, attempt: Callable[[Target], Awaitable[T]]) -> T:
        """What `attempt` makes of the first target that answers.

        Raises:
            GatewayError: the last outcome; where a target could not have carried the call, that of those which could.
                Overloaded, at once, where every target's breaker is open.
        """
        self.budget.note_request()
        course = _Course(targets, self.breakers, self.budget)
        try:
            return await self._attempt(course, attempt)
        except GatewayError as error:
            if not course.goes_on_after(error):
                raise
            failure: GatewayError | None = error
        most = max(self.retry.max_attempts, len(targets))
        try:
            async for each in self.retry.retrying(deadline, course.goes_on_after, course.has_more, most):
                with each:
                    if failure is not None:
                        # the first attempt, made outside of the loop: what succeeds at once does not pay for it
                        first, failure = failure, None
                        raise first
                    return await self._attempt(course, attempt)
        except GatewayError as error:
            raise course.outcome(error) from None
        raise AssertionError("a retry loop ends by returning or raising")

    async def _attempt(self, course: "_Course", attempt: Callable[[Target], Awaitable[T]]) -> T:
        target = course.next()
        self.breakers.start(target.key)
        try:
            taken = await attempt(target)
        except BaseException as error:
            self.breakers.note(target.key, error)
            course.failed(error)
            raise
        self.breakers.note(target.key, None)
        return taken


class _Course:
    """Which target comes next."""

    def __init__(self, targets: Sequence[Target], breakers: Breakers, budget: RetryBudget) -> None:
        self._breakers = breakers
        self._budget = budget
        self._all = list(targets)
        self._left: list[Target] = []
        self._answered: GatewayError | None = None
        self._judged: GatewayError | None = None
        self._is_paid = False
        self._current: Target | None = None
        self._begin_round()

    def next(self) -> Target:
        """The next target of this round, or the first of a new one.

        Raises:
            Overloaded: every breaker is open.
        """
        if not self.has_more():
            self._begin_round()
        while self._left:
            target = self._left.pop(0)
            if not self._breakers.wait(target.key):
                self._current = target
                return target
        wait = min((self._breakers.wait(target.key) for target in self._all), default=1.0)
        raise Overloaded(
            "Bedrock has kept failing, and is given a rest",
            retry_here=False,
            retry_elsewhere=False,
            retry_after=max(round(wait, 1), 0.1),
            detail="breaker open",
        )

    def has_more(self) -> bool:
        """True if this round has another target that may be asked."""
        return any(not self._breakers.wait(target.key) for target in self._left)

    def failed(self, error: BaseException) -> None:
        """The target whose turn it was has failed: for good, if trying it again is not worth it."""
        if isinstance(error, GatewayError):
            if not isinstance(error, InvalidRequest):
                self._answered = error
            if not error.retry_here and self._current in self._all:
                self._all.remove(self._current)

    def goes_on_after(self, error: BaseException) -> bool:
        """True if another attempt is to be made, for which the budget is asked once."""
        if not isinstance(error, GatewayError):
            return False
        may_go_elsewhere = error.retry_elsewhere and self.has_more()
        if not may_go_elsewhere and not (error.retry_here and self._all):
            return False
        if error is not self._judged:
            self._judged = error
            self._is_paid = self._budget.take()
        return self._is_paid

    def outcome(self, error: GatewayError) -> GatewayError:
        """What to tell of: rather what a target answered than that another could not have carried the call."""
        return self._answered if isinstance(error, InvalidRequest) and self._answered is not None else error

    def _begin_round(self) -> None:
        self._left = sorted(self._all, key=lambda target: self._breakers.is_resting(target.key))

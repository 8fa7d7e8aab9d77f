"""The health of each target: a circuit breaker that opens after outages, and a pause after throttles and refusals.

A closed breaker lets all calls pass. It opens after a number of outages in a row, for some seconds. Then one call
passes as a probe, and another each time those seconds have passed while no probe has ended. Outages are: no connection,
a lost connection, no capacity, Bedrock's internal errors. Any other response closes the breaker. A timeout is no
response: it neither opens nor closes a breaker, but a probe that times out keeps it open.

A request body may provoke responses such as internal errors. With several callers, at most half (rounded up) of the
outages that open a breaker are responses to one caller, so that no caller can open it for the others.

A target that throttles or refuses a call is paused: failover tries other targets first.
"""

import time
from collections.abc import Callable, Hashable

from app.errors import (
    ConnectionLost,
    ConnectTimeout,
    GatewayError,
    GuardrailMissing,
    InternalFailure,
    NotFound,
    Overloaded,
    PermissionRefused,
    QuotaBusy,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)

_NO_CONNECTION = (ConnectTimeout, ConnectionLost, UpstreamUnreachable)
_NO_CAPACITY = (InternalFailure, Overloaded)
_PAUSE_AFTER_REFUSAL = 30.0
_PAUSE_AFTER_TIMEOUT = 5.0
_MAX_BREAKERS = 4096


class RetryBudget:
    """Allows retries of a share of the calls only, so that retries do not amplify an outage.

    Each call adds a share of a retry; so does each second, so that an idle gateway retries too.

    Args:
        share: retries per call. rate: retries per second. limit: how many may accumulate.
    """

    def __init__(
        self, share: float = 0.1, rate: float = 1.0, limit: float = 20.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._share = share
        self._rate = rate
        self._limit = max(limit, share * limit)
        self._clock = clock
        self._saved = self._limit
        self._seen = clock()

    def note_call(self) -> None:
        """Add the share of one call."""
        self._saved = min(self._saved + self._share, self._limit)

    def take(self) -> bool:
        """Take one retry; False if none is left."""
        now = self._clock()
        self._saved = min(self._saved + (now - self._seen) * self._rate, self._limit)
        self._seen = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class CircuitBreaker:
    """The health of one target.

    failures: outages in a row that count. open_until, paused_until: on the monotonic clock; 0 for never.
    retry_budget: None until the first retry.
    """

    __slots__ = ("_limits", "_responses", "failures", "open_until", "paused_until", "retry_budget")

    def __init__(self, limits: "Breakers") -> None:
        self._limits = limits
        # outages that are responses, by caller
        self._responses: dict[str, int] = {}
        self.failures = 0
        self.open_until = 0.0
        self.paused_until = 0.0
        self.retry_budget: RetryBudget | None = None

    @property
    def is_closed(self) -> bool:
        """False while calls wait for a probe to succeed."""
        return not 0 < self._limits.threshold <= self.failures

    def wait(self) -> float:
        """Return the seconds until a call may pass; 0 if one may pass now."""
        return 0.0 if self.is_closed else max(self.open_until - self._limits.clock(), 0.0)

    def is_paused(self) -> bool:
        """True if the target asked for a pause that is not over, or refused a call lately."""
        return self.paused_until > self._limits.clock()

    def begin_probe(self) -> bool:
        """Make a call the probe of an open breaker; False if the breaker is closed."""
        if self.is_closed:
            return False
        self.open_until = self._limits.clock() + self._limits.seconds
        return True

    def note(self, error: GatewayError | None, *, is_probe: bool, caller: str = "") -> None:
        """Note the outcome of a call of a caller, who is given by name."""
        now = self._limits.clock()
        match error:
            case QuotaBusy():
                pass  # the call was not sent
            case RateLimited():
                self.reset()
                self.paused_until = now + (error.retry_after or error.default_retry_after or 0.0)
            case PermissionRefused() | NotFound() | GuardrailMissing():
                self.reset()
                self.paused_until = now + _PAUSE_AFTER_REFUSAL
            case _ if isinstance(error, _NO_CONNECTION) or (isinstance(error, _NO_CAPACITY) and error.retry_here):
                self._count(caller, is_response=not isinstance(error, _NO_CONNECTION))
                if not self.is_closed:
                    self.open_until = now + self._limits.seconds
            case UpstreamTimeout():
                self.paused_until = now + _PAUSE_AFTER_TIMEOUT
                if is_probe:
                    self.open_until = now + self._limits.seconds
            case _:
                self.reset()
                self.paused_until = 0.0

    def reset(self) -> None:
        """Forget the outages: the target has responded."""
        self.failures = 0
        self._responses.clear()

    def _count(self, caller: str, *, is_response: bool) -> None:
        if is_response and self._limits.has_several_callers and self.is_closed:
            count = self._responses[caller] = self._responses.get(caller, 0) + 1
            threshold = self._limits.threshold
            if count > (threshold + 1) // 2 or (threshold == 1 and len(self._responses) == 1):
                return
        self.failures += 1

    def may_retry(self) -> bool:
        """Take one retry of the target's budget; False if none is left."""
        if self.retry_budget is None:
            self.retry_budget = RetryBudget(self._limits.share, clock=self._limits.clock)
        return self.retry_budget.take()


class Breakers(dict[Hashable, CircuitBreaker]):
    """The circuit breakers of all targets, by the targets' keys. A missing one is created, closed.

    Args:
        threshold: outages in a row that open a breaker; 0 for never. seconds: how long it stays open.
        share: the retries a call of each target's budget. clock: monotonic seconds.
        has_several_callers: limits the outages of one caller that count.
    """

    def __init__(
        self,
        threshold: int = 10,
        seconds: float = 5.0,
        share: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
        *,
        has_several_callers: bool = False,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.seconds = seconds
        self.share = share
        self.clock = clock
        self.has_several_callers = has_several_callers

    def __missing__(self, key: Hashable) -> CircuitBreaker:
        if len(self) >= _MAX_BREAKERS:
            closed = (key for key, breaker in self.items() if breaker.is_closed)
            del self[next(closed, next(iter(self)))]
        breaker = self[key] = CircuitBreaker(self)
        return breaker

    @property
    def are_closed(self) -> bool:
        """True if no breaker is open."""
        return all(breaker.is_closed for breaker in self.values())

    def states(self) -> dict[Hashable, str]:
        """Return the breakers that are not closed: `open`, or `half_open` where a probe may pass."""
        now = self.clock()
        return {
            key: "open" if breaker.open_until > now else "half_open"
            for key, breaker in self.items()
            if not breaker.is_closed
        }

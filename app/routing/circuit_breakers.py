"""What is known of each target's health: a breaker that opens when it keeps failing, and a rest when it refuses.

Closed, all calls pass. After so many outages in a row the breaker opens, and nothing passes for some seconds; then one
call is let through as a probe, and another each so many seconds while no probe has ended. Outages are: no connection,
one that broke, no capacity, Bedrock's internal errors. An answer of any other kind says that the target is up. Silence
says nothing, but of a probe: it is not an answer.

A target that throttles, or that refuses for good, rests: where there is another one, that is asked first.
"""

import time
from collections.abc import Callable, Hashable

from msgspec import Struct

from app.errors import (
    ConnectionLost,
    ConnectTimeout,
    GatewayError,
    GuardrailMissing,
    InternalFailure,
    NotFound,
    Overloaded,
    PermissionRefused,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)

_NO_CONNECTION = (ConnectTimeout, ConnectionLost, UpstreamUnreachable)
_NO_CAPACITY = (InternalFailure, Overloaded)
_REFUSED_REST = 30.0
_SILENT_REST = 5.0
_MAX_KEYS = 4096


class _Health(Struct):
    failures: int = 0
    open_until: float = 0.0
    rest_until: float = 0.0
    budget: "RetryBudget | None" = None


class RetryBudget:
    """Lets a bounded share of the calls be tried again, so that an outage is not amplified.

    Each call adds a share of a retry; so does each second, so that a quiet gateway retries too.

    Args:
        share: retries a call. layer: retries a second. most: how many may be saved up.
    """

    def __init__(
        self, share: float = 0.1, layer: float = 1.0, limit: float = 20.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._share = share
        self._layer = layer
        self._limit = max(limit, share * limit)
        self._clock = clock
        self._saved = self._limit
        self._seen = clock()

    def note_call(self) -> None:
        """A call has come."""
        self._saved = min(self._saved + self._share, self._limit)

    def take(self) -> bool:
        """Take one retry; False if none is left."""
        now = self._clock()
        self._saved = min(self._saved + (now - self._seen) * self._layer, self._limit)
        self._seen = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class Breakers:
    """The health of all targets, by their keys.

    Args:
        threshold: outages in a row that open a breaker; 0 for never. seconds: for how long it stays open.
        share: retries a call, of each target. clock: seconds, monotonic.
    """

    def __init__(
        self,
        ingress_limits: int = 10,
        seconds: float = 5.0,
        share: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ingress_limits = ingress_limits
        self._seconds = seconds
        self._share = share
        self._clock = clock
        self._healths: dict[Hashable, _Health] = {}

    @property
    def are_closed(self) -> bool:
        """True if no breaker is open."""
        return not any(map(self._is_open, self._healths.values()))

    def wait(self, key: Hashable) -> float:
        """Seconds until a call of this target may be tried; 0 if it may now."""
        health = self._healths.get(key)
        return max(health.open_until - self._clock(), 0.0) if health is not None and self._is_open(health) else 0.0

    def is_resting(self, key: Hashable) -> bool:
        """True if the target asked for a pause that is not over, or has lately refused."""
        health = self._healths.get(key)
        return health is not None and health.rest_until > self._clock()

    def start(self, key: Hashable) -> bool:
        """A call goes to the target; True if it is a probe, since the target's breaker is open."""
        health = self._healths.get(key)
        if health is None:
            return False
        if health.budget is not None:
            health.budget.note_call()
        if not self._is_open(health):
            return False
        health.open_until = self._clock() + self._seconds
        return True

    def note(self, key: Hashable, error: GatewayError | None, *, is_probe: bool) -> None:
        """The outcome of a call."""
        now = self._clock()
        match error:
            case RateLimited():
                self._is_up(key)
                self._known(key).rest_until = now + (error.retry_after or error.default_retry_after or 0.0)
            case PermissionRefused() | NotFound() | GuardrailMissing():
                self._is_up(key)
                self._known(key).rest_until = now + _REFUSED_REST
            case _ if isinstance(error, _NO_CONNECTION) or (isinstance(error, _NO_CAPACITY) and error.retry_here):
                health = self._known(key)
                health.failures += 1
                if self._is_open(health):
                    health.open_until = now + self._seconds
            case UpstreamTimeout():
                health = self._known(key)
                health.rest_until = now + _SILENT_REST
                if is_probe:
                    health.open_until = now + self._seconds
            case _:
                self._is_up(key)

    def note_answer(self, key: Hashable) -> None:
        """A call has been answered in a way that says no more than that the target is up."""
        health = self._healths.get(key)
        if health is not None:
            health.failures = 0

    def may_retry(self, key: Hashable) -> bool:
        """Take one retry of the target's budget; False if none is left."""
        health = self._known(key)
        if health.budget is None:
            health.budget = RetryBudget(self._share, clock=self._clock)
        return health.budget.take()

    def states(self) -> dict[Hashable, str]:
        """The breakers that are not closed: `open`, or `half_open` where a probe may pass."""
        now = self._clock()
        return {
            key: "open" if health.open_until > now else "half_open"
            for key, health in self._healths.items()
            if self._is_open(health)
        }

    def _is_up(self, key: Hashable) -> None:
        health = self._healths.get(key)
        if health is not None:
            health.failures, health.rest_until = 0, 0.0

    def _known(self, key: Hashable) -> _Health:
        health = self._healths.setdefault(key, _Health())
        if len(self._healths) > _MAX_KEYS:
            self._forget_one()
        return health

    def _forget_one(self) -> None:
        closed = (key for key, health in self._healths.items() if not self._is_open(health))
        self._healths.pop(next(closed, next(iter(self._healths))))

    def _is_open(self, health: _Health) -> bool:
        return 0 < self._ingress_limits <= health.failures

"""What is known of each target's health: a breaker that opens when it keeps failing, and a rest when it throttles.

Closed, all calls pass. After so many failures in a row it opens, and nothing passes for some seconds; then one call is
let through as a probe, whose outcome closes or opens it again. Only outages count: no connection, no capacity,
Bedrock's internal errors. What a caller did wrong, a throttle or a slow model says nothing about whether it is up.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import ConnectTimeout, GatewayError, InternalFailure, Overloaded, RateLimited, UpstreamUnreachable

_OUTAGES = (ConnectTimeout, InternalFailure, Overloaded, UpstreamUnreachable)
_MOST_TARGETS = 4096


@dataclass(slots=True)
class _Health:
    failures: int = 0
    open_until: float = 0.0
    rest_until: float = 0.0
    is_probed: bool = False


class Breakers:
    """The breakers of all targets, by their keys.

    Args:
        threshold: failures in a row that open one; 0 for never. seconds: for how long it stays open before a probe.
        clock: seconds, monotonic.
    """

    def __init__(self, threshold: int = 10, seconds: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold = threshold
        self._seconds = seconds
        self._clock = clock
        self._healths: dict[str, _Health] = {}

    def wait(self, key: str) -> float:
        """Seconds until a call of this target may be tried; 0 if it may now."""
        health = self._healths.get(key)
        if health is None or not self._is_open(health):
            return 0.0
        return self._seconds if health.is_probed else max(health.open_until - self._clock(), 0.0)

    def is_resting(self, key: str) -> bool:
        """True if the target asked for a pause that is not over."""
        health = self._healths.get(key)
        return health is not None and health.rest_until > self._clock()

    def start(self, key: str) -> None:
        """A call goes to the target: where its breaker is open, it is the probe."""
        health = self._healths.get(key)
        if health is not None and self._is_open(health):
            health.is_probed = True

    def note(self, key: str, error: BaseException | None) -> None:
        """The outcome of a call; of one that was given up nothing is known."""
        if error is None:
            self._healths.pop(key, None)
            return
        if not isinstance(error, GatewayError):
            if key in self._healths:
                self._healths[key].is_probed = False
            return
        is_outage = isinstance(error, _OUTAGES) and error.retry_here
        if not is_outage and not isinstance(error, RateLimited):
            self._healths.pop(key, None)
            return
        health = self._healths.setdefault(key, _Health())
        health.is_probed = False
        if isinstance(error, RateLimited):
            health.failures, health.rest_until = 0, self._clock() + (error.retry_after or 0.0)
        else:
            health.failures += 1
            if self._is_open(health):
                health.open_until = self._clock() + self._seconds
        if len(self._healths) > _MOST_TARGETS:
            self._healths.pop(next(iter(self._healths)))

    def states(self) -> dict[str, str]:
        """The breakers that are not closed: `open`, or `half_open` where a probe may pass or is under way."""
        now = self._clock()
        return {
            key: "open" if health.open_until > now else "half_open"
            for key, health in self._healths.items()
            if self._is_open(health)
        }

    def _is_open(self, health: _Health) -> bool:
        return 0 < self._threshold <= health.failures


class RetryBudget:
    """Lets a bounded share of the traffic be retries, so that an outage is not amplified.

    Each request adds a share of a retry; so does each second, so that a quiet gateway retries too.

    Args:
        share: retries a request. floor: retries a second. most: how many may be saved up.
    """

    def __init__(
        self, share: float = 0.1, floor: float = 1.0, most: float = 20.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._share = share
        self._floor = floor
        self._most = most
        self._clock = clock
        self._saved = most
        self._seen = clock()

    def note_request(self) -> None:
        """A request has come."""
        self._saved = min(self._saved + self._share, self._most)

    def take(self) -> bool:
        """Take one retry; False if none is left."""
        now = self._clock()
        self._saved = min(self._saved + (now - self._seen) * self._floor, self._most)
        self._seen = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True

"""The tokens per day of an account in a region, over all its models. They are spent when Bedrock says so: it counts by
price, so they cannot be computed from tokens.
"""

from __future__ import annotations

from collections.abc import Callable

from app.bedrock.endpoints import UpstreamLocation
from app.errors import DayQuotaSpent

# one call after each so many seconds tries whether there are tokens again
PROBE_SECONDS = 300.0


class DailyQuotas:
    """The locations whose tokens of the day are spent.

    clock: monotonic seconds. probe_at: when the next call may try; empty where nothing is spent.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.probe_at: dict[UpstreamLocation, float] = {}

    def is_spent(self, location: UpstreamLocation) -> bool:
        """Return whether the tokens of a location are spent, as far as it is known."""
        return location in self.probe_at

    def refusal(self, location: UpstreamLocation) -> DayQuotaSpent | None:
        """Return why a call may not be sent; None if it may. The first call after a while is a probe."""
        probe_at = self.probe_at.get(location)
        if probe_at is None:
            return None
        now = self._clock()
        if now >= probe_at:
            self.probe_at[location] = now + PROBE_SECONDS
            return None
        return DayQuotaSpent(
            "Bedrock's quota of tokens per day is spent in this region: it is tried again later",
            retry_after=max(round(probe_at - now, 1), 1.0),
            detail="tokens per day",
        )

    def note(self, location: UpstreamLocation, error: Exception | None) -> None:
        """Note the outcome of a call. A success shows that there are tokens again."""
        if isinstance(error, DayQuotaSpent):
            self.probe_at[location] = self._clock() + PROBE_SECONDS
        elif error is None:
            self.probe_at.pop(location, None)

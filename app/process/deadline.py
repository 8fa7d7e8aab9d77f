"""Time, and the moment after which nobody waits any more."""

import asyncio
import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from msgspec import Struct


class Deadline(Struct):
    """A point on the monotonic clock, in seconds, which the event loop's clock shares.

    limit: what is cancelled then, if anything is. by: the name of what has shortened it.
    """

    at: float
    limit: asyncio.Timeout | None = None
    by: str = ""

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left; negative when it has passed."""
        return self.at - time.monotonic()

    def shorten(self, seconds: float, by: str) -> None:
        """Come no later than so many seconds from now.

        Args:
            by: the name of whatever wants it so.
        """
        sooner = time.monotonic() + seconds
        if sooner < self.at:
            self.at, self.by = sooner, by
            if self.limit is not None:
                self.limit.reschedule(sooner)


def seconds_until(retry_after: str, now: Callable[[], float] = time.time) -> float | None:
    """Read a `Retry-After` value, seconds or an HTTP date; None if it is neither. Never negative."""
    text = retry_after.strip()
    if not text:
        return None
    try:
        seconds = float(text) if text[0].isdigit() else parsedate_to_datetime(text).timestamp() - now()
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None

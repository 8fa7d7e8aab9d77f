"""Deadlines, and the `Retry-After` header."""

import asyncio
import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from msgspec import Struct


class Deadline(Struct):
    """A point on the monotonic clock, in seconds, which the event loop's clock shares.

    limit: the timeout that cancels the request then, if any. by: the name of the setting that has shortened it.
    """

    at: float
    limit: asyncio.Timeout | None = None
    by: str = ""

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Make the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds left; negative when it has passed."""
        return self.at - time.monotonic()

    def shorten(self, seconds: float, by: str) -> None:
        """Bring the deadline forward to `seconds` from now, if it is later. `by` is the name of the setting."""
        sooner = time.monotonic() + seconds
        if sooner < self.at:
            self.at, self.by = sooner, by
            if self.limit is not None:
                self.limit.reschedule(sooner)


def seconds_until(retry_after: str, now: Callable[[], float] = time.time) -> float | None:
    """Parse a `Retry-After` value, seconds or an HTTP date; None if it is neither. Never negative."""
    text = retry_after.strip()
    if not text:
        return None
    try:
        seconds = float(text) if text[0].isdigit() else parsedate_to_datetime(text).timestamp() - now()
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None

"""What CloudWatch says that Bedrock counted, beside what the pools settled in the same minutes."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct, field

# CloudWatch has a minute some minutes late; the minutes that are compared
_LATE_MINUTES, _MINUTES = 4, 10
_MINUTE = 60


class Calibration(Struct):
    """What one pool settled, by minutes since 1970, and what CloudWatch says of some of them.

    counted, settled: tokens per minute of the last comparison; None before one. settled is that of this process.
    """

    clock: Callable[[], float] = time.time
    counted: float | None = None
    settled: float | None = None
    _by_minute: dict[int, int] = field(default_factory=dict)

    def note(self, tokens: int) -> None:
        """Count what a call took."""
        minute = int(self.clock()) // _MINUTE
        by_minute = self._by_minute
        if minute in by_minute:
            by_minute[minute] += tokens
            return
        by_minute[minute] = tokens
        for old in [each for each in by_minute if each < minute - _LATE_MINUTES - _MINUTES - 1]:
            del by_minute[old]

    def period(self) -> tuple[int, int]:
        """Return the beginning and the end of the minutes to compare, in seconds since 1970."""
        end = int(self.clock()) // _MINUTE - _LATE_MINUTES
        return (end - _MINUTES) * _MINUTE, end * _MINUTE

    def compare(self, period: tuple[int, int], counted: float) -> None:
        """Note what CloudWatch says of the minutes of a period."""
        first, last = period[0] // _MINUTE, period[1] // _MINUTE
        self.counted = counted / (last - first)
        self.settled = sum(self._by_minute.get(minute, 0) for minute in range(first, last)) / (last - first)

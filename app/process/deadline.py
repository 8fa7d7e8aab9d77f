"""Deadlines, and the `Retry-After` header."""

import asyncio
import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

from msgspec import Struct

# the event loop rounds to milliseconds
_TOLERANCE_SECONDS = 0.001


class Deadline(Struct, eq=False):
    """A point on the monotonic clock, in seconds.

    by: the name of the setting that has shortened it. task: is cancelled at that point. has_passed: it was.
    """

    at: float
    by: str = ""
    has_passed: bool = False
    _timer: "DeadlineTimer | None" = None
    task: "asyncio.Task[Any] | None" = None

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
            if self._timer is not None:
                self._timer.wake_at(sooner)

    def end(self) -> None:
        """Let the task go on, whether the deadline has passed or not."""
        if self._timer is not None:
            self._timer.open.discard(self)
        if self.has_passed and self.task is not None:
            self.task.uncancel()

    def cancel_task(self) -> None:
        """Cancel the task: the deadline has passed."""
        self.has_passed = True
        if self.task is not None:
            self.task.cancel()


class DeadlineTimer:
    """Cancels tasks at their deadlines. All share one timer of the event loop: a timer for each request costs more.

    open: the deadlines that have not ended.
    """

    def __init__(self) -> None:
        self.open: set[Deadline] = set()
        self._handle: asyncio.TimerHandle | None = None
        self._due = math.inf

    def begin(self, seconds: float) -> Deadline:
        """Make the deadline of the current task. It holds until `Deadline.end`."""
        deadline = Deadline(time.monotonic() + seconds, _timer=self, task=asyncio.current_task())
        self.open.add(deadline)
        if deadline.at < self._due:
            self.wake_at(deadline.at)
        return deadline

    def wake_at(self, moment: float) -> None:
        """Look at the deadlines at a moment, if not before."""
        if moment >= self._due:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._due = moment
        self._handle = asyncio.get_running_loop().call_later(max(moment - time.monotonic(), 0.0), self._look)

    def _look(self) -> None:
        self._handle, self._due = None, math.inf
        now = time.monotonic() + _TOLERANCE_SECONDS
        for deadline in [deadline for deadline in self.open if deadline.at <= now]:
            self.open.discard(deadline)
            deadline.cancel_task()
        if self.open:
            self.wake_at(min([deadline.at for deadline in self.open]))


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

"""The time of the database, which all replicas share, as this process knows it without asking."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


class DatabaseClock:
    """The time when the database was last asked, and what has passed since by a clock that nobody sets.

    Before the first answer it is the time of this machine.

    Args:
        monotonic, wall: seconds of clocks of this machine.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def note(self, moment_us: int) -> None:
        """Note the time of the database, in microseconds, which it has just told."""
        self._offset = moment_us / 1e6 - self._monotonic()

    def seconds(self) -> float:
        """Return the time in seconds since the epoch."""
        return self._monotonic() + self._offset

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.fromtimestamp(self._monotonic() + self._offset, UTC)

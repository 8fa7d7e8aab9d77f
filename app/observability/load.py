"""How busy the process is: the requests in flight, as a line in the log from which autoscaling and alarms are fed."""

import asyncio
import logging
import time
from collections.abc import Callable

_log = logging.getLogger("outcrop.load")


class Load:
    """Counts requests in flight.

    Args:
        processes: how many share the load. clock: seconds that never go back.
    """

    def __init__(self, processes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._processes = processes
        self._clock = clock
        self._in_flight = 0
        self._peak = 0
        self._area = 0.0
        self._since = self._changed = clock()

    def enter(self) -> None:
        """One request begins."""
        self._change(1)

    def leave(self) -> None:
        """One request has ended."""
        self._change(-1)

    def take(self) -> tuple[float, int]:
        """The mean and the peak of requests in flight since the last take."""
        self._change(0)
        seconds = self._changed - self._since
        mean, peak = self._area / seconds if seconds else float(self._in_flight), self._peak
        self._since, self._area, self._peak = self._changed, 0.0, self._in_flight
        return mean, peak

    async def report(self, interval: float) -> None:
        """Log mean and peak every `interval` seconds, until cancelled: as if all processes were like this one, so that
        the average of their lines is what all of them bear.
        """
        while True:
            await asyncio.sleep(interval)
            mean, peak = self.take()
            _log.info(
                "load",
                extra={
                    "fields": {"in_flight": round(mean * self._processes, 3), "in_flight_peak": peak * self._processes}
                },
            )

    async def watch(self, note_lag: Callable[[float], object], interval: float = 0.1) -> None:
        """Tell how many seconds late the event loop comes to what is due, each `interval` seconds, until cancelled."""
        while True:
            due = self._clock() + interval
            await asyncio.sleep(interval)
            note_lag(max(self._clock() - due, 0.0))

    @property
    def in_flight(self) -> int:
        """Requests that run now."""
        return self._in_flight

    def _change(self, difference: int) -> None:
        now = self._clock()
        self._area += self._in_flight * (now - self._changed)
        self._changed = now
        self._in_flight += difference
        self._peak = max(self._peak, self._in_flight)

"""Measures the requests in flight and the lag of the event loop."""

import asyncio
import logging
import time
from collections.abc import Callable

_log = logging.getLogger("outcrop.load")


class Load:
    """Counts requests in flight.

    in_flight: requests that are being handled now.

    Args:
        processes: worker processes of the gateway. clock: monotonic seconds.
    """

    def __init__(self, processes: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._processes = processes
        self._clock = clock
        self.in_flight = 0
        self._peak = 0
        # of the requests since the last `take`: the sum of the times of their ends, less that of their beginnings
        self._area = 0.0
        self._since = clock()

    def begin(self) -> None:
        """Count a request that begins."""
        self._area -= self._clock()
        self.in_flight += 1
        if self.in_flight > self._peak:  # noqa: PLR1730 -- `max` takes three times as long
            self._peak = self.in_flight

    def end(self) -> None:
        """Count a request that ends."""
        self._area += self._clock()
        self.in_flight -= 1

    def take(self) -> tuple[float, int]:
        """Return the mean and the peak of requests in flight since the last call."""
        now, in_flight = self._clock(), self.in_flight
        seconds, area = now - self._since, self._area + in_flight * now
        mean, peak = area / seconds if seconds else float(in_flight), self._peak
        self._since, self._area, self._peak = now, -in_flight * now, in_flight
        return mean, peak

    async def report(self, interval: float) -> None:
        """Log mean and peak every `interval` seconds, until cancelled; autoscaling and alarms read this line.

        Both are multiplied by the number of processes, so that the average of their lines is the load of the gateway.
        """
        while True:
            await asyncio.sleep(interval)
            mean, peak = self.take()
            fields = {"in_flight": round(mean * self._processes, 3), "in_flight_peak": peak * self._processes}
            _log.info("load", extra={"fields": fields})

    async def watch(self, note_lag: Callable[[float], object], interval: float = 0.1) -> None:
        """Report every `interval` seconds how late the event loop runs a timer, until cancelled."""
        while True:
            due = self._clock() + interval
            await asyncio.sleep(interval)
            note_lag(max(self._clock() - due, 0.0))

"""The last requests of this process, by their metadata, and their numbers by minute."""

import time
from collections import OrderedDict, deque

from msgspec import Struct, field

from app.observability.metrics import THROTTLED
from app.observability.observer import RequestRecord

MAX_KEPT = 500
_MAX_MINUTES = 24 * 60
# further callers are counted only with all others
_MAX_CALLERS = 200
_MINUTE = 60


class RecentRequest(Struct, frozen=True):
    """A request that has ended. at: seconds since the epoch."""

    record: RequestRecord
    at: float
    milliseconds: float

    @property
    def is_throttled(self) -> bool:
        """True if a limit refused it."""
        return self.record.status in THROTTLED

    @property
    def is_failed(self) -> bool:
        """True if it failed, and not by its caller's fault."""
        return self.record.is_broken or (self.record.status >= 500 and not self.is_throttled)


class Minute(Struct):
    """What happened in one minute. start: seconds since the epoch."""

    start: int
    requests: int = 0
    errors: int = 0
    throttles: int = 0


class RecentRequests(Struct):
    """An observer that keeps the last requests, the newest first. since: when it began, in seconds since the epoch."""

    since: float = field(default_factory=time.time)
    kept: "deque[RecentRequest]" = field(default_factory=lambda: deque(maxlen=MAX_KEPT))
    # by caller, and of all for None; then by minute, the oldest first
    _minutes: "dict[str | None, OrderedDict[int, Minute]]" = field(default_factory=dict)

    def request_ended(self, record: RequestRecord) -> None:
        """Keep the record of a request of a dialect."""
        if not record.dialect:
            return
        request = RecentRequest(record, time.time(), record.elapsed_ms())
        self.kept.appendleft(request)
        self._count(None, request)
        if record.caller and (record.caller in self._minutes or len(self._minutes) <= _MAX_CALLERS):
            self._count(record.caller, request)

    def of(self, caller: str | None) -> list[RecentRequest]:
        """Return the requests of one caller, or of all."""
        return [each for each in self.kept if caller is None or each.record.caller == caller]

    def find(self, request_id: str, caller: str | None) -> RecentRequest | None:
        """Return a request by its id."""
        return next((each for each in self.of(caller) if each.record.request_id == request_id), None)

    def minutes(self, caller: str | None, number: int) -> list[Minute]:
        """Return the last minutes of one caller, or of all; the oldest first."""
        last = int(time.time()) // _MINUTE * _MINUTE
        known = self._minutes.get(caller, OrderedDict())
        starts = range(last - (number - 1) * _MINUTE, last + 1, _MINUTE)
        return [known.get(start) or Minute(start) for start in starts]

    def _count(self, caller: str | None, request: RecentRequest) -> None:
        minutes = self._minutes.setdefault(caller, OrderedDict())
        start = int(request.at) // _MINUTE * _MINUTE
        minute = minutes.get(start)
        if minute is None:
            minute = minutes[start] = Minute(start)
            if len(minutes) > _MAX_MINUTES:
                minutes.popitem(last=False)
        minute.requests += 1
        minute.errors += request.is_failed
        minute.throttles += request.is_throttled

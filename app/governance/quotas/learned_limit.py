"""Learns from throttles how much of a quota is available: additive increase, multiplicative decrease."""

from __future__ import annotations

import math

from msgspec import Struct

_DECREASE = 0.7
_MIN_FACTOR = 0.02
# calls that were under way at a throttle are throttled too, and teach nothing more
_ONE_EVENT_SECONDS = 1.0
# how long a throttle stops all starts, if Bedrock does not say it; twice as long after each throttle without a success
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 4.0
# the part returns within seconds to just below what was throttled last; from there it grows slowly
_NEAR, _BACK_SECONDS = 0.95, 8.0
_CAREFUL_INCREASE, _INCREASE = 0.001, 0.005
# a throttle of calls that reserve more than so many seconds of the quota is first taken to be caused by that
_LARGE_SECONDS = 3.0
_ROOM_DECREASE, _ROOM_INCREASE = 0.85, 0.005
# without a throttle for so long, and with the whole quota in use, nothing is left to be careful of
_FORGET_SECONDS = 300.0


class LearnedLimit(Struct):
    """The part of the configured quota that calls may use.

    throttled_at: the part that was in use at the last throttle. resumes_at: until then no call starts.
    throttles: since they were last forgotten. room: tokens that calls may reserve at once, which Bedrock limits to an
    unknown number.
    """

    factor: float = 1.0
    throttled_at: float = 2.0
    resumes_at: float = 0.0
    throttles: int = 0
    room: float = math.inf
    _room_at: float = 0.0
    _updated: float = 0.0
    _lowered_at: float = -_ONE_EVENT_SECONDS
    _in_a_row: int = 0
    _last_at: float = 0.0

    def current(self, now: float) -> float:
        """Return the part that may be used now."""
        if self.factor >= 1.0:
            return 1.0
        elapsed = now - self._updated
        if elapsed > 0.1:
            self._updated = now
            self.factor = min(self._grown(elapsed), 1.0)
        return self.factor

    def expected(self, now: float) -> float:
        """Return the part that may be used within seconds, when it has come back to just below what was throttled."""
        return max(self.current(now), min(_NEAR * self.throttled_at, 1.0))

    def note_success(self) -> None:
        """Note that a call was served."""
        self._in_a_row = 0

    def forget_old(self, now: float) -> None:
        """Forget the throttles, if all of the quota is used again and none has come for some minutes."""
        if self.factor >= 1.0 and now - max(self._last_at, self.resumes_at) >= _FORGET_SECONDS:
            self.throttles = self._in_a_row = 0
            self.room = math.inf

    def has_room(self, reserved: int, more: int, now: float) -> bool:
        """Return whether a call may reserve more tokens beside those that others reserve."""
        if self.room == math.inf or not reserved:
            return True
        self.room *= 1 + _ROOM_INCREASE * max(now - self._room_at, 0.0)
        self._room_at = now
        return reserved + more <= self.room

    def note_throttle(self, now: float, retry_after: float | None, reserved: int = 0, per_second: float = 1.0) -> None:
        """Learn from a call that was throttled.

        Args:
            retry_after: the pause that Bedrock asks for, if it does. reserved: by all calls, this one included.
            per_second: what the quota allows.
        """
        self.throttles += 1
        self._last_at = now
        if now - self._lowered_at < _ONE_EVENT_SECONDS:
            self.resumes_at = max(self.resumes_at, now + (retry_after or 0.0))
            return
        pause = min(_PAUSE_SECONDS * 2.0 ** min(self._in_a_row, 10), _LONGEST_PAUSE_SECONDS)
        self._in_a_row += 1
        self.resumes_at = max(self.resumes_at, now + (pause if retry_after is None else retry_after))
        if reserved > _LARGE_SECONDS * per_second:
            # one call alone may reserve more than there is room for: the pause is all that helps it
            self._lowered_at = self._room_at = now
            self.room = min(self.room, reserved * _ROOM_DECREASE)
            return
        factor = self.current(now)
        self._lowered_at = self._updated = now
        self.throttled_at = factor
        self.factor = max(factor * _DECREASE, _MIN_FACTOR)

    def _grown(self, elapsed: float) -> float:
        near = _NEAR * self.throttled_at
        if self.factor < near:
            return self.factor + (near - self.factor) * (1 - math.exp(-elapsed / _BACK_SECONDS)) + 0.0001 * elapsed
        return self.factor + (_CAREFUL_INCREASE if self.factor <= self.throttled_at else _INCREASE) * elapsed

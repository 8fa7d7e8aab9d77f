"""Several processes behind one port: forked, watched, replaced when they die, and ended together.

They are forked once everything is imported, so that they share its memory. What they count together, and how one tells
what all have measured, is in `app.share`.
"""

import contextlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.kit.tally import Board
from app.share import TALLIES, Share
from app.telemetry.siblings import Channel, Siblings

_log = logging.getLogger(__name__)

_ENDING = (signal.SIGTERM, signal.SIGINT)
# who ends with an error before all have stood for so long cannot start, and nor could another
_START_SECONDS = 5.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_LAST_SECONDS = 5.0
_LOOK_SECONDS = 1.0

Serve = Callable[[socket.socket, Share], int]


@dataclass(slots=True)
class _Place:
    """Where a process runs, or none. due: when one is to be forked. failures: how many in a row died young."""

    number: int
    listener: socket.socket
    pid: int = 0
    born: float = 0.0
    due: float = 0.0
    failures: int = 0


class Processes:
    """A fixed number of processes.

    Args:
        listeners: one for each process. grace: seconds that a process may take to end.
        serve: what each runs, given its listener and its share; returns its exit code when told to end by SIGTERM.
    """

    def __init__(self, listeners: list[socket.socket], grace: float, serve: Serve) -> None:
        self._serve = serve
        self._grace = grace
        self._places = [_Place(number, listener) for number, listener in enumerate(listeners)]
        self._board = Board(len(listeners), TALLIES)
        self._channels = [Channel() for _ in listeners]
        self._lifeline, self._held = os.pipe()
        self._began = time.monotonic()
        self._ends_at = 0.0
        self._code = 0

    def run(self) -> int:
        """Run them until SIGTERM or SIGINT, or until they cannot start; returns the exit code.

        In the processes themselves it does not return, but raises SystemExit when they end.
        """
        awake, wake = socket.socketpair()
        for end in (awake, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in _ENDING:
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that the wait below ends
        while True:
            self._bury()
            self._fork_what_is_due()
            if self._ends_at and not any(place.pid for place in self._places):
                return self._code
            self._hurry()
            select.select([awake], [], [], self._pause())
            with contextlib.suppress(BlockingIOError):
                awake.recv(4096)

    def _fork_what_is_due(self) -> None:
        for place in self._places:
            if not place.pid and not self._ends_at and place.due <= time.monotonic():
                self._fork(place)

    def _fork(self, place: _Place) -> None:
        with _deferred():
            if self._ends_at:
                return
            try:
                place.pid = os.fork()
            except OSError as error:
                _log.error("no process can be made", extra={"fields": {"error": os.strerror(error.errno or 0)}})
                self._put_off(place)
                return
            place.born = time.monotonic()
            if place.pid:
                return
            signal.set_wakeup_fd(-1)
            for number in (*_ENDING, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
        os.close(self._held)
        for other in self._places:
            if other is not place:
                other.listener.close()
        tallies, siblings = self._board.tallies(place.number), Siblings(self._channels, place.number)
        share = Share(len(self._places), tallies, siblings, self._lifeline)
        raise SystemExit(self._serve(place.listener, share))

    def _bury(self) -> None:
        """Take note of all who have died."""
        with contextlib.suppress(ChildProcessError):
            while (dead := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                for place in self._places:
                    if place.pid == dead[0]:
                        self._note_death(place, os.waitstatus_to_exitcode(dead[1]))

    def _note_death(self, place: _Place, code: int) -> None:
        now = time.monotonic()
        place.pid = 0
        self._board.forget(place.number)
        if self._ends_at:
            return
        if code > 0 and now - self._began < _START_SECONDS:
            self._code = code
            self._end()
            return
        _log.error("a process has died, and is replaced", extra={"fields": {"process": place.number, "code": code}})
        if now - place.born >= _START_SECONDS:
            place.failures = 0
        self._put_off(place)

    def _put_off(self, place: _Place) -> None:
        place.due = time.monotonic() + min(_FIRST_PAUSE * 2**place.failures, _LONGEST_PAUSE)
        place.failures += 1

    def _pause(self) -> float:
        """Seconds until there is something to do that no signal tells of."""
        if self._ends_at:
            return _LOOK_SECONDS
        now = time.monotonic()
        return max(min((place.due - now for place in self._places if not place.pid), default=_LONGEST_PAUSE), 0.0)

    def _end(self, *_: object) -> None:
        """Tell all to end: by SIGTERM, since a terminal's SIGINT has reached them already, and two would hurry them."""
        self._ends_at = self._ends_at or time.monotonic() + self._grace + _LAST_SECONDS
        for place in self._places:
            place.listener.close()  # or callers would come to where nobody takes them
        self._tell_all(signal.SIGTERM)

    def _hurry(self) -> None:
        if 0 < self._ends_at <= time.monotonic():
            self._tell_all(signal.SIGKILL)

    def _tell_all(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(place.pid, number)


@contextlib.contextmanager
def _deferred() -> Iterator[None]:
    """Signals that end come afterwards: none between the decision to fork and the note of who was forked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)

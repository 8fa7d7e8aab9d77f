"""Several processes behind one listener: forked, replaced when they die, and ended together.

They are forked once everything is imported, so that they share its memory. What they count together, and how one tells
what all have measured, is in `app.share`.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator

from app.kit.tally import Board
from app.share import TALLIES, Share
from app.telemetry.siblings import Channel, Siblings

_log = logging.getLogger(__name__)

_ENDING = (signal.SIGTERM, signal.SIGINT)
# one that ends by itself, with an error, sooner than this has never served, and its successor would not either
_START_SECONDS = 5.0
_PAUSE_SECONDS = 0.5


class Processes:
    """A fixed number of processes.

    Args:
        count: how many. serve: what each runs, given its share; returns its exit code when told to end by SIGTERM.
    """

    def __init__(self, count: int, serve: Callable[[Share], int]) -> None:
        self._count = count
        self._serve = serve
        self._board = Board(count, TALLIES)
        self._channels = [Channel() for _ in range(count)]
        self._lifeline, self._held = os.pipe()
        self._places: dict[int, tuple[int, float]] = {}
        self._is_ending = False
        self._code = 0

    def run(self) -> int:
        """Run them until SIGTERM or SIGINT, or until one cannot start; returns the exit code.

        In the processes themselves it does not return, but raises SystemExit when they end.
        """
        for number in _ENDING:
            signal.signal(number, self._end)
        for place in range(self._count):
            self._fork(place)
        while self._places:
            pid, status = os.wait()
            if pid in self._places:
                self._replace(pid, os.waitstatus_to_exitcode(status))
        return self._code

    def _fork(self, place: int) -> None:
        with _deferred():
            if self._is_ending:
                return
            pid = os.fork()
            if pid:
                self._places[pid] = place, time.monotonic()
                return
            for number in _ENDING:
                signal.signal(number, signal.SIG_DFL)
        os.close(self._held)
        tallies, siblings = self._board.tallies(place), Siblings(self._channels, place)
        raise SystemExit(self._serve(Share(self._count, tallies, siblings, self._lifeline)))

    def _replace(self, pid: int, code: int) -> None:
        place, born = self._places.pop(pid)
        self._board.forget(place)
        if self._is_ending:
            return
        if code > 0 and time.monotonic() - born < _START_SECONDS:
            self._code = code
            self._end()
            return
        _log.error("a process has died, and is replaced", extra={"fields": {"process": place, "code": code}})
        time.sleep(_PAUSE_SECONDS)
        self._fork(place)

    def _end(self, *_: object) -> None:
        """Tell all to end: by SIGTERM, since a terminal's SIGINT has reached them already, and two would hurry them."""
        self._is_ending = True
        for pid in self._places:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


@contextlib.contextmanager
def _deferred() -> Iterator[None]:
    """Signals that end come afterwards: none between the decision to fork and the note of who was forked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)

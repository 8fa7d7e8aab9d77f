"""Several processes behind one port: forked, watched, replaced when they die, and ended together.

They are forked once everything is imported, so that they share its memory. What they count together, and how one tells
what all have measured, is in `app.server.worker_context`.
"""

import contextlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from app.process.shared_counter import SharedCounterArray
from app.server.worker_context import WorkerContext
from app.server.worker_counters import WorkerCounters
from app.server.worker_peers import Channel, WorkerPeers

_log = logging.getLogger(__name__)

_ENDING = (signal.SIGTERM, signal.SIGINT)
# who ends with an error before all have stood for so long cannot start, and nor could another
_START_SECONDS = 5.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_LAST_SECONDS = 5.0
_LOOK_SECONDS = 1.0

Listen = Callable[[], socket.socket]
Serve = Callable[[socket.socket, WorkerContext], int]


class _WorkerSlot(Struct):
    """Where a process runs, or none. due: when one is to be forked. failures: how many in a row died young."""

    number: int
    pid: int = 0
    born: float = 0.0
    due: float = 0.0
    failures: int = 0


class Processes:
    """A fixed number of processes.

    Args:
        count: how many. listen: makes a listener, at the same port each time, which one process has for itself: where
            it dies or drains, the system gives its callers to the others. grace: seconds that it may take to end.
        serve: what each runs, given its listener and its share; returns its exit code when told to end by SIGTERM.
        callers: how many names of callers there are, of each of which something is counted.
    """

    def __init__(self, count: int, listen: Listen, grace: float, serve: Serve, callers: int = 0) -> None:
        self._listen = listen
        self._serve = serve
        self._grace = grace
        self._slots = [_WorkerSlot(number) for number in range(count)]
        self._callers = callers
        self._counters = SharedCounterArray(count, WorkerCounters.size(callers))
        self._channels = [Channel() for _ in range(count)]
        self._shutdown_pipe, self._held = os.pipe()
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
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_ENDING, signal.SIGCHLD))
        while True:
            self._bury()
            self._fork_what_is_due()
            if self._ends_at and not any(slot.pid for slot in self._slots):
                return self._code
            self._hurry()
            select.select([awake], [], [], self._pause())
            with contextlib.suppress(BlockingIOError):
                awake.recv(4096)

    def _fork_what_is_due(self) -> None:
        for slot in self._slots:
            if not slot.pid and not self._ends_at and slot.due <= time.monotonic():
                self._fork(slot)

    def _fork(self, slot: _WorkerSlot) -> None:
        with _deferred():
            if self._ends_at:
                return
            try:
                listener = self._listen()
            except OSError as error:
                self._put_off(slot, error)
                if time.monotonic() - self._began < _START_SECONDS:
                    self._code = 1
                    self._end()
                return
            try:
                slot.pid = os.fork()
            except OSError as error:
                listener.close()
                self._put_off(slot, error)
                return
            slot.born = time.monotonic()
            if slot.pid:
                listener.close()
                return
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # a terminal's; the watcher tells what it means
        os.close(self._held)
        counters = WorkerCounters.of(self._counters.counters(slot.number), self._callers)
        peers = WorkerPeers(self._channels, slot.number)
        worker_context = WorkerContext(len(self._slots), counters, peers, self._shutdown_pipe)
        raise SystemExit(self._serve(listener, worker_context))

    def _bury(self) -> None:
        """Take note of all who have died."""
        with contextlib.suppress(ChildProcessError):
            while (dead := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                for slot in self._slots:
                    if slot.pid == dead[0]:
                        self._note_death(slot, os.waitstatus_to_exitcode(dead[1]))

    def _note_death(self, slot: _WorkerSlot, code: int) -> None:
        now = time.monotonic()
        slot.pid = 0
        self._counters.forget(slot.number)
        if self._ends_at:
            return
        if code > 0 and now - self._began < _START_SECONDS:
            self._code = code
            self._end()
            return
        _log.error("a process has died, and is replaced", extra={"fields": {"process": slot.number, "code": code}})
        if now - slot.born >= _START_SECONDS:
            slot.failures = 0
        self._put_off(slot)

    def _put_off(self, slot: _WorkerSlot, error: OSError | None = None) -> None:
        if error is not None:
            _log.error("no process can be made", extra={"fields": {"error": os.strerror(error.errno or 0)}})
        slot.due = time.monotonic() + min(_FIRST_PAUSE * 2**slot.failures, _LONGEST_PAUSE)
        slot.failures += 1

    def _pause(self) -> float:
        """Seconds until there is something to do that no signal tells of."""
        if self._ends_at:
            return _LOOK_SECONDS
        now = time.monotonic()
        return max(min((slot.due - now for slot in self._slots if not slot.pid), default=_LONGEST_PAUSE), 0.0)

    def _end(self, number: int = signal.SIGTERM, _: object = None) -> None:
        """Tell all to end; at a second SIGINT, at once."""
        is_impatient = self._ends_at and number == signal.SIGINT
        if not self._ends_at:
            self._ends_at = time.monotonic() + self._grace + _LAST_SECONDS
            os.close(self._held)  # ahead of the signal, which one alone may get too
        self._tell_all(signal.SIGKILL if is_impatient else signal.SIGTERM)

    def _hurry(self) -> None:
        if 0 < self._ends_at <= time.monotonic():
            self._tell_all(signal.SIGKILL)

    def _tell_all(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(slot.pid, number)


@contextlib.contextmanager
def _deferred() -> Iterator[None]:
    """Signals that end come afterwards: none between the decision to fork and the note of who was forked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)

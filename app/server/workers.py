"""Worker processes behind one port: forked, supervised, replaced when they die, and stopped together.

They are forked after everything is imported, so that they share that memory. `app.server.worker_context` holds what
they have in common.
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

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# a worker that exits with an error so soon after the start of the gateway cannot start: the gateway exits too
_START_SECONDS = 5.0
_FIRST_RESTART_DELAY = 0.5
_MAX_RESTART_DELAY = 30.0
# after the grace period, before workers are killed
_KILL_AFTER_SECONDS = 5.0
_POLL_SECONDS = 1.0

Listen = Callable[[], socket.socket]
Serve = Callable[[socket.socket, WorkerContext], int]


class _WorkerSlot(Struct):
    """A slot for a worker process. pid: 0 if none runs. due: when the next one is forked, in monotonic seconds.

    failures: how many workers in a row died within `_START_SECONDS`.
    """

    index: int
    pid: int = 0
    started: float = 0.0
    due: float = 0.0
    failures: int = 0


class WorkerSupervisor:
    """Supervises a fixed number of worker processes.

    Args:
        count: workers. grace: seconds that a worker may take to stop.
        listen: makes the listener of one worker, at the same port each time. The kernel spreads connections over the
            listeners that are open.
        serve: runs in each worker, with its listener and context; returns the exit code after SIGTERM.
        callers: the number of callers for which the workers count together.
    """

    def __init__(self, count: int, listen: Listen, grace: float, serve: Serve, callers: int = 0) -> None:
        self._listen = listen
        self._serve = serve
        self._grace = grace
        self._slots = [_WorkerSlot(index) for index in range(count)]
        self._callers = callers
        self._counters = SharedCounterArray(count, WorkerCounters.size(callers))
        self._channels = [Channel() for _ in range(count)]
        # readable once the write end is closed, by a shutdown or by the death of this process
        self._shutdown_pipe, self._shutdown_pipe_end = os.pipe()
        self._started = time.monotonic()
        self._kill_at = 0.0
        self._code = 0

    def run(self) -> int:
        """Run the workers until SIGTERM or SIGINT, or until they cannot start; returns the exit code.

        In a worker it does not return, but raises SystemExit.
        """
        woken, wake = socket.socketpair()
        for end in (woken, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler is needed to wake the select below
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_STOP_SIGNALS, signal.SIGCHLD))
        while True:
            self._reap()
            self._fork_due()
            if self._kill_at and not any(slot.pid for slot in self._slots):
                return self._code
            self._kill_late_workers()
            select.select([woken], [], [], self._pause())
            with contextlib.suppress(BlockingIOError):
                woken.recv(4096)

    def _fork_due(self) -> None:
        for slot in self._slots:
            if not slot.pid and not self._kill_at and slot.due <= time.monotonic():
                self._fork(slot)

    def _fork(self, slot: _WorkerSlot) -> None:
        with _stop_signals_blocked():
            if self._kill_at:
                return
            try:
                listener = self._listen()
            except OSError as error:
                self._delay_restart(slot, error)
                if time.monotonic() - self._started < _START_SECONDS:
                    self._code = 1
                    self._stop()
                return
            try:
                slot.pid = os.fork()
            except OSError as error:
                listener.close()
                self._delay_restart(slot, error)
                return
            slot.started = time.monotonic()
            if slot.pid:
                listener.close()
                return
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
        # a terminal sends SIGINT to all processes; the supervisor handles it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        os.close(self._shutdown_pipe_end)
        counters = WorkerCounters.of(self._counters.counters(slot.index), self._callers)
        peers = WorkerPeers(self._channels, slot.index)
        worker_context = WorkerContext(len(self._slots), counters, peers, self._shutdown_pipe)
        raise SystemExit(self._serve(listener, worker_context))

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                for slot in self._slots:
                    if slot.pid == ended[0]:
                        self._on_exit(slot, os.waitstatus_to_exitcode(ended[1]))

    def _on_exit(self, slot: _WorkerSlot, code: int) -> None:
        now = time.monotonic()
        slot.pid = 0
        self._counters.forget(slot.index)
        if self._kill_at:
            return
        if code > 0 and now - self._started < _START_SECONDS:
            self._code = code
            self._stop()
            return
        fields = {"process": slot.index, "code": code}
        _log.error("a worker process has exited and is replaced", extra={"fields": fields})
        if now - slot.started >= _START_SECONDS:
            slot.failures = 0
        self._delay_restart(slot)

    def _delay_restart(self, slot: _WorkerSlot, error: OSError | None = None) -> None:
        if error is not None:
            _log.error("cannot start a worker process", extra={"fields": {"error": os.strerror(error.errno or 0)}})
        slot.due = time.monotonic() + min(_FIRST_RESTART_DELAY * 2**slot.failures, _MAX_RESTART_DELAY)
        slot.failures += 1

    def _pause(self) -> float:
        """Return the seconds until something is due that no signal announces."""
        if self._kill_at:
            return _POLL_SECONDS
        now = time.monotonic()
        return max(min((slot.due - now for slot in self._slots if not slot.pid), default=_MAX_RESTART_DELAY), 0.0)

    def _stop(self, number: int = signal.SIGTERM, _: object = None) -> None:
        """Stop all workers; a second SIGINT kills them."""
        is_repeated = self._kill_at and number == signal.SIGINT
        if not self._kill_at:
            self._kill_at = time.monotonic() + self._grace + _KILL_AFTER_SECONDS
            # before the signal, so that a worker can tell a shutdown from a signal to itself alone
            os.close(self._shutdown_pipe_end)
        self._signal_all(signal.SIGKILL if is_repeated else signal.SIGTERM)

    def _kill_late_workers(self) -> None:
        if 0 < self._kill_at <= time.monotonic():
            self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(slot.pid, number)


@contextlib.contextmanager
def _stop_signals_blocked() -> Iterator[None]:
    """Defer stop signals: one between the fork and the record of its pid would miss the worker."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)

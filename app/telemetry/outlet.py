"""The log's way out: stderr, behind which may be a pipe that nobody reads."""

import contextlib
import os
import select
import sys
import threading
from collections import deque

from app.kit import json

# a pipe that is ready has room for so many bytes, and takes them at once (POSIX, PIPE_BUF)
_PIECE = 4096


class Outlet:
    """Writes lines to stderr, and waits for nobody: what cannot be written now is lost, and counted.

    A write to a full pipe would stop the whole process, and with it every request, until somebody reads. Of several
    processes that share a pipe one may still fill it in the moment between another's look and its write.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rest = b""
        self._lost = 0
        # what garbage collection had to tell while a line was written, by the same thread
        self._late: deque[str] = deque()
        self._is_writing = False

    def write(self, line: str) -> None:
        """Write one line, or lose it."""
        try:
            file = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):  # none, a closed one, or somebody's own
            with contextlib.suppress(AttributeError, ValueError):
                sys.stderr.write(line)
            return
        with self._lock:
            self._late.append(line)
            if self._is_writing:
                return
            self._is_writing = True
            try:
                while self._late:
                    self._write(file, self._late.popleft())
            finally:
                self._is_writing = False

    def _write(self, file: int, line: str) -> None:
        self._rest = _written(file, self._rest)
        if self._rest:  # of a line whose beginning stands there already
            self._lost += 1
            return
        told = json.dumps(self._loss()) + b"\n" if self._lost else b""
        data = told + line.encode(errors="backslashreplace")
        rest = _written(file, data)
        if len(rest) == len(data):
            self._lost += 1
        else:
            self._rest, self._lost = rest, 0

    def flush(self) -> None:
        """There is nothing to be flushed."""

    def _loss(self) -> dict[str, object]:
        return {"level": "WARNING", "message": "lines of the log were lost: nobody read them", "lines": self._lost}


def _written(file: int, data: bytes) -> bytes:
    """Write as much as is taken without waiting; returns the rest."""
    ready = select.poll()
    ready.register(file, select.POLLOUT)
    with contextlib.suppress(OSError):
        while data and ready.poll(0):
            data = data[os.write(file, data[:_PIECE]) :]
    return data

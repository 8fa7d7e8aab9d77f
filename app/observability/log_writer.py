"""Writes log lines to stderr without blocking, even if stderr is a full pipe."""

import asyncio
import contextlib
import os
import select
import sys
import threading
from collections import deque

from app.wire import json

# a pipe that is ready for writing accepts so many bytes in one atomic write (POSIX, PIPE_BUF)
_PIECE = 4096
# a write that wakes the reader of the pipe takes 20 us, and the next lines until it sleeps again 1 us each
_GATHER_SECONDS = 0.005


class NonBlockingLogWriter:
    """Writes lines to stderr without waiting; lines that cannot be written at once are dropped and counted.

    A blocking write to a full pipe would stop the process, and with it every request, until the pipe is read. If
    several processes share a pipe, another one may fill it between `poll` and `write`: then this process blocks.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # pending lines; a finalizer may add one, in the same thread, while another is written
        self._lines: deque[bytes] = deque()
        self._due: asyncio.AbstractEventLoop | None = None
        self._rest = b""
        self._lost = 0
        self._is_writing = False

    def write(self, line: str) -> None:
        """Write one line, or drop it."""
        self._lines.append(line.encode(errors="backslashreplace"))
        self.flush()

    def write_soon(self, line: bytes) -> None:
        """Write one line, together with others of the next few milliseconds."""
        self._lines.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if self._due is not loop:
            self._due = loop
            loop.call_later(_GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Write the pending lines."""
        self._due = None
        try:
            file = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):  # no stderr, a closed one, or one without a descriptor
            with contextlib.suppress(AttributeError, ValueError):
                while self._lines:
                    sys.stderr.write(self._lines.popleft().decode())
            return
        with self._lock:
            if self._is_writing:
                return
            self._is_writing = True
            try:
                while self._lines:
                    self._write(file)
            finally:
                self._is_writing = False

    def _write(self, file: int) -> None:
        """Write as many lines as fit into one atomic write, which another process's lines cannot split."""
        data, lines = self._lines.popleft(), 1
        while self._lines and len(data) + len(self._lines[0]) <= _PIECE:
            data, lines = data + self._lines.popleft(), lines + 1
        if self._rest:
            self._rest = _written(file, self._rest)
        if self._rest:  # of a line that is written in part
            self._lost += lines
            return
        if self._lost:
            data = json.dumps(self._loss()) + b"\n" + data
        rest = _written(file, data)
        if len(rest) == len(data):
            self._lost += lines
        else:
            self._rest, self._lost = rest, 0

    def _loss(self) -> dict[str, object]:
        return {"level": "WARNING", "message": "log lines were dropped: stderr was not read", "lines": self._lost}


def _written(file: int, data: bytes) -> bytes:
    """Write as much as is accepted without waiting; returns the rest."""
    ready = select.poll()
    ready.register(file, select.POLLOUT)
    try:
        while data and ready.poll(0):
            data = data[os.write(file, data[:_PIECE]) :]
    except OSError:
        pass
    return data

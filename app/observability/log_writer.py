"""The log's way out: stderr, behind which may be a pipe that nobody reads."""

import asyncio
import contextlib
import os
import select
import sys
import threading
from collections import deque

from app.wire import json

# a pipe that is ready has room for so many bytes, and takes them at once (POSIX, PIPE_BUF)
_PIECE = 4096


class NonBlockingLogWriter:
    """Writes lines to stderr, and waits for nobody: what cannot be written now is lost, and counted.

    A write to a full pipe would stop the whole process, and with it every request, until somebody reads. Of several
    processes that share a pipe one may still fill it in the moment between another's look and its write.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # what is still to be written; garbage collection may add to it while a line is written, by the same thread
        self._lines: deque[bytes] = deque()
        self._due: asyncio.AbstractEventLoop | None = None
        self._rest = b""
        self._lost = 0
        self._is_writing = False

    def write(self, line: str) -> None:
        """Write one line, or lose it."""
        self._lines.append(line.encode(errors="backslashreplace"))
        self.flush()

    def write_soon(self, line: bytes) -> None:
        """The same, together with what else is said until the event loop comes to it."""
        self._lines.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if self._due is not loop:
            self._due = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is still to be written."""
        self._due = None
        try:
            file = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):  # none, a closed one, or somebody's own
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
        """Write as many lines as go out as one piece, which no other process's can come into."""
        data, lines = self._lines.popleft(), 1
        while self._lines and len(data) + len(self._lines[0]) <= _PIECE:
            data, lines = data + self._lines.popleft(), lines + 1
        self._rest = _written(file, self._rest)
        if self._rest:  # of a line whose beginning stands there already
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
        return {"level": "WARNING", "message": "lines of the log were lost: nobody read them", "lines": self._lost}


def _written(file: int, data: bytes) -> bytes:
    """Write as much as is taken without waiting; returns the rest."""
    ready = select.poll()
    ready.register(file, select.POLLOUT)
    with contextlib.suppress(OSError):
        while data and ready.poll(0):
            data = data[os.write(file, data[:_PIECE]) :]
    return data

"""Prints the steps of a deployment, and errors with what to do."""

import sys
import time
from typing import TextIO


class DeployError(Exception):
    """The deployment cannot continue. `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Progress:
    """Prints lines with the seconds since the start."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._started = time.monotonic()

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._started

    def say(self, message: str) -> None:
        """Print a line."""
        self._out.write(f"[{self.elapsed():6.1f} s] {message}\n")
        self._out.flush()

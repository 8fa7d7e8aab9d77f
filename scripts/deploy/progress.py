"""What the person at the terminal reads: steps with the time since the start, and failures that say what to do."""

import sys
import time
from typing import TextIO


class DeployError(Exception):
    """A deployment cannot go on. `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Progress:
    """Prints one line a step, each with the seconds since the start."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._started = time.monotonic()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def say(self, words: str) -> None:
        """Print a line."""
        self._out.write(f"[{self.elapsed():6.1f} s] {words}\n")
        self._out.flush()

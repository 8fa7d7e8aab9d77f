"""Handles SIGINT and SIGTERM."""

import signal
from collections.abc import Callable


def exit_normally_on_signals(is_ending: Callable[[], bool]) -> None:
    """Exit with code 0 on SIGINT and SIGTERM: at once, or, while uvicorn serves, when it has drained.

    uvicorn handles both while it serves, and raises them again afterwards; a supervisor would report the process as
    killed.

    Args:
        is_ending: returns True if uvicorn has handled the signal and has drained.
    """

    def end(*_: object) -> None:
        if not is_ending():
            raise SystemExit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)

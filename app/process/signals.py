"""Ending on a signal."""

import signal
from collections.abc import Callable


def exit_normally_on_signals(is_ending: Callable[[], bool]) -> None:
    """Have SIGINT and SIGTERM end the process with code 0: at once, or, once uvicorn serves, when it has drained.

    uvicorn handles both while it serves, and raises them again when it is done; without this, that would look to a
    supervisor like being killed.

    Args:
        is_ending: True if uvicorn has heard of it, and has nothing left to do.
    """

    def end(*_: object) -> None:
        if not is_ending():
            raise SystemExit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)

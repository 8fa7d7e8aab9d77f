"""Ending on a signal."""

import signal


def exit_normally_on_signals() -> None:
    """Have SIGINT and SIGTERM end the process with code 0, once uvicorn has drained it.

    uvicorn handles both while it serves, and raises them again when it is done; without this, that would look to a
    supervisor like being killed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

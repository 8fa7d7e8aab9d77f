"""Handles SIGINT and SIGTERM."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# as shells report a process that SIGTERM has ended
_TERMINATED = 128 + signal.SIGTERM


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


@contextmanager
def cleaning_up_on_sigterm() -> Iterator[None]:
    """Leave the block by SystemExit on SIGTERM, so that what it has made is removed."""

    def end(*_: object) -> None:
        raise SystemExit(_TERMINATED)

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)

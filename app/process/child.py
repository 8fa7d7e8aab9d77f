"""Asks a question in a child process, so that what the answer needs is not loaded here."""

import os
from collections.abc import Callable

_TRUE = 3


def ask_child(question: Callable[[], bool]) -> bool:
    """Return the answer of a function that runs in a child process; False if it fails. Blocks until it has ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _TRUE
    code = 1
    try:
        code = _TRUE if question() else 0
    finally:
        os._exit(code)

"""How the process takes large blocks of memory, and gives them back."""

import contextlib
import ctypes
import time
from io import BytesIO

# of glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_LARGE_BYTES = 4 * 1024 * 1024
# to look through all that is free takes 2 ms where a process holds 100 MB
_TRIM_SECONDS = 1.0
_trimmed_at = -_TRIM_SECONDS


def give_large_blocks_back() -> None:
    """Have the C library give what is large back to the system as soon as it is free.

    Left to itself glibc takes each large block that is freed for a reason to keep the next, up to 32 MB: after one body
    of 20 MB a process held 20 MB more, and while the next was read, parsed and written, three times its size in place
    of twice (2026-11-26). Below 4 MB giving back costs more than it saves: a fifth of a request with a picture of 1 MB.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE_BYTES)


def buffer_for(size: int) -> BytesIO:
    """A buffer for so many bytes that are still to come, with nothing written to it; 0 where nobody knows how many.

    A large one has its room from the start, of which the system gives what is written to. If it grew up to there, 5 MB
    would stay behind in blocks too small to be given back (2026-11-26).
    """
    return BytesIO(bytes(size) if size >= _LARGE_BYTES else b"")


def contents_of(buffer: BytesIO) -> bytes:
    """What has been written to a buffer. If that is much, the small blocks through which it came are given back: 1.5 MB
    in a third of a millisecond, once a second at the most.
    """
    buffer.truncate()
    if buffer.tell() >= _LARGE_BYTES:
        _give_small_blocks_back(time.monotonic())
    return buffer.getvalue()


def _give_small_blocks_back(now: float) -> None:
    global _trimmed_at  # noqa: PLW0603 -- the heap is the process's, too
    if now - _trimmed_at < _TRIM_SECONDS:
        return
    _trimmed_at = now
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)

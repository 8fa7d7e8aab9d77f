"""Returns large blocks of freed memory to the system."""

import contextlib
import ctypes
import time
from io import BytesIO

# of glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_LARGE_BYTES = 4 * 1024 * 1024
# malloc_trim takes 2 ms in a process of 100 MB
_TRIM_SECONDS = 1.0
_trimmed_at = -_TRIM_SECONDS


def give_large_blocks_back() -> None:
    """Have the C library return large blocks to the system as soon as they are freed.

    glibc would keep blocks of up to 32 MB for reuse. Below 4 MB, returning a block costs more than it saves:
    docs/adr/0026-large-blocks-of-memory.md.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE_BYTES)


def buffer_for(size: int) -> BytesIO:
    """Return an empty buffer for `size` bytes that are still to come; 0 if the size is unknown.

    A large one is allocated at once; the system provides pages as they are written. A buffer that grows leaves blocks
    that are too small to be returned: docs/adr/0026-large-blocks-of-memory.md.
    """
    return BytesIO(bytes(size) if size >= _LARGE_BYTES else b"")


def contents_of(buffer: BytesIO) -> bytes:
    """Return what has been written to a buffer. If that is much, return the small blocks it came through to the system,
    at most once a second.
    """
    buffer.truncate()
    if buffer.tell() >= _LARGE_BYTES:
        _give_small_blocks_back(time.monotonic())
    return buffer.getvalue()


def _give_small_blocks_back(now: float) -> None:
    global _trimmed_at  # noqa: PLW0603 -- the heap is global, too
    if now - _trimmed_at < _TRIM_SECONDS:
        return
    _trimmed_at = now
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)

"""Disks in trouble."""

import errno
import os
from typing import NoReturn


def no_space(descriptor: int, data: bytes) -> NoReturn:
    """Fail as `os.write` does on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

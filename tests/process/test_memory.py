"""Freed memory is returned to the system."""

import platform
import subprocess
import sys

import pytest

from app.process.memory import buffer_for, contents_of

_PROGRAM = """
import os
from app.process.memory import give_large_blocks_back

def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

give_large_blocks_back()
before = held()
for _ in range(3):
    block = b"x" * (20 * 2**20)
    taken = held()
    del block
print(taken - before > 19, held() - before < 2)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has what is set")
def test_large_block_is_returned_when_freed() -> None:
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout.split() == ["True", "True"]


@pytest.mark.parametrize("expected", [0, 10, 5 * 2**20])
@pytest.mark.parametrize("written", [3, 10, 5 * 2**20, 6 * 2**20])
def test_buffer_holds_what_was_written(expected: int, written: int) -> None:
    buffer = buffer_for(expected)
    for _ in range(2):
        buffer.write(b"x" * (written // 2))
    assert contents_of(buffer) == b"x" * (written // 2 * 2)

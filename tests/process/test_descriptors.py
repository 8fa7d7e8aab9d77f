"""The limit of file descriptors at the start."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_START = """
import resource
from app.process.descriptors import allow_descriptors

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
print(allow_descriptors({requests}), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        (100, "[] 200 200"),
        (
            101,
            "['this process may open 200 file descriptors, and MAX_IN_FLIGHT allows 101 requests, of which each takes "
            "two: raise `ulimit -n`, or lower MAX_IN_FLIGHT'] 200 200",
        ),
    ],
)
def test_the_limit_is_raised_and_a_low_one_named(requests: int, said: str) -> None:
    program = _START.format(requests=requests)
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.stdout.strip(), ended.stderr) == (said, "")

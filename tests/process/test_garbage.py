"""Collections of garbage during the start, and after it."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from app.process.garbage import uncollected

ROOT = Path(__file__).parents[2]
_START = """
import gc
from app.process.garbage import collect_less_often, uncollected

collections = []
gc.callbacks.append(lambda phase, _: collections.append(phase))
with uncollected():
    kept = [[] for _ in range(100_000)]
    assert not collections
    assert not gc.isenabled()
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000
more = [[] for _ in range(1_000)]
before = gc.get_freeze_count()
collect_less_often()
assert collections == ["start", "stop"]
assert gc.get_freeze_count() >= before + 1_000
young, middle, old = gc.get_threshold()
# what a collection of the middle generation covers: a larger one would delay all streams
assert young * (middle + 1) <= 10_000
assert old == 1000
"""


def test_what_the_start_builds_is_never_collected() -> None:
    ended = subprocess.run([sys.executable, "-c", _START], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_collections_go_on_after_a_failure() -> None:
    with pytest.raises(ValueError, match="of the start"), uncollected():
        raise ValueError("of the start")
    assert gc.isenabled()

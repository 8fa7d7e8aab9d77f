"""The length of the path of a chat request: a reader follows it through few functions and files."""

import re
import subprocess
import sys

import pytest

from tests.programs import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.loopback]


@pytest.mark.parametrize("model", ["scripted.echo-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"])
def test_the_path_of_a_chat_request_stays_short(model: str) -> None:
    command = [sys.executable, "-m", "benchmarks.request_path", "--model", model]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=50)
    found = re.findall(r"(\w+): (\d+) functions, (\d+) files, (\d+) hops", ended.stdout)
    lengths = {title: tuple(map(int, counts)) for title, *counts in found}
    assert lengths.keys() == {"complete", "streamed"}
    for title, bounds in {"complete": (150, 35, 100), "streamed": (170, 40, 130)}.items():
        assert all(count <= bound for count, bound in zip(lengths[title], bounds, strict=True)), lengths

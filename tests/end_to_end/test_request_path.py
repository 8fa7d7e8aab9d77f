"""The length of the path of a chat request: a reader follows it through few functions and files."""

import os
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


def functions_run(toml: str) -> set[tuple[str, str]]:
    """Return the functions that a complete chat request runs, with their files."""
    command = [sys.executable, "-m", "benchmarks.request_path", "--list"]
    environment = {**os.environ, "CONFIG_TOML": toml}
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=50, env=environment)
    found, file = set(), ""
    for line in ended.stdout.partition("\nstreamed: ")[0].splitlines()[1:]:
        if line.startswith("    "):
            found.add((file, line.strip().rpartition(":")[0]))
        else:
            file = line
    return found


def without_the_time(functions: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leave out what runs once a second, and the transport, whose reads wait or not."""
    once_a_second = {("bedrock/signing.py", "_timestamp"), ("observability/logs.py", "_moment")}
    return {each for each in functions - once_a_second if not each[0].startswith("bedrock/http1/")}


def test_without_a_quota_a_request_runs_nothing_of_quotas() -> None:
    """A quota of another model costs the search for it; the model's own one adds functions and replaces none."""
    plain = functions_run("")
    other = functions_run('[quotas."us.amazon.nova-pro-v1:0"]\ntokens_per_minute = 1000\n')
    own = functions_run('[quotas."scripted.echo-v1:0"]\ntokens_per_minute = 1000000\n')
    assert not [each for each in plain if "quota" in "".join(each).lower()]
    assert without_the_time(other - plain) == {("execution/quota_attempt.py", "QuotaAttempt.__call__")}
    assert without_the_time(plain - own) == set()
    assert ("governance/quotas/pool.py", "QuotaPool.acquire_now") in own

"""schemathesis over the whole OpenAPI document: no 5xx of ours, and no status that is not documented."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.servers import KEY, emulator_app, gateway, serving

pytestmark = [pytest.mark.endurance, pytest.mark.loopback, pytest.mark.timeout(0)]

PROGRAM = Path(__file__).parents[2] / ".venv-schemathesis/bin/schemathesis"


def test_no_document_is_a_crash_and_no_status_a_surprise() -> None:
    with serving(emulator_app()) as upstream, gateway(upstream, breaker_failures=0) as base:
        command = [PROGRAM, "run", f"{base}/openapi.json", "-H", f"Authorization: Bearer {KEY}", "-w", "2", "-n", "60"]
        options = ["--generation-deterministic", "-c", "not_a_server_error,status_code_conformance", "--no-color"]
        ran = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    said = [line[:300] for line in ran.stdout.splitlines()]
    print("\n".join(said[-25:]))
    assert ran.returncode == 0
    (count,) = re.findall(r"(\d+) generated, \1 passed", ran.stdout)
    assert int(count) >= 2000

"""schemathesis sends requests generated from the OpenAPI document."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.servers import KEY, emulator_app, gateway, serving

pytestmark = [pytest.mark.soak, pytest.mark.loopback, pytest.mark.timeout(0)]

PROGRAM = Path(__file__).parents[2] / ".venv-schemathesis/bin/schemathesis"


def test_generated_requests_get_only_documented_statuses_and_no_5xx() -> None:
    with serving(emulator_app()) as upstream, gateway(upstream, breaker_failures=0) as base:
        command = [PROGRAM, "run", f"{base}/openapi.json", "-H", f"Authorization: Bearer {KEY}", "-w", "2", "-n", "60"]
        options = ["--generation-deterministic", "-c", "not_a_server_error,status_code_conformance", "--no-color"]
        ran = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    lines = [line[:300] for line in ran.stdout.splitlines()]
    print("\n".join(lines[-25:]))
    assert ran.returncode == 0
    (count,) = re.findall(r"(\d+) generated, \1 passed", ran.stdout)
    assert int(count) >= 2000

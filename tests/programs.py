"""Runs the programs of this project as processes."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from app.emulator.keys import ACCESS_KEY, SECRET_KEY

ROOT = Path(__file__).parents[1]
# the checkout whose gateway the tests of this one run: shows that a test fails without a change
CHECKOUT = Path(os.environ.get("OUTCROP_CHECKOUT", ROOT))
GOOD = {"AWS_REGION": "us-east-1", "BEDROCK_MODEL_ID": "scripted.echo-v1:0", "API_KEYS": "dev=secret-of-a-developer"}


def environment(**settings: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG") or name.startswith("COVERAGE")
    }
    return {
        **kept,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        **settings,
    }


def folder_of(module: str) -> Path:
    """Return the checkout in which a module is run. The embedded Bedrock is always that of the tests."""
    return CHECKOUT if module == "app" else ROOT


def run(*arguments: str, timeout: float = 60, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment(**settings),
        cwd=folder_of(arguments[0]),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@contextlib.contextmanager
def running(*arguments: str, url: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=environment(**settings),
        cwd=folder_of(arguments[0]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(url, process)
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def wait_for(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url)
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("the process did not start")


def aws(upstream: str) -> dict[str, str]:
    return {**GOOD, "AWS_ENDPOINT_URL": upstream, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}

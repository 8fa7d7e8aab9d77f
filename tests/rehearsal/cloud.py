"""Emulates AWS on this machine: ministack, containers in podman, and an embedded Bedrock."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
ACCOUNT = "000000000000"
REGION = "us-east-1"
REGISTRY_NAME = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
BEDROCK_PORT = 9000
BEDROCK_NAME = "outcrop-rehearsal-bedrock"


@dataclass(frozen=True)
class Cloud:
    """A running emulation. endpoint: URL of AWS. bedrock: URL of Bedrock for containers."""

    endpoint: str
    bedrock: str

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which a program uses it as AWS."""
        return {
            "AWS_ACCESS_KEY_ID": "rehearsal",
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="rehearsal",
            aws_secret_access_key="rehearsal",
            config=Config(retries={"max_attempts": 1}),
        )


def podman_options() -> list[str]:
    """Return the options that podman needs without cgroup v2, as in many containers."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return []
    return ["--runtime", "/usr/sbin/runc", "--cgroup-manager", "cgroupfs"]


def podman(*arguments: str, check: bool = True) -> str:
    """Run podman; return its output."""
    ended = subprocess.run(
        ["podman", *podman_options(), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    if check and ended.returncode:
        raise RuntimeError(f"podman {arguments[0]}: {ended.stderr.strip()}")
    return ended.stdout.strip()


def bridge_address() -> str:
    """Return the address at which containers reach this machine."""
    return podman("network", "inspect", "podman", "--format", "{{(index .Subnets 0).Gateway}}")


@contextlib.contextmanager
def running_cloud(image: str, folder: Path) -> Iterator[Cloud]:
    """Start everything, and stop it at the end. `image` contains the embedded Bedrock."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        # resolves the name of the registry to this machine, as DNS does on AWS
        registries = folder / "registries.conf"
        registries.write_text(
            "unqualified-search-registries = []\n"
            + "".join(
                f'[[registry]]\nprefix = "{prefix}"\nlocation = "127.0.0.1:{port}"\ninsecure = true\n'
                for prefix in (f"127.0.0.1:{port}", REGISTRY_NAME)
            )
        )
        socket = folder / "podman.sock"
        service = ["podman", *podman_options(), "system", "service", "--time", "0", f"unix://{socket}"]
        stack.enter_context(_process(service, folder / "podman.log", {"CONTAINERS_REGISTRIES_CONF": str(registries)}))
        _wait(socket.exists, "podman's socket")
        stack.callback(_remove_containers)
        bedrock = _start_bedrock(image)
        launcher = [str(ROOT / ".venv-ministack/bin/python"), str(Path(__file__).with_name("ministack_launcher.py"))]
        settings = {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": "localhost",
            "PERSIST_STATE": "0",
            "DOCKER_HOST": f"unix://{socket}",
            "SCAN_FINDINGS": str(folder / "findings.json"),
        }
        stack.enter_context(_process(launcher, folder / "ministack.log", settings))
        _wait(lambda: _answers(f"{endpoint}/_ministack/health"), "ministack")
        yield Cloud(endpoint, bedrock)


def _start_bedrock(image: str) -> str:
    command = ["-m", "app.emulator", "--host", "0.0.0.0", "--port", str(BEDROCK_PORT), "--scripted"]
    keys = ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY]
    entrypoint = json.dumps(["/bin/python3"])
    podman("rm", "--force", BEDROCK_NAME, check=False)
    podman("run", "--detach", "--name", BEDROCK_NAME, "--entrypoint", entrypoint, image, *command, *keys)
    address = podman("inspect", "--format", "{{.NetworkSettings.IPAddress}}", BEDROCK_NAME)
    url = f"http://{address}:{BEDROCK_PORT}"
    _wait(lambda: _answers(url), "the embedded Bedrock")
    return url


def _remove_containers() -> None:
    podman("rm", "--force", BEDROCK_NAME, check=False)
    names = podman("ps", "--all", "--filter", "name=ministack-ecs-", "--format", "{{.Names}}", check=False)
    for name in names.split():
        podman("rm", "--force", "--time", "1", name, check=False)


@contextlib.contextmanager
def _process(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("w") as out:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    sys.exit(f"{what} did not start within 30 s")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False

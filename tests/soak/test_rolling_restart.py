"""Restarts two gateways behind nginx in turn, while clients send requests."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.emulator.keys import ACCESS_KEY, SECRET_KEY
from tests.rehearsal.traffic import Traffic
from tests.servers import free_port, process

pytestmark = [pytest.mark.soak, pytest.mark.loopback, pytest.mark.timeout(0)]

KEY = "rolling-secret-of-24"
ROUNDS = 3
# nginx counts whole seconds: after a refused connection, and `fail_timeout=1s`, it tries a server again within two
PAUSE_SECONDS = 2.5
CONFIGURATION = """
daemon off; pid {folder}/nginx.pid; error_log stderr warn; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream gateway {{ server 127.0.0.1:{first} max_fails=1 fail_timeout=1s; server 127.0.0.1:{second} max_fails=1 fail_timeout=1s; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""


class Gateway:
    """A gateway process on a fixed port."""

    def __init__(self, port: int, upstream: str) -> None:
        self._port = port
        self._settings = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": upstream,
            "BEDROCK_MODEL_ID": "scripted.echo-v1:0",
            "API_KEYS": f"rolling={KEY}",
            "PORT": str(port),
        }

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        command = [sys.executable, "-m", "app"]
        self._process = subprocess.Popen(command, env=self._settings, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/ready", timeout=5):
                    return
            time.sleep(0.05)
        raise AssertionError("the gateway is not ready")

    def stop(self) -> int:
        """Send SIGTERM, as an orchestrator does, and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)


@pytest.fixture
def gateways() -> Iterator[tuple[Gateway, Gateway, str]]:
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    ports = free_port(), free_port(), free_port(), free_port()
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"rolling-{os.getpid()}"
    folder.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, first=ports[0], second=ports[1], port=ports[2]))
    with process("app.emulator", "--scripted", "--port", str(ports[3]), path="/", port=ports[3]) as upstream:
        first, second = Gateway(ports[0], upstream), Gateway(ports[1], upstream)
        first.start()
        second.start()
        running = subprocess.Popen([nginx, "-c", configuration], stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield first, second, f"http://127.0.0.1:{ports[2]}"
        finally:
            running.terminate()
            running.wait(10)
            for each in (first, second):
                each.stop()
            shutil.rmtree(folder)


def test_rolling_restart_loses_no_request(gateways: tuple[Gateway, Gateway, str]) -> None:
    first, second, url = gateways
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Traffic(url, KEY)) for _ in range(4)]
        for _ in range(ROUNDS):
            for each in (first, second):
                time.sleep(PAUSE_SECONDS)
                assert each.stop() == 0
                each.start()
        time.sleep(1)
    sent = sum(client.sent for client in clients)
    lost = [fault for client in clients for fault in client.lost]
    print(f"{sent} requests through {2 * ROUNDS} restarts, slowest {max(client.slowest for client in clients):.2f} s")
    assert lost == []
    assert sent > 500

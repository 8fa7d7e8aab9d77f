"""The pages `/docs` and `/redoc` in a headless Chromium that has no way out, only in `./run_tests.sh clients`."""

import html
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.npm, pytest.mark.timeout(150)]

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")


@contextmanager
def recording_proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that connects to nothing. Yields its address and the first line of each request that reaches it."""
    lines: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines.append(self.rfile.readline())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", lines
        server.shutdown()


def rendered(url: str, folder: Path, proxy: str) -> str:
    """Return the text of the page's elements after its scripts have run. Chromium uses no proxy for loopback."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert browser, "run_tests.sh clients needs Chromium: run apt-get install chromium-headless-shell"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    options += [f"--user-data-dir={folder}", f"--proxy-server={proxy}", "--virtual-time-budget=20000", "--dump-dom"]
    ended = subprocess.run([browser, *options, url], capture_output=True, text=True, timeout=120, check=True)
    return html.unescape(ended.stdout)


@pytest.mark.parametrize("page", ["docs", "redoc"])
def test_page_shows_every_operation_and_no_request_leaves(gateway_url: str, tmp_path: Path, page: str) -> None:
    document: Any = httpx.get(f"{gateway_url}/openapi.json", timeout=30).json()
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    with recording_proxy() as (proxy, lines):
        shown = rendered(f"{gateway_url}/{page}", tmp_path, proxy)
    assert [each["summary"] for each in operations if each["summary"] not in shown] == []
    assert lines == []

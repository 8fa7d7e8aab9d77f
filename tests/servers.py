"""Servers on free ports, for tests: ASGI applications in threads, processes, and raw TCP upstreams."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import uvicorn

from app.config.settings import Settings
from app.emulator.auth import Authenticator
from app.emulator.keys import ACCESS_KEY, BEARER, SECRET_KEY
from app.emulator.server import Emulator
from app.main import create_app
from app.server.protocol import GuardedProtocol
from tests.programs import CHECKOUT, ROOT, folder_of

KEY = "test-key-of-24-letters"
KEY_NAME = "tests"
# port of the discard protocol: nothing listens on it, and no other test can be assigned it as a free port
CLOSED_PORT = 9
NOWHERE = f"http://127.0.0.1:{CLOSED_PORT}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Server(uvicorn.Server):
    """uvicorn's server, stopped by an event. uvicorn polls every 100 ms, which adds a minute to a run of the tests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.is_ready.set()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    async def main_loop(self) -> None:
        while not self._stop.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0.005)
        try:
            await asyncio.wait_for(self._wait_tasks_to_complete(), self.config.timeout_graceful_shutdown)
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()
        await self.lifespan.shutdown()


class ImmediateShutdownProtocol(GuardedProtocol):
    """On shutdown, closes connections without a request at once."""

    drain_seconds = 0.0


@contextlib.contextmanager
def serving(application: Any, **options: Any) -> Iterator[str]:
    """Serve an ASGI application in a thread; yield its base URL."""
    settings = {
        "port": 0,
        "log_config": None,
        "access_log": False,
        "timeout_graceful_shutdown": 1,
        "ws": "none",
        **options,
    }
    server = _Server(uvicorn.Config(application, proxy_headers=False, **settings))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.is_ready.wait(0.05):
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the server did not start")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()
        thread.join(60)


def emulator_app() -> Emulator:
    return Emulator(Authenticator({ACCESS_KEY: SECRET_KEY}, frozenset({BEARER})))


def gateway_settings(upstream: str, **changes: Any) -> Settings:
    return Settings(**_gateway_values(upstream, **changes))


def _gateway_values(upstream: str, **changes: Any) -> dict[str, Any]:
    return {
        "aws_region": "us-east-1",
        "bedrock_model_id": "scripted.echo-v1:0",
        "api_keys": f"{KEY_NAME}={KEY}",
        "aws_endpoint_url": upstream,
        "bedrock_retry_max_wait": 0.05,
        **changes,
    }


@contextlib.contextmanager
def gateway(
    upstream: str, observer: Any = None, http: Any = ImmediateShutdownProtocol, **changes: Any
) -> Iterator[str]:
    """Run a gateway in front of `upstream`, with AWS credentials that the embedded Bedrock accepts; yield its base URL.

    That of another checkout is a process, for which `observer` and `http` have no effect.
    """
    from unittest import mock

    credentials: dict[str, Any] = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    if CHECKOUT != ROOT:
        port, values = free_port(), _gateway_values(upstream, **changes)
        variables: dict[str, Any] = {name.upper(): str(value) for name, value in values.items() if value is not None}
        with process("app", path="/health", port=port, **variables, **credentials, PORT=str(port)) as url:
            _wait_for_credentials(url)
            yield url
        return
    with (
        mock.patch.dict(os.environ, credentials),
        serving(create_app(gateway_settings(upstream, **changes), observer), http=http) as url,
    ):
        _wait_for_credentials(url)
        yield url


def _wait_for_credentials(url: str) -> None:
    """Wait until the credentials are resolved, while the environment holds them."""
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=60):
                return
        except urllib.error.HTTPError as error:
            with error:
                if b"credentials" not in error.read():
                    return
        time.sleep(0.005)


@contextlib.contextmanager
def process(
    module: str, *arguments: str, path: str, port: int, is_killed: bool = False, **environment: str
) -> Iterator[str]:
    """Run a module of this project as a process; yield its base URL once `path` returns a response.

    is_killed: it ends by SIGKILL, and not by SIGTERM.
    """
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-m", module, *arguments]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command,
        cwd=folder_of(module),
        env={**known, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                try:
                    with urllib.request.urlopen(url + path, timeout=20):
                        break
                except urllib.error.HTTPError as error:
                    error.close()
                    break
                except OSError:
                    pass
                time.sleep(0.05)
            yield url
        finally:
            (running.kill if is_killed else running.terminate)()
            running.wait(60)


Connection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.contextmanager
def upstream(handle: Connection) -> Iterator[str]:
    """Run a raw TCP server that handles each connection with `handle`; yield its base URL."""
    ready: threading.Event = threading.Event()
    state: dict[str, Any] = {}

    async def run() -> None:
        stop = asyncio.Event()
        server = await asyncio.start_server(_without_connection_errors(handle), "127.0.0.1", 0)
        state.update(loop=asyncio.get_running_loop(), stop=stop, port=server.sockets[0].getsockname()[1])
        ready.set()
        async with server:
            await stop.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    ready.wait(60)
    try:
        yield f"http://127.0.0.1:{state['port']}"
    finally:
        state["loop"].call_soon_threadsafe(state["stop"].set)
        thread.join(60)


def _without_connection_errors(handle: Connection) -> Connection:
    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await handle(reader, writer)
        finally:
            writer.close()

    return run


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one HTTP request; return its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head, await reader.readexactly(length)


def http_reply(body: bytes, status: str = "200 OK", content_type: str = "application/json", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


CHUNKED_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextlib.contextmanager
def recording_server(status: int, **headers: str) -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """Answer every request alike, without a body; yields the URL, and the path, headers and body of each request."""
    received: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            received.append((self.path, dict(self.headers), body))
            self.send_response(status)
            for name, value in {"content-length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()


class HoldingBedrock:
    """An upstream that holds every response until `may_answer` is set. `received` is released once for each request."""

    REPLY = http_reply(
        b'{"output":{"message":{"role":"assistant","content":[{"text":"late"}]}},"stopReason":"end_turn",'
        b'"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}'
    )

    def __init__(self) -> None:
        self.received = threading.Semaphore(0)
        self.may_answer = threading.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        await read_request(reader)
        self.received.release()
        while not self.may_answer.is_set():
            await asyncio.sleep(0.005)
        writer.write(self.REPLY)
        await writer.drain()

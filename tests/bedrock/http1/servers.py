"""Servers inside the test's own event loop, and the outcomes of requests."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from app.bedrock.transport import Headers, HttpRequest, Transport
from app.errors import GatewayError
from tests.servers import read_request
from tests.stream_helpers import pieces_of

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serve(handle: Handle, host: str = "127.0.0.1", **options: ssl.SSLContext | int) -> AsyncIterator[int]:
    """Serve connections; yields the port, and closes every connection in the end."""
    handling: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            handling.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await handle(reader, writer)
        finally:
            writer.close()

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)  # the default would buffer megabytes
    listener.bind((host, 0))
    server = await asyncio.start_server(run, sock=listener, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
        await asyncio.sleep(0)  # asyncio closes a socket one iteration later


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """Yield a port that is listened on but accepts no connection: its backlog is full."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(full.getsockname())
        yield full.getsockname()[1]


class Counting:
    """Handles connections as `handle` does, and counts them."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.connections = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        self.connections += 1
        await self._handle(reader, writer)


def saying(*answers: bytes, then_close: bool = False) -> Handle:
    """Answer each request of a connection with the next of `answers`, the last again and again."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(1000):
            await read_request(reader)
            writer.write(answers[min(number, len(answers) - 1)])
            await writer.drain()
            if then_close:
                return

    return handle


@dataclass
class Outcome:
    """The outcome of a request."""

    status: int = 0
    headers: Headers = ()
    body: bytes = b""
    error: str = ""


async def outcome(transport: Transport, request: HttpRequest, *, in_chunks: bool = False) -> Outcome:
    """Send, and read to the end."""
    try:
        response = await transport.open(request)
    except GatewayError as error:
        return Outcome(error=error.kind)
    found = Outcome(response.status, response.headers)
    try:
        if in_chunks:
            async for data in pieces_of(response):
                found.body += data
        else:
            found.body = await response.read()
    except GatewayError as error:
        found.error = error.kind
    finally:
        response.close()
    return found


def get(port: int, path: str = "/x", **headers: str) -> HttpRequest:
    return HttpRequest("GET", f"http://127.0.0.1:{port}{path}", [*headers.items()], b"")


def post(port: int, body: bytes = b"{}", path: str = "/x") -> HttpRequest:
    return HttpRequest("POST", f"http://127.0.0.1:{port}{path}", [("content-type", "application/json")], body)

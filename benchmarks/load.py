"""A cheap load generator: it sends prepared bytes, and parses only what it needs of a response."""

import asyncio
import re
import time
from dataclasses import dataclass, field

from app.wire import json

_SENT_AT = re.compile(rb'"(\d{12,}) "')


@dataclass(frozen=True, slots=True)
class Call:
    """A request, as bytes. end: bytes in the last chunk of a streaming response; empty for a complete response."""

    head: bytes
    body: bytes
    end: bytes = b""

    @property
    def wire(self) -> bytes:
        """The bytes of the request."""
        return self.head + self.body


def call(port: int, path: str, document: object, key: str, end: bytes = b"") -> Call:
    """Prepare a request with a JSON body."""
    body = json.dumps(document)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return Call(head.encode(), body, end)


@dataclass(slots=True)
class Answer:
    """The result of a request. first, last: seconds until the first and the last byte of the response."""

    is_good: bool
    first: float
    last: float
    delays: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)


class Caller(asyncio.Protocol):
    """A connection with one request at a time. It parses the chunks of streaming responses only."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] | None = None
        self._received = bytearray()

    @classmethod
    async def connect(cls, port: int) -> "Caller":
        """Open a connection."""
        _, caller = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return caller

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request, because the server closed the connection."""
        del exc
        self._finish()

    async def send(self, made: Call) -> Answer:
        """Send a request, and wait until its response is complete."""
        self._call, self._expected_length, self._first = made, 0, 0.0
        self._delays: list[float] = []
        self._gaps: list[float] = []
        self._last_arrival = 0
        self._received.clear()
        self._is_complete = False
        self._done = self._loop.create_future()
        started = time.perf_counter()
        self._transport.write(made.wire)  # type: ignore[attr-defined]
        await self._done
        last = time.perf_counter()
        is_good = self._is_complete and self._received.startswith(b"HTTP/1.1 200")
        return Answer(is_good, (self._first or last) - started, last - started, self._delays, self._gaps)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Read a piece of the response."""
        if not self._first:
            self._first = time.perf_counter()
        if self._call.end:
            self._read_stream(data)
            return
        self._received += data
        if not self._expected_length:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            index = self._received.lower().find(b"content-length:")
            self._expected_length = end + 4 + int(self._received[index + 15 : self._received.find(b"\r\n", index)])
        if len(self._received) >= self._expected_length:
            self._is_complete = True
            self._finish()

    def _read_stream(self, data: bytes) -> None:
        now = time.monotonic_ns()
        for sent in _SENT_AT.findall(data):
            self._delays.append((now - int(sent)) / 1e9)
        if self._last_arrival:
            self._gaps.append((now - self._last_arrival) / 1e9)
        self._last_arrival = now
        if not self._received:
            self._received += data[:64]
        if self._call.end in data:
            self._is_complete = True
        if self._is_complete and data.endswith(b"0\r\n\r\n"):
            self._finish()

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


async def repeat(made: Call, port: int, callers: int, total: int) -> list[Answer]:
    """Send `total` requests on `callers` connections."""
    left = total
    answers: list[Answer] = []

    async def work(caller: Caller) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            answers.append(await caller.send(made))

    each = [await Caller.connect(port) for _ in range(callers)]
    await asyncio.gather(*(work(caller) for caller in each))
    for caller in each:
        caller.close()
    return answers


async def paced(made: Call, port: int, rate: float, total: int) -> list[Answer]:
    """Send `total` requests on one connection, at most `rate` of them in a second."""
    caller, answers = await Caller.connect(port), []
    for _ in range(total):
        began = time.perf_counter()
        answers.append(await caller.send(made))
        await asyncio.sleep(max(began + 1 / rate - time.perf_counter(), 0.0))
    caller.close()
    return answers


async def at_once(made: Call, port: int, count: int, spread: float = 0.0) -> list[Answer]:
    """Send `count` requests at the same time, started evenly within `spread` seconds."""

    async def one(number: int) -> Answer:
        await asyncio.sleep(spread * number / count)
        caller = await Caller.connect(port)
        try:
            return await caller.send(made)
        finally:
            caller.close()

    return list(await asyncio.gather(*(one(number) for number in range(count))))


def percentile(values: list[float], fraction: float) -> float:
    """Return the value that a fraction of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * fraction), len(ordered) - 1)]

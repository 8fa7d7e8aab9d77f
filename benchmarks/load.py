"""Callers that cost next to nothing: they write bytes that were made before, and look for no more than they must."""

import asyncio
import re
import time
from dataclasses import dataclass, field

from app.wire import json

_SENT_AT = re.compile(rb'"(\d{12,}) "')


@dataclass(frozen=True, slots=True)
class Call:
    """A request, as bytes. end: what the last bytes of its answer are, where it is a stream."""

    head: bytes
    body: bytes
    end: bytes = b""

    @property
    def wire(self) -> bytes:
        """All of it."""
        return self.head + self.body


def call(port: int, path: str, document: object, key: str, end: bytes = b"") -> Call:
    """A request with a JSON body."""
    body = json.dumps(document)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return Call(head.encode(), body, end)


@dataclass(slots=True)
class Answer:
    """What came of a request: seconds from its first byte to the first and the last of the answer's."""

    is_good: bool
    first: float
    last: float
    delays: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)


class Caller(asyncio.Protocol):
    """One connection, one request at a time. Unless it is told to listen, it only counts bytes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] | None = None
        self._heard = bytearray()

    @classmethod
    async def connect(cls, port: int) -> "Caller":
        """A caller that is connected."""
        _, caller = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return caller

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has hung up, or broken off."""
        del exc
        self._finish()

    async def ask(self, made: Call) -> Answer:
        """Send a request, and wait for its whole answer."""
        self._call, self._wanted, self._first = made, 0, 0.0
        self._delays: list[float] = []
        self._gaps: list[float] = []
        self._came = 0
        self._heard.clear()
        self._is_whole = False
        self._done = self._loop.create_future()
        started = time.perf_counter()
        self._transport.write(made.wire)  # type: ignore[attr-defined]
        await self._done
        last = time.perf_counter()
        is_good = self._is_whole and self._heard.startswith(b"HTTP/1.1 200")
        return Answer(is_good, (self._first or last) - started, last - started, self._delays, self._gaps)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """A piece of the answer."""
        if not self._first:
            self._first = time.perf_counter()
        if self._call.end:
            self._listen(data)
            return
        self._heard += data
        if not self._wanted:
            end = self._heard.find(b"\r\n\r\n")
            if end < 0:
                return
            index = self._heard.lower().find(b"content-length:")
            self._wanted = end + 4 + int(self._heard[index + 15 : self._heard.find(b"\r\n", index)])
        if len(self._heard) >= self._wanted:
            self._is_whole = True
            self._finish()

    def _listen(self, data: bytes) -> None:
        now = time.monotonic_ns()
        for sent in _SENT_AT.findall(data):
            self._delays.append((now - int(sent)) / 1e9)
        if self._came:
            self._gaps.append((now - self._came) / 1e9)
        self._came = now
        if not self._heard:
            self._heard += data[:64]
        if self._call.end in data:
            self._is_whole = True
        if self._is_whole and data.endswith(b"0\r\n\r\n"):
            self._finish()

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


async def repeat(made: Call, port: int, callers: int, total: int) -> list[Answer]:
    """So many requests, by so many callers, each with a connection of its own."""
    left = total
    answers: list[Answer] = []

    async def work(caller: Caller) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            answers.append(await caller.ask(made))

    each = [await Caller.connect(port) for _ in range(callers)]
    await asyncio.gather(*(work(caller) for caller in each))
    for caller in each:
        caller.close()
    return answers


async def at_once(made: Call, port: int, count: int, spread: float = 0.0) -> list[Answer]:
    """So many requests at once, begun within so many seconds."""

    async def one(number: int) -> Answer:
        await asyncio.sleep(spread * number / count)
        caller = await Caller.connect(port)
        try:
            return await caller.ask(made)
        finally:
            caller.close()

    return list(await asyncio.gather(*(one(number) for number in range(count))))


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

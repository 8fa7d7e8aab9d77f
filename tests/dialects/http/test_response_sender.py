"""Streams are written at once where the server can, and else as fast as the caller reads."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.dialects.http.response_sender import EventConnection, ResponseSender
from app.dialects.http.responses import CompleteResponse, StreamingResponse
from app.dialects.openai.common.errors import render_error
from app.errors import (
    AuthenticationFailed,
    GatewayBusy,
    GatewayError,
    NotFound,
    PermissionRefused,
    SignatureRefused,
    UpstreamFailed,
)
from app.governance import held_bytes
from app.governance.held_bytes import ByteLimit, HeldBytes
from app.observability.observer import RequestRecord


class Source:
    """Delivers batches; raises one that is an error."""

    def __init__(self, *batches: Any) -> None:
        self.left = iter(batches)
        self.is_closed = False

    async def deliver(self, take: Callable[[Any], bool]) -> bool:
        for batch in self.left:
            if isinstance(batch, Exception):
                raise batch
            if not take(batch):
                return False
        return True

    def close(self) -> None:
        self.is_closed = True


def connection_of() -> EventConnection:
    async def receive() -> Any:
        raise AssertionError

    return EventConnection(receive)


class Server:
    """Records what is sent: as messages, and by `write`, which accepts `limit` pieces in a row."""

    def __init__(self, limit: float = 9) -> None:
        self.said: list[Any] = []
        self.limit = limit
        self.gaps: list[float] = []

    async def send(self, message: Any) -> None:
        self.said.append(message.get("status", message.get("body")))

    def write(self, data: bytes) -> bool:
        self.said.append(f"at once: {data.decode()}")
        return sum(isinstance(each, str) for each in self.said) % self.limit != 0

    def sender(self, *, writes: bool) -> ResponseSender:
        connection: Any = connection_of()
        connection.write_piece = self.write if writes else None
        record = RequestRecord("r", "POST")
        return ResponseSender(self.send, record, render_error, 0.0, self.gaps.append, connection)


def translate(batch: bytes) -> tuple[bytes, GatewayError | None]:
    """Translate a batch; its part after a `!` is malformed."""
    said, bad, _ = batch.partition(b"!")
    return said, UpstreamFailed("no sense") if bad else None


def streamed(received: Source, last: bytes = b"last") -> StreamingResponse:
    async def finish() -> bytes:
        return last

    return StreamingResponse(200, (), received, translate, finish, lambda error: error.kind.encode())


async def sent(server: Server, received: Source, *, writes: bool = True) -> list[Any]:
    """Return what is sent, the end after an error included."""
    sender = server.sender(writes=writes)
    try:
        await sender.send_stream(streamed(received))
    except GatewayError as error:
        await sender.send_error(error)
    assert received.is_closed
    assert sender.is_done
    return server.said


async def test_later_pieces_are_written_at_once() -> None:
    server = Server()
    assert await sent(server, Source(b"a", b"b", b"c")) == [200, b"a", "at once: b", "at once: c", b"last"]
    assert len(server.gaps) == 3


async def test_empty_end_is_not_counted_as_a_gap() -> None:
    server = Server()
    await server.sender(writes=True).send_stream(streamed(Source(b"a", b"b", b"c"), b""))
    assert len(server.gaps) == 2


async def test_slow_caller_is_awaited() -> None:
    found = await sent(Server(2), Source(b"a", b"b", b"c", b"d"))
    assert found == [200, b"a", "at once: b", "at once: c", b"", "at once: d", b"last"]


async def test_streams_of_one_caller_with_large_pieces_take_turns() -> None:
    """Forty streams at full speed delayed the requests of other callers by a second."""
    servers = [Server() for _ in range(20)]
    tasks = [asyncio.create_task(sent(server, Source(*[b"x" * 100_000] * 5))) for server in servers]
    await asyncio.sleep(0)
    for _ in range(10):  # iterations of the event loop
        before = sum(len(server.said) for server in servers)
        await asyncio.sleep(0)
        assert sum(len(server.said) for server in servers) - before <= 5
    for server in await asyncio.gather(*tasks):
        assert len([each for each in server if each]) == 7


async def test_complete_responses_count_while_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_bytes, "_WAIT_SECONDS", 0.0)
    limits, may_send = ByteLimit(100_000), asyncio.Event()
    response = CompleteResponse(200, (), b"x" * 60_000)

    async def send(_: Any) -> None:
        await may_send.wait()

    def sender() -> ResponseSender:
        record = RequestRecord("r", "POST")
        return ResponseSender(
            send, record, render_error, 0.0, float, connection_of(), response_bytes=HeldBytes(limits, "a")
        )

    first = asyncio.create_task(sender().send_complete(response))
    await asyncio.sleep(0)
    with pytest.raises(GatewayBusy):
        await sender().send_complete(response)
    may_send.set()
    await first
    await sender().send_complete(CompleteResponse(200, (), b"x" * 10_000))


async def test_without_write_each_piece_is_a_message() -> None:
    assert await sent(Server(), Source(b"a", b"", b"b"), writes=False) == [200, b"a", b"b", b"last"]


@pytest.mark.parametrize("batches", [(), (b"",), (b"", b"")])
async def test_empty_stream_has_a_head_and_an_end(batches: tuple[bytes, ...]) -> None:
    assert await sent(Server(), Source(*batches)) == [200, b"last"]


@pytest.mark.parametrize("writes", [True, False])
async def test_error_is_sent_after_the_pieces_before_it(*, writes: bool) -> None:
    kind = UpstreamFailed("x").kind.encode()
    assert await sent(Server(), Source(b"a!", b"b"), writes=writes) == [200, b"a", kind]
    second = "at once: b" if writes else b"b"
    found = await sent(Server(), Source(b"a", b"b!", b"c"), writes=writes)
    assert [each for each in found if each != b""] == [200, b"a", second, kind]


@pytest.mark.parametrize("batches", [(UpstreamFailed("x"),), (b"", UpstreamFailed("x")), (b"!", b"b")])
async def test_error_before_the_first_bytes_has_its_own_status(batches: tuple[Any, ...]) -> None:
    status, body = await sent(Server(), Source(*batches))
    assert status == 502
    assert b"error" in body


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (AuthenticationFailed("incorrect API key"), "false"),
        (SignatureRefused("wrong"), "false"),
        (PermissionRefused("not allowed"), "false"),
        (UpstreamFailed("broken", is_final=True), "false"),
        (UpstreamFailed("broken"), None),
        (NotFound("no such model", is_final=True), None),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_final_errors_tell_sdks_not_to_retry(error: GatewayError, advice: str | None) -> None:
    started: list[Any] = []

    async def send(message: Any) -> None:
        started.append(message)

    record = RequestRecord("r", "POST")
    await ResponseSender(send, record, render_error, 0.0, lambda _: None, connection_of()).send_error(error)
    headers = {name.decode(): value.decode() for name, value in started[0]["headers"]}
    assert headers.get("x-should-retry") == advice

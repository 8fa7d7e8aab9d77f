"""Streams on their way out: at once where the server can, and else as whoever takes them lets them."""

from collections.abc import Callable
from typing import Any

import pytest

from app.dialects.http.response_sender import ResponseSender
from app.dialects.http.responses import StreamingResponse
from app.dialects.openai.common.errors import render_error
from app.errors import (
    AuthenticationFailed,
    GatewayError,
    NotFound,
    PermissionRefused,
    SignatureRefused,
    UpstreamFailed,
)
from app.observability.observer import RequestRecord


class Heard:
    """Pours batches; one that is an error is raised."""

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


class Server:
    """What goes out: by messages, and in between by what is written at once, of which it takes so much in a row."""

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
        write = self.write if writes else None
        return ResponseSender(self.send, RequestRecord("r", "POST"), render_error, 0.0, self.gaps.append, write)


def translate(batch: bytes) -> tuple[bytes, GatewayError | None]:
    """What stands before a `!` makes sense."""
    said, bad, _ = batch.partition(b"!")
    return said, UpstreamFailed("no sense") if bad else None


def streamed(received: Heard, last: bytes = b"last") -> StreamingResponse:
    async def finish() -> bytes:
        return last

    return StreamingResponse(200, (), received, translate, finish, lambda error: error.kind.encode())


async def sent(server: Server, received: Heard, *, writes: bool = True) -> list[Any]:
    """What goes out, the end of what broke included."""
    sender = server.sender(writes=writes)
    try:
        await sender.send_stream(streamed(received))
    except GatewayError as error:
        await sender.send_error(error)
    assert received.is_closed
    assert sender.is_done
    return server.said


async def test_what_comes_later_goes_out_at_once() -> None:
    server = Server()
    assert await sent(server, Heard(b"a", b"b", b"c")) == [200, b"a", "at once: b", "at once: c", b"last"]
    assert len(server.gaps) == 3


async def test_an_end_that_says_nothing_is_no_gap() -> None:
    server = Server()
    await server.sender(writes=True).send_stream(streamed(Heard(b"a", b"b", b"c"), b""))
    assert len(server.gaps) == 2


async def test_whoever_takes_it_slowly_is_waited_for() -> None:
    found = await sent(Server(2), Heard(b"a", b"b", b"c", b"d"))
    assert found == [200, b"a", "at once: b", "at once: c", b"", "at once: d", b"last"]


async def test_where_the_server_cannot_each_piece_is_a_message() -> None:
    assert await sent(Server(), Heard(b"a", b"", b"b"), writes=False) == [200, b"a", b"b", b"last"]


@pytest.mark.parametrize("batches", [(), (b"",), (b"", b"")])
async def test_a_stream_that_says_nothing_has_a_head_and_an_end(batches: tuple[bytes, ...]) -> None:
    assert await sent(Server(), Heard(*batches)) == [200, b"last"]


@pytest.mark.parametrize("writes", [True, False])
async def test_what_makes_no_sense_is_told_behind_what_was_good_before_it(*, writes: bool) -> None:
    kind = UpstreamFailed("x").kind.encode()
    assert await sent(Server(), Heard(b"a!", b"b"), writes=writes) == [200, b"a", kind]
    second = "at once: b" if writes else b"b"
    found = await sent(Server(), Heard(b"a", b"b!", b"c"), writes=writes)
    assert [each for each in found if each != b""] == [200, b"a", second, kind]


@pytest.mark.parametrize("batches", [(UpstreamFailed("x"),), (b"", UpstreamFailed("x")), (b"!", b"b")])
async def test_what_fails_before_the_first_bytes_has_a_status_of_its_own(batches: tuple[Any, ...]) -> None:
    status, body = await sent(Server(), Heard(*batches))
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
async def test_sdks_are_told_not_to_retry_in_vain(error: GatewayError, advice: str | None) -> None:
    started: list[Any] = []

    async def send(message: Any) -> None:
        started.append(message)

    await ResponseSender(send, RequestRecord("r", "POST"), render_error, 0.0, lambda _: None).send_error(error)
    headers = {name.decode(): value.decode() for name, value in started[0]["headers"]}
    assert headers.get("x-should-retry") == advice

"""Fuzz tests: responses in any pieces, mutated responses, and random bytes, compared with aiohttp."""

import asyncio
import itertools
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.bedrock.http1.connection import Connection
from app.bedrock.http1.transport import Http1Transport
from app.bedrock.transport import Transport
from app.errors import GatewayError
from tests.bedrock.http1.oracle import AiohttpTransport
from tests.bedrock.http1.servers import Outcome, get, outcome, saying, serve

pytestmark = pytest.mark.loopback

TOKEN = st.text("abcdefgh-", min_size=1, max_size=12).filter(lambda name: not name.startswith("-"))
VALUE = st.text([chr(code) for code in range(33, 127)], max_size=20)
BODY = st.lists(st.binary(min_size=1, max_size=300), max_size=6)


class Wire(asyncio.Transport):
    """A transport that sends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    close = abort

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, Outcome, bool]:
    """The bytes of a response, its content, and whether its connection ends with it."""
    headers = [(name, draw(VALUE)) for name in draw(st.lists(TOKEN, max_size=4))]
    pieces, frame = draw(BODY), draw(st.sampled_from(["length", "chunks", "end"]))
    said = b"".join(
        b"HTTP/1.1 %d Wait\r\n\r\n" % code for code in draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2))
    )
    status = draw(st.sampled_from([200, 201, 400, 429, 500, 529]))
    if frame == "length":
        headers.append(("content-length", str(len(b"".join(pieces)))))
    elif frame == "chunks":
        headers.append(("transfer-encoding", "chunked"))
    said += b"HTTP/1.1 %d Fine\r\n" % status
    said += b"".join(f"{name}: {value}\r\n".encode() for name, value in headers) + b"\r\n"
    if frame == "chunks":
        trailers = draw(st.lists(st.tuples(TOKEN, VALUE), max_size=2))
        said += b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n"
        said += b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n"
    else:
        said += b"".join(pieces)
    return said, Outcome(status, tuple(headers), b"".join(pieces)), frame == "end"


async def received(pieces: list[bytes], *, then_ends: bool) -> tuple[Outcome, Wire]:
    """The outcome of a request whose response arrives in these pieces."""
    wire, freed = Wire(), []
    connection = Connection(freed.append)
    connection.connection_made(wire)
    response = connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", 1.0, 1.0)
    for piece in pieces:
        if wire.is_aborted:
            break
        connection.data_received(piece)
    if then_ends and not wire.is_aborted:
        connection.eof_received()
        connection.connection_lost(None)
    try:
        await response.head
        found = Outcome(response.status, response.headers, await response.read())
    except GatewayError as error:
        found = Outcome(error=error.kind)
    return found, wire


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({index % (len(data) + 1) for index in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@given(answers(), st.lists(st.integers(0, 5000), max_size=12), st.booleans())
@settings(max_examples=300)
def test_response_is_the_same_however_it_is_split(
    answer: tuple[bytes, Outcome, bool], cuts: list[int], by_byte: bool
) -> None:
    said, expected, ends = answer
    pieces = [bytes([byte]) for byte in said] if by_byte else cut(said, cuts)
    found, wire = asyncio.run(received(pieces, then_ends=ends))
    assert found == expected
    assert wire.is_aborted == ends


@given(answers(), st.integers(1, 5000))
@settings(max_examples=200)
def test_truncated_response_is_an_error(answer: tuple[bytes, Outcome, bool], left: int) -> None:
    said, expected, ends = answer
    kept = said[: len(said) - 1 - left % len(said)]
    found, wire = asyncio.run(received([kept], then_ends=True))
    if ends and b" Fine\r\n" in kept and b"\r\n\r\n" in kept.partition(b" Fine")[2]:
        assert expected.body.startswith(found.body)  # a response without length ends anywhere
    else:
        assert found == Outcome(error="connection_lost")
    assert wire.is_aborted or found.error


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
@settings(max_examples=300)
def test_random_bytes_raise_only_gateway_errors(said: bytes, cuts: list[int]) -> None:
    found, _ = asyncio.run(received(cut(b"HTTP/1.1 " + said, cuts), then_ends=True))
    assert found.error in ("", "connection_lost")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A response with a few bytes changed, inserted or removed."""
    said = bytearray(draw(answers())[0])
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(said) - 1))
        new = draw(st.sampled_from([b"", b"\r", b"\n", b"\0", b" ", b":", b"0", b"f", b"\xff", b"\r\n", b",", b"\t"]))
        said[index : index + draw(st.integers(0, 1))] = new
        if not said:
            break
    return bytes(said)


def shortest_complete(said: bytes) -> bytes:
    """The shortest prefix that the connection accepts as a complete response."""

    async def run() -> int:
        ended: list[Connection] = []
        connection, wire = Connection(ended.append), Wire()
        connection.connection_made(wire)
        connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", 1.0, 1.0)
        for count, byte in enumerate(said):
            if ended or wire.is_aborted:
                return count
            connection.data_received(bytes([byte]))
        return len(said)

    return said[: asyncio.run(run())]


@given(st.lists(mutated(), min_size=10, max_size=10))
@settings(max_examples=20, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_mutated_responses_are_accepted_only_where_aiohttp_agrees(batch: list[bytes]) -> None:
    for said, our in zip(batch, asyncio.run(outcomes(Http1Transport, batch)), strict=True):
        assert our.error in ("", "connection_lost"), said
    whole = [shortest_complete(said) for said in batch]  # aiohttp also parses what follows a response
    found = zip(
        whole,
        asyncio.run(outcomes(Http1Transport, whole)),
        asyncio.run(outcomes(AiohttpTransport, whole)),
        strict=True,
    )
    for said, our, their in found:
        if not our.error:
            assert (our.status, our.body) == (their.status, their.body), said


async def outcomes(kind: Callable[[float, float], Transport], batch: list[bytes]) -> list[Outcome]:
    transport, found = kind(30, 30), []
    for said in batch:
        async with serve(saying(said, then_close=True)) as port:
            found.append(await outcome(transport, get(port)))
    await transport.close()
    return found

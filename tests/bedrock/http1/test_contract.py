"""The contract of `Transport`, tested with `Http1Transport` and with aiohttp as the oracle."""

import asyncio
import contextlib
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.bedrock.http1.transport import Http1Transport
from app.bedrock.transport import HttpRequest, Transport
from app.errors import ConnectionLost, ConnectTimeout, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from tests.bedrock.http1.certificates import Authority
from tests.bedrock.http1.oracle import AiohttpTransport
from tests.bedrock.http1.proxies import Proxy
from tests.bedrock.http1.servers import Counting, Outcome, full_backlog, get, outcome, post, saying, serve
from tests.servers import CLOSED_PORT, read_request
from tests.stream_helpers import pieces_of

pytestmark = [pytest.mark.loopback, pytest.mark.waits]

KINDS = (Http1Transport, AiohttpTransport)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
MB = 1024 * 1024


@pytest.fixture(params=KINDS)
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    made = request.param(30, 30)
    yield made
    await made.close()


@pytest.fixture(params=KINDS)
async def impatient(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """A transport that waits for half a second."""
    made = request.param(30, 0.5)
    yield made
    await made.close()


@pytest.fixture(params=KINDS)
async def patient(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """A transport that waits for longer than a busy machine takes for a step, and less long than its tests."""
    made = request.param(30, 2.0)
    yield made
    await made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("trust"))


ANSWERS = {
    "length": (OK, Outcome(200, (("content-length", "2"),), b"ok")),
    "no body": (b"HTTP/1.1 204 No Content\r\nx: 1\r\n\r\n", Outcome(204, (("x", "1"),))),
    "empty body": (b"HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n", Outcome(404, (("content-length", "0"),))),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=b\r\nok\r\n0003\r\nay!\r\n0\r\n\r\n",
        Outcome(200, (("transfer-encoding", "Chunked"),), b"okay!"),
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nlate: 1\r\n\r\n",
        Outcome(200, (("transfer-encoding", "chunked"),), b"ok"),
    ),
    "announcements": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
        Outcome(200, (("content-length", "2"),), b"ok"),
    ),
    "twice the same name": (
        b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nb:  x y \r\ncontent-length: 0\r\n\r\n",
        Outcome(200, (("a", "1"), ("a", "2"), ("b", "x y"), ("content-length", "0"))),
    ),
    "compressed": (
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x00",
        Outcome(200, (("content-encoding", "gzip"), ("content-length", "3")), b"\x1f\x8b\x00"),
    ),
    "redirect": (
        b"HTTP/1.1 302 Found\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n",
        Outcome(302, (("location", "/y"), ("content-length", "0"))),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("in_chunks", [False, True])
async def test_response_is_read_with_any_framing(transport: Transport, name: str, in_chunks: bool) -> None:
    said, expected = ANSWERS[name]
    async with serve(saying(said)) as port:
        for _ in range(3):
            assert await outcome(transport, get(port), in_chunks=in_chunks) == expected


async def test_response_without_length_ends_with_its_connection(transport: Transport) -> None:
    async with serve(saying(b"HTTP/1.1 200 OK\r\n\r\nall of it", then_close=True)) as port:
        assert await outcome(transport, get(port)) == Outcome(200, (), b"all of it")


BROKEN = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "an announcement alone": b"HTTP/1.1 100 Continue\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "no status": b"HTTP/1.1 abc\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a control character": b"HTTP/1.1 200 OK\r\na: \x00b\r\ncontent-length: 0\r\n\r\n",
}
CUT = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
    "between chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
    "in a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nok",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_malformed_response_is_an_error(transport: Transport, name: str) -> None:
    async with serve(saying(BROKEN[name], then_close=True)) as port:
        assert await outcome(transport, get(port)) == Outcome(error="connection_lost")


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("in_chunks", [False, True])
async def test_truncated_body_is_an_error(transport: Transport, name: str, in_chunks: bool) -> None:
    async with serve(saying(CUT[name], then_close=True)) as port:
        found = await outcome(transport, get(port), in_chunks=in_chunks)
    assert (found.status, found.error) == (200, "connection_lost")
    assert found.body == (b"ok" if in_chunks else b"")


async def test_bytes_before_a_broken_connection_are_delivered_first(transport: Transport) -> None:
    release = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await release.wait()

    async with serve(handle) as port:
        response = await transport.open(get(port))
        pieces = pieces_of(response)
        assert await anext(pieces) == b"first"
        release.set()
        with pytest.raises(ConnectionLost):
            await anext(pieces)


@pytest.mark.parametrize("framing", [b"content-length: 300000", b"transfer-encoding: chunked"])
async def test_read_refuses_a_body_larger_than_the_limit(transport: Transport, framing: bytes) -> None:
    body = bytes(300_000) if b"length" in framing else b"493e0\r\n" + bytes(300_000) + b"\r\n0\r\n\r\n"
    counting = Counting(saying(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + body))
    async with serve(counting.handle) as port:
        response = await transport.open(get(port))
        assert len(await response.read(300_000)) == 300_000
        response = await transport.open(get(port))
        with pytest.raises(UpstreamFailed, match="too large") as failure:
            await response.read(299_999)
        response.close()
    assert (failure.value.retry_here, failure.value.retry_elsewhere) == (False, True)


async def test_body_is_delivered_as_it_arrives_and_kept_after_take_returns_false(transport: Transport) -> None:
    taken: list[bytes] = []
    is_enough, goes_on = asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na")
        for piece in (b"b", b"c", b"d"):
            while len(taken) < piece[0] - ord("a"):
                await asyncio.sleep(0.01)
            if piece == b"c":
                is_enough.set()
            writer.write(piece)
        await goes_on.wait()

    def take(data: bytes) -> bool:
        taken.append(data)
        return not is_enough.is_set()

    async with serve(handle) as port:
        response = await transport.open(get(port))
        assert not await response.deliver(take)
        assert taken == [b"a", b"b", b"c"]
        is_enough.clear()
        assert await response.deliver(take)
        assert taken == [b"a", b"b", b"c", b"d"]
        assert await response.deliver(take)
        goes_on.set()
        response.close()


async def test_exception_of_take_is_raised_by_deliver(transport: Transport) -> None:
    first = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na")
        await first.wait()
        writer.write(b"b")
        await reader.read()

    def take(data: bytes) -> bool:
        first.set()
        if data == b"b":
            raise KeyError("odd")
        return True

    async with serve(handle) as port:
        response = await transport.open(get(port))
        with pytest.raises(KeyError, match="odd"):
            await response.deliver(take)
        response.close()


async def test_connection_of_an_endless_response_is_closed(transport: Transport) -> None:
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                await writer.drain()
        gone.set()

    async with serve(handle) as port:
        response = await transport.open(get(port))
        with pytest.raises(UpstreamFailed, match="too large"):
            await response.read(MB)
        await asyncio.wait_for(gone.wait(), 20)


async def test_connection_is_reused(transport: Transport) -> None:
    counting = Counting(saying(OK))
    async with serve(counting.handle) as port:
        for _ in range(5):
            assert (await outcome(transport, post(port))).body == b"ok"
        assert counting.connections == 1


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
)
async def test_connection_that_the_server_closes_is_not_reused(transport: Transport, said: bytes) -> None:
    counting = Counting(saying(said))
    async with serve(counting.handle) as port:
        for _ in range(3):
            assert (await outcome(transport, post(port))).body == b"ok"
        assert counting.connections == 3


async def test_concurrent_requests_have_a_connection_each(transport: Transport) -> None:
    connections = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            _, body = await read_request(reader)
            await asyncio.sleep(0.05)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async with serve(handle) as port:
        for _ in range(2):
            bodies = [str(number).encode() for number in range(50)]
            found = await asyncio.gather(*(outcome(transport, post(port, body)) for body in bodies))
            assert [each.body for each in found] == bodies
        assert len(connections) == 50


async def test_request_is_sent_unchanged(transport: Transport) -> None:
    received = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await read_request(reader))
        writer.write(OK)

    body = bytes(range(256)) * 5000
    path = "/model/arn%3Aaws%3Abedrock%2Fx%20y/converse?a=%2F&b=c+d"
    async with serve(handle) as port:
        sent = HttpRequest("POST", f"http://127.0.0.1:{port}{path}", [("x-amz-date", "now"), ("A", "ü")], body)
        assert (await outcome(transport, sent)).body == b"ok"
    (head, arrived), lines = received[0], received[0][0].split(b"\r\n")
    assert lines[0] == f"POST {path} HTTP/1.1".encode()
    assert arrived == body
    names = [line.partition(b":")[0].lower() for line in lines[1:] if line]
    assert sorted(names) == [b"a", b"content-length", b"host", b"x-amz-date"]
    assert f"127.0.0.1:{port}".encode() in head


async def test_empty_body_of_a_post_has_a_content_length(transport: Transport) -> None:
    received = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            received.append((await read_request(reader))[0].lower())
            writer.write(OK)

    async with serve(handle) as port:
        await outcome(transport, post(port, b""))
        await outcome(transport, get(port))
    assert b"content-length: 0" in received[0]
    assert b"content-length" not in received[1]


@pytest.mark.parametrize("header", [("a", "b\r\nc: d"), ("a", "b\nc: d"), ("a\r\nb", "c")])
async def test_line_breaks_in_headers_are_refused(transport: Transport, header: tuple[str, str]) -> None:
    async with serve(saying(OK)) as port:
        with pytest.raises(ValueError, match=r"."):
            await transport.open(HttpRequest("GET", f"http://127.0.0.1:{port}/", [header], b""))


async def test_no_byte_before_the_head_is_a_timeout(impatient: Transport) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serve(handle) as port:
        with pytest.raises(UpstreamTimeout):
            await impatient.open(get(port))


async def test_no_byte_within_the_body_is_a_timeout(impatient: Transport) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")
        await reader.read()

    async with serve(handle) as port:
        found = await outcome(impatient, get(port), in_chunks=True)
        assert (found.body, found.error) == (b"ok", "upstream_timeout")


async def test_slow_response_that_goes_on_is_no_timeout(patient: Transport) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
        for byte in b"a slow one":
            await asyncio.sleep(0.25)
            writer.write(bytes([byte]))

    async with serve(handle) as port:
        assert (await outcome(patient, get(port))).body == b"a slow one"


async def test_slow_reader_is_no_timeout(impatient: Transport) -> None:
    async with serve(saying(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % MB + bytes(MB))) as port:
        response = await impatient.open(get(port))
        total = 0
        async for data in pieces_of(response):
            total += len(data)
            if total < 300_000:
                await asyncio.sleep(0.7)
    assert total == MB


async def test_server_sends_no_faster_than_the_body_is_read(transport: Transport) -> None:
    sent = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 * MB))
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        for _ in range(64):
            writer.write(bytes(MB))
            await writer.drain()
            sent += MB

    async with serve(handle) as port:
        response = await transport.open(get(port))
        pieces = pieces_of(response)
        await anext(pieces)
        tracemalloc.start()
        await asyncio.sleep(0.4)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sent < 16 * MB  # what the kernel's buffers of both sides hold
        assert held < 4 * MB
        total = len(await anext(pieces))
        async for data in pieces:
            total += len(data)
        assert total > 60 * MB


async def test_closed_response_is_not_read_further(transport: Transport) -> None:
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with serve(handle) as port:
        response = await transport.open(get(port))
        response.close()
        response.close()
        await asyncio.wait_for(gone.wait(), 20)


@pytest.mark.parametrize("index", ["head", "body", "whole body"])
async def test_cancelled_request_closes_its_connection(transport: Transport, index: str) -> None:
    received, gone = asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if index != "head":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")
        received.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with serve(handle) as port:
        task = asyncio.create_task(outcome(transport, get(port), in_chunks=index == "body"))
        await received.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait_for(gone.wait(), 20)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_response_before_the_end_of_the_request_is_accepted(transport: Transport) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await asyncio.sleep(0.2)

    async with serve(handle) as port:
        found = await outcome(transport, post(port, bytes(20 * MB)))
        assert (found.status, found.body) == (413, b"no")
        assert (await outcome(transport, post(port, bytes(20 * MB)))).status == 413


async def test_closed_port_is_unreachable(transport: Transport) -> None:
    with pytest.raises(UpstreamUnreachable):
        await transport.open(get(CLOSED_PORT))


@pytest.mark.parametrize("kind", KINDS)
async def test_connecting_times_out(kind: type[Http1Transport | AiohttpTransport]) -> None:
    transport = kind(0.2, 5)
    with full_backlog() as port, pytest.raises(ConnectTimeout):
        await transport.open(get(port))
    await transport.close()


async def test_probe_returns_why_connecting_failed(transport: Transport) -> None:
    async with serve(saying(OK)) as port:
        assert await transport.probe(f"http://127.0.0.1:{port}/x") == ""
        closed = f"http://127.0.0.1:{CLOSED_PORT}"
        assert await transport.probe(closed) == "cannot connect (ConnectionRefusedError)"


# TLS


@pytest.fixture(params=KINDS)
async def trusting(request: pytest.FixtureRequest, authority: Authority) -> AsyncIterator[Transport]:
    made = request.param(30, 30, authority.bundle)
    yield made
    await made.close()


def secure(port: int, host: str = "localhost") -> HttpRequest:
    return HttpRequest("POST", f"https://{host}:{port}/x", [], b"{}")


async def test_certificate_of_the_bundle_is_trusted(trusting: Transport, authority: Authority) -> None:
    asked: list[str] = []
    context = authority.context("localhost")
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with serve(saying(OK), ssl=context) as port:
        for _ in range(3):
            assert (await outcome(trusting, secure(port))).body == b"ok"
    assert asked == ["localhost"]


@pytest.mark.parametrize("fault", ["another's name", "another authority", "past its time", "no TLS"])
async def test_unknown_certificates_are_refused(
    trusting: Transport, authority: Authority, tmp_path: Path, fault: str
) -> None:
    context: ssl.SSLContext | None = {
        "another's name": lambda: authority.context("elsewhere.test"),
        "another authority": lambda: Authority(tmp_path).context("localhost"),
        "past its time": lambda: authority.context("localhost", days=-1),
        "no TLS": lambda: None,
    }[fault]()
    options: dict[str, ssl.SSLContext] = {"ssl": context} if context else {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(OK)

    async with serve(handle, **options) as port:
        with pytest.raises(UpstreamUnreachable) as failure:
            await trusting.open(secure(port))
    assert failure.value.retry_here is False


async def test_authority_is_refused_without_the_bundle(authority: Authority) -> None:
    for kind in KINDS:
        transport = kind(30, 30)
        async with serve(saying(OK), ssl=authority.context("localhost")) as port:
            with pytest.raises(UpstreamUnreachable):
                await transport.open(secure(port))
        await transport.close()


async def test_server_sends_no_faster_than_the_body_is_read_over_tls(trusting: Transport, authority: Authority) -> None:
    said = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (8 * MB) + bytes(8 * MB)
    async with serve(saying(said), ssl=authority.context("localhost")) as port:
        response = await trusting.open(secure(port))
        total = 0
        async for data in pieces_of(response):
            total += len(data)
            await asyncio.sleep(0)
    assert total == 8 * MB


# proxies


@pytest.mark.parametrize("is_secure", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_proxy_forwards_plain_http(
    kind: type[Transport], is_secure: bool, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy()
    options = {"ssl": authority.context("localhost")} if is_secure else {}
    async with serve(saying(OK)) as port, serve(proxy.handle, **options) as proxy_port:
        scheme = "https" if is_secure else "http"
        monkeypatch.setenv("http_proxy", f"{scheme}://u%20ser:p%40ss@localhost:{proxy_port}")
        transport = kind(30, 30, authority.bundle)  # type: ignore[call-arg]
        for _ in range(2):
            assert (await outcome(transport, post(port))).body == b"ok"
        await transport.close()
    assert proxy.targets == [f"http://127.0.0.1:{port}/x"] * 2
    assert proxy.authorizations == ["Basic dSBzZXI6cEBzcw=="] * 2


@pytest.mark.parametrize("is_secure", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_https_goes_through_a_tunnel(
    kind: type[Transport], is_secure: bool, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy()
    options = {"ssl": authority.context("localhost")} if is_secure else {}
    async with (
        serve(saying(OK), ssl=authority.context("localhost")) as port,
        serve(proxy.handle, **options) as proxy_port,
    ):
        scheme = "https" if is_secure else "http"
        monkeypatch.setenv("https_proxy", f"{scheme}://user:pass@localhost:{proxy_port}")
        transport = kind(30, 30, authority.bundle)  # type: ignore[call-arg]
        for _ in range(2):
            assert (await outcome(transport, secure(port))).body == b"ok"
        await transport.close()
    assert proxy.targets == [f"localhost:{port}"]
    assert proxy.authorizations == ["Basic dXNlcjpwYXNz"]


@pytest.mark.parametrize("kind", KINDS)
async def test_tunnel_to_an_ip_address(
    kind: type[Transport], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy()
    async with (
        serve(saying(OK), "::1", ssl=authority.context("::1")) as port,
        serve(proxy.handle) as proxy_port,
    ):
        monkeypatch.setenv("https_proxy", f"http://localhost:{proxy_port}")
        transport = kind(30, 30, authority.bundle)  # type: ignore[call-arg]
        assert (await outcome(transport, secure(port, "[::1]"))).body == b"ok"
        await transport.close()
    assert proxy.targets == [f"[::1]:{port}"]


@pytest.mark.parametrize("answer", ["HTTP/1.1 407 Proxy Authentication Required", "HTTP/1.1 502 Bad Gateway", "what?"])
@pytest.mark.parametrize("kind", KINDS)
async def test_refused_tunnel_is_unreachable(
    kind: type[Transport], answer: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(Proxy(answer).handle) as proxy_port:
        monkeypatch.setenv("https_proxy", f"http://localhost:{proxy_port}")
        transport = kind(30, 30, authority.bundle)  # type: ignore[call-arg]
        found = await outcome(transport, secure(CLOSED_PORT))
        await transport.close()
    assert found.error in ("upstream_unreachable", "connection_lost")


@pytest.mark.parametrize("kind", KINDS)
async def test_no_proxy_is_respected(kind: type[Transport], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()
    async with serve(saying(OK)) as port, serve(proxy.handle) as proxy_port:
        monkeypatch.setenv("http_proxy", f"http://localhost:{proxy_port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        transport = kind(30, 30)  # type: ignore[call-arg]
        assert (await outcome(transport, post(port))).body == b"ok"
        await transport.close()
    assert proxy.targets == []

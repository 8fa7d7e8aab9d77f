"""What `Http1Transport` guarantees beyond `Transport`."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.bedrock.http1 import connector
from app.bedrock.http1.transport import Http1Transport
from app.bedrock.transport import HttpRequest
from app.errors import ConnectionLost, ConnectTimeout, UpstreamUnreachable
from tests.bedrock.http1.certificates import Authority
from tests.bedrock.http1.servers import Handle, Outcome, full_backlog, get, outcome, post, saying, serve
from tests.servers import CLOSED_PORT, read_request
from tests.waiting import until

pytestmark = [pytest.mark.loopback, pytest.mark.waits]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
MB = 1024 * 1024
LOST = Outcome(error="connection_lost")


@pytest.fixture
async def transport() -> AsyncIterator[Http1Transport]:
    made = Http1Transport(30, 30)
    yield made
    await made.close()


class Server:
    """Answers the first request of each connection, and calls `second` for the second."""

    def __init__(self, second: Handle) -> None:
        self.connections = self.requests = 0
        self._second = second

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await read_request(reader)
        self.requests += 1
        writer.write(OK)
        if self.connections == 1:
            await self._second(reader, writer)
            return
        await saying(OK)(reader, writer)


async def hang_up_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await writer.drain()


async def hang_up_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.transport.abort()


async def hang_up_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    await asyncio.sleep(0.1)


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"H")
    await writer.drain()


@pytest.mark.parametrize("second", [hang_up_at_once, hang_up_unread])
@pytest.mark.parametrize("pause", [0, 0.05])
async def test_request_on_a_stale_connection_is_sent_again(
    transport: Http1Transport, second: Handle, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bedrock.http1.connection._STALE_SECONDS", 30)
    server = Server(second)
    async with serve(server.handle) as port:
        assert (await outcome(transport, post(port))).body == b"ok"
        await asyncio.sleep(pause)
        assert (await outcome(transport, post(port))).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("second", [hang_up_late, break_off])
async def test_request_that_may_have_been_received_is_not_sent_again(
    transport: Http1Transport, second: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bedrock.http1.connection._STALE_SECONDS", 0.05)
    server = Server(second)
    async with serve(server.handle) as port:
        assert (await outcome(transport, post(port))).body == b"ok"
        assert await outcome(transport, post(port)) == LOST
    assert server.connections == 1


async def test_new_connection_is_never_stale(transport: Http1Transport) -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)

    async with serve(handle) as port:
        assert await outcome(transport, post(port)) == LOST
    assert connections == 1


async def test_unsolicited_response_is_dropped(transport: Http1Transport) -> None:
    async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await reader.read()

    server = Server(second)
    async with serve(server.handle) as port:
        await outcome(transport, get(port))
        await asyncio.sleep(0.06)
        assert (await outcome(transport, get(port))).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("rest", [OK, b"x", b"HTTP/1.1 200 OK\r\n"])
async def test_bytes_after_a_response_belong_to_no_response(transport: Http1Transport, rest: bytes) -> None:
    async with serve(saying(OK + rest, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnot")) as port:
        for _ in range(3):
            assert (await outcome(transport, get(port))).body == b"ok"


async def test_size_of_the_head_is_limited(transport: Http1Transport) -> None:
    received = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(10_000):
                writer.write(b"x-%d: %s\r\n" % (number, bytes(1000).replace(b"\0", b"v")))
                await writer.drain()
                received.append(number)

    async with serve(handle) as port:
        assert await outcome(transport, get(port)) == LOST
    assert len(received) < 9_000


@pytest.mark.parametrize("endless", [b"v" * 1000, b"n" * 1000])
async def test_size_of_a_header_is_limited(transport: Http1Transport, endless: bytes) -> None:
    sent = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nx" + (b": " if endless.startswith(b"v") else b""))
        for _ in range(100_000):
            writer.write(endless)
            await writer.drain()
            sent += len(endless)

    async with serve(handle) as port:
        assert await outcome(transport, get(port)) == LOST
    assert sent < 20_000_000


async def test_chunk_without_a_size_is_an_error(transport: Http1Transport) -> None:
    said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n"
    async with serve(saying(said)) as port:
        assert (await outcome(transport, get(port), in_chunks=True)).error == "connection_lost"


async def test_idle_connection_is_closed(transport: Http1Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.bedrock.http1.transport._IDLE_SECONDS", 0.1)
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await saying(OK)(reader, writer)
        gone.set()

    async with serve(handle) as port:
        await outcome(transport, get(port))
        answered = asyncio.get_running_loop().time()
        assert not gone.is_set()
        await asyncio.wait_for(gone.wait(), 30)
        assert asyncio.get_running_loop().time() - answered > 0.05


async def test_number_of_idle_connections_is_limited(
    transport: Http1Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.bedrock.http1.transport._MAX_IDLE", 2)
    left = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        with contextlib.suppress(asyncio.IncompleteReadError):
            await saying(OK)(reader, writer)
        left += 1

    async with serve(handle) as port:
        await asyncio.gather(*(outcome(transport, get(port)) for _ in range(5)))
        await until(lambda: left >= 3)
        await asyncio.sleep(0.1)
        assert left == 3


async def test_connections_close_after_their_response_if_none_is_kept() -> None:
    gone = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal gone
        with contextlib.suppress(asyncio.IncompleteReadError):
            await saying(OK)(reader, writer)
        gone += 1

    transport = Http1Transport(30, 30, keeps_idle=False)
    async with serve(handle) as port:
        for number in range(3):
            assert (await outcome(transport, get(port))).body == b"ok"
            await until(lambda: gone > number)  # noqa: B023
            assert gone == number + 1


async def test_close_leaves_no_connection(transport: Http1Transport) -> None:
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await saying(OK)(reader, writer)
        gone.set()

    async with serve(handle) as port:
        late = await transport.open(get(port))
        await transport.close()
        assert await late.read() == b"ok"
        await asyncio.wait_for(gone.wait(), 20)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("trust"))


@asynccontextmanager
async def serving(
    handle: Handle, authority: Authority, *, is_tls: bool, read_timeout: float = 30
) -> AsyncIterator[tuple[Http1Transport, str]]:
    """A server, and a transport that trusts it; yields it and the server's origin."""
    transport = Http1Transport(30, read_timeout, authority.bundle)
    options = {"ssl": authority.context("localhost")} if is_tls else {}
    async with serve(handle, limit=MB, **options) as port:
        yield transport, f"{'https' if is_tls else 'http'}://localhost:{port}"
    await transport.close()


@pytest.mark.parametrize("is_tls", [False, True])
async def test_slow_upload_is_no_timeout(authority: Authority, is_tls: bool) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(16):
            await reader.readexactly(MB)
            await asyncio.sleep(0.16)
        writer.write(OK)
        await writer.drain()

    async with serving(handle, authority, is_tls=is_tls, read_timeout=2) as (transport, origin):
        assert (await outcome(transport, HttpRequest("POST", f"{origin}/x", [], bytes(16 * MB)))).body == b"ok"


@pytest.mark.parametrize("is_tls", [False, True])
async def test_stalled_upload_is_a_timeout(authority: Authority, is_tls: bool) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(60)

    async with serving(handle, authority, is_tls=is_tls, read_timeout=0.5) as (transport, origin):
        found = await outcome(transport, HttpRequest("POST", f"{origin}/x", [], bytes(32 * MB)))
    assert found.error == "upstream_timeout"


@pytest.mark.parametrize("is_tls", [False, True])
async def test_connection_with_an_unfinished_request_is_not_reused(authority: Authority, is_tls: bool) -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()
        await asyncio.sleep(60)

    async with serving(handle, authority, is_tls=is_tls) as (transport, origin):
        for _ in range(2):
            found = await outcome(transport, HttpRequest("POST", f"{origin}/x", [], bytes(20 * MB)))
            assert (found.status, found.body) == (413, b"no")
    assert connections == 2


async def test_response_without_length_is_an_error_over_tls(authority: Authority) -> None:
    said = b"HTTP/1.1 200 OK\r\n\r\nperhaps all of it"
    async with serving(saying(said, then_close=True), authority, is_tls=True) as (transport, origin):
        assert (await outcome(transport, HttpRequest("GET", f"{origin}/x", [], b""))).error == "connection_lost"


async def test_reading_a_closed_response_raises(transport: Http1Transport) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")
        await reader.read()

    async with serve(handle) as port:
        response = await transport.open(get(port))
        reading = asyncio.create_task(response.read())
        await asyncio.sleep(0.01)
        response.close()
        for attempt in (reading, response.read()):
            with pytest.raises(ConnectionLost):
                await asyncio.wait_for(attempt, 20)


async def test_head_requests_are_refused(transport: Http1Transport) -> None:
    with pytest.raises(ValueError, match="HEAD"):
        await transport.open(HttpRequest("HEAD", "http://127.0.0.1:1/", [], b""))


@pytest.mark.parametrize(
    ("url", "target"),
    [("", "/"), ("?a=/b", "/?a=/b"), ("/p#f", "/p"), ("/p?q#f/g", "/p?q"), ("/a%20b/?c=/d?e", "/a%20b/?c=/d?e")],
)
async def test_request_target_is_that_of_the_url(transport: Http1Transport, url: str, target: str) -> None:
    received = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append((await read_request(reader))[0].split(b" ")[1].decode())
        writer.write(OK)

    async with serve(handle) as port:
        await outcome(transport, get(port, url))
    assert received == [target]


# names and addresses


def addresses(*known: tuple[str, int]) -> connector.Addresses:
    return [
        (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
        for host, port in known
    ]


async def test_one_reachable_address_is_enough() -> None:
    async with serve(saying(OK)) as port:

        async def resolve(host: str, wanted: int) -> connector.Addresses:
            return addresses(("::1", CLOSED_PORT), ("127.0.0.1", CLOSED_PORT), ("127.0.0.1", port))

        transport = Http1Transport(30, 30, resolve=resolve)
        assert (await outcome(transport, get(port))).body == b"ok"
        await transport.close()


@pytest.mark.timed
async def test_unresponsive_address_delays_by_the_happy_eyeballs_delay() -> None:
    with full_backlog() as silent:
        async with serve(saying(OK)) as port:

            async def resolve(host: str, wanted: int) -> connector.Addresses:
                return addresses(("127.0.0.1", silent), ("127.0.0.1", port))

            transport = Http1Transport(1.0, 0.5, resolve=resolve)
            started = asyncio.get_running_loop().time()
            assert (await outcome(transport, get(port))).body == b"ok"
            assert 0.2 < asyncio.get_running_loop().time() - started < 0.6
            await transport.close()


async def test_name_without_addresses_is_unreachable() -> None:
    async def resolve(host: str, port: int) -> connector.Addresses:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    transport = Http1Transport(1.0, 0.5, resolve=resolve)
    with pytest.raises(UpstreamUnreachable):
        await transport.open(get(1))
    assert await transport.probe("https://nowhere.test") == "cannot connect (gaierror)"


async def test_probe_includes_tls_and_proxy(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = authority.context("localhost")
    async with serve(saying(OK), ssl=tls) as port, serve(saying(OK)) as plain:
        trusting = Http1Transport(30, 0.5, authority.bundle)
        assert await trusting.probe(f"https://localhost:{port}") == ""
        stranger = Http1Transport(30, 0.5)
        said = "cannot connect (SSLCertVerificationError)"
        assert await stranger.probe(f"https://localhost:{port}") == said
        hasty = Http1Transport(0.5, 0.5)
        assert (await hasty.probe(f"https://localhost:{plain}")).endswith("(TimeoutError)")


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".test"])
async def test_malformed_name_is_unreachable(transport: Http1Transport, host: str) -> None:
    with pytest.raises(UpstreamUnreachable):
        await transport.open(HttpRequest("GET", f"http://{host}/", [], b""))
    assert (await transport.probe(f"http://{host}")).startswith("cannot connect")


async def test_name_without_permitted_addresses_is_unreachable() -> None:
    async def resolve(host: str, port: int) -> connector.Addresses:
        return []

    with pytest.raises(UpstreamUnreachable):
        await Http1Transport(1.0, 0.5, resolve=resolve).open(get(1))


async def test_slow_name_resolution_is_a_connect_timeout() -> None:
    async def resolve(host: str, port: int) -> connector.Addresses:
        await asyncio.sleep(60)
        return []

    with pytest.raises(ConnectTimeout):
        await Http1Transport(0.05, 0.5, resolve=resolve).open(get(1))


async def test_concurrent_lookups_share_a_query_and_results_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def ask(host: str, port: int) -> connector.Addresses:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        if host == "nowhere.test":
            raise socket.gaierror
        return addresses((host, port))

    monkeypatch.setattr(connector, "_look_up", ask)
    names = connector.CachingResolver()
    found = await asyncio.gather(*(names.resolve("127.0.0.1", 80) for _ in range(9)))
    assert found == [addresses(("127.0.0.1", 80))] * 9
    assert asked == 1
    with pytest.raises(TimeoutError):  # a cancelled lookup does not cancel the others
        async with asyncio.timeout(0.001):
            await names.resolve("127.0.0.2", 80)
    assert await names.resolve("127.0.0.2", 80) == addresses(("127.0.0.2", 80))
    assert asked == 2
    monkeypatch.setattr(connector, "_RESOLVED_SECONDS", 0.0)
    for _ in range(2):
        await names.resolve("127.0.0.3", 80)
    assert asked == 4
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await names.resolve("nowhere.test", 80)
    assert asked == 6


async def test_number_of_cached_names_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(host: str, port: int) -> connector.Addresses:
        if host.startswith("bad"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return addresses(("127.0.0.1", CLOSED_PORT))

    monkeypatch.setattr(connector, "_look_up", ask)
    transport = Http1Transport(30.0, 0.5)
    for number in range(3000):
        host = f"{'bad' if number % 2 else 'good'}-{number}.test"
        with pytest.raises(UpstreamUnreachable):
            await transport.open(HttpRequest("GET", f"http://{host}/", [], b""))
    assert len(transport._origins) <= 1024
    assert len(transport._pool._idle) == 0
    await transport.close()


async def test_localhost_is_resolved() -> None:
    found = await connector.CachingResolver().resolve("localhost", 80)
    assert {address[4][0] for address in found} & {b"127.0.0.1", b"::1"}


# URLs and proxies


@pytest.mark.parametrize(
    ("url", "server", "authority"),
    [
        ("https://a.test", ("a.test", 443, True), "a.test"),
        ("http://a.test", ("a.test", 80, False), "a.test"),
        ("https://[::1]:8443", ("::1", 8443, True), "[::1]:8443"),
        ("http://u:p@a.test:81", ("a.test", 81, False), "a.test:81"),
    ],
)
def test_origin_is_parsed(url: str, server: tuple[str, int, bool], authority: str) -> None:
    assert connector.parse_origin(url) == connector.Origin(connector.HostPort(*server), authority)


@pytest.mark.parametrize("url", ["ftp://a.test", "a.test", "http://", "http://a.test:port"])
def test_malformed_origin_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        connector.parse_origin(url)


def test_proxy_of_another_scheme_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://localhost:1080")
    with pytest.raises(ValueError, match="proxy"):
        Http1Transport(1.0, 0.5)


def test_proxy_without_a_scheme_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "localhost:3128")
    monkeypatch.setenv("ftp_proxy", "localhost:21")
    assert connector.proxies() == {"https": "http://localhost:3128"}


@pytest.mark.parametrize(("path", "kept"), [("x" * 400, 1), ("x" * 600, 0)])
async def test_long_urls_are_not_kept(transport: Http1Transport, path: str, kept: int) -> None:
    for _ in range(2):
        destination = transport._locate(f"http://127.0.0.1:1/{path}")
        assert destination.origin.authority == "127.0.0.1:1"
        assert destination.start == f"/{path} HTTP/1.1\r\nhost: 127.0.0.1:1"
    assert len(transport._destinations) == kept

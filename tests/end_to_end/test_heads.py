"""Heads that are too large, too slow or invalid, and connections that are not used."""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from app.server.protocol import guarded
from app.wire import json
from tests.bedrock.http1.certificates import Authority
from tests.servers import serving
from tests.waiting import wait_until

pytestmark = pytest.mark.waits

SECONDS = 0.5
LARGE = 20_000_000


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with the number of headers; read the body at /read only."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/read":
        while (await receive()).get("more_body"):
            pass
    if scope["path"] == "/long":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(5 * LARGE // 100_000):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        return
    body = b"x" * LARGE if scope["path"] == "/large" else str(len(scope["headers"])).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(application, http=guarded(60), timeout_keep_alive=2) as url:
        yield int(url.rpartition(":")[2])


@pytest.fixture(scope="module")
def hasty_port() -> Iterator[int]:
    """A server that waits for a head as long as `SECONDS`."""
    with serving(application, http=guarded(SECONDS), timeout_keep_alive=60) as url:
        yield int(url.rpartition(":")[2])


class Caller:
    """A connection on which any bytes may be sent."""

    def __init__(self, port: int) -> None:
        self.started = time.monotonic()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def sends(self, *pieces: bytes) -> "Caller":
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.socket.sendall(piece)
        return self

    def receives(self) -> bytes:
        """Return everything until the connection ends."""
        received = b""
        with contextlib.suppress(ConnectionError):
            while data := self.socket.recv(65536):
                received += data
        self.socket.close()
        self.took = time.monotonic() - self.started
        return received


def refusal(received: bytes) -> tuple[int, str]:
    head, _, body = received.partition(b"\r\n\r\n")
    document = json.loads(body)
    assert document["message"] == document["error"]["message"]
    return int(head.split(b" ")[1]), document["message"]


GET = b"GET / HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (GET + b"a: " + b"b" * 70_000 + b"\r\n\r\n", 431),
        (GET + b"a" * 70_000 + b": b\r\n\r\n", 431),
        (GET + b"a: b\r\n" * 200 + b"\r\n", 431),
        (GET + b"a: b\r\n" * 200, 431),
        (GET + b"".join(b"a%d: %s\r\n" % (number, b"b" * 1000) for number in range(100)) + b"\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
        # findings, Low: a missing or a second Host was accepted
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x@y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost:\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nhost: x\r\nhost: y\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na\x00b: c\r\n\r\n", 400),
    ],
)
@pytest.mark.parametrize("step", [1_000_000, 1000])
def test_an_invalid_head_is_refused(port: int, said: bytes, status: int, step: int) -> None:
    pieces = [said[start : start + step] for start in range(0, len(said), step)]
    assert refusal(Caller(port).sends(*pieces).receives())[0] == status


def test_a_large_head_that_begins_behind_a_request_is_refused(port: int) -> None:
    half = b"".join(b"a%d: %s\r\n" % (number, b"b" * 1000) for number in range(40))
    caller = Caller(port).sends(GET + b"\r\n" + GET + half)
    assert caller.socket.recv(65536).endswith(b"\r\n\r\n1")
    assert refusal(caller.sends(half + b"\r\n").receives())[0] == 431


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\na: ", b"GET / HTTP/1.1\r\n", b"GET /"])
def test_an_endless_head_is_not_buffered(port: int, begin: bytes) -> None:
    caller = Caller(port).sends(begin)
    sent = 0
    with contextlib.suppress(ConnectionError):
        for _ in range(2000):
            caller.socket.sendall(b"b" * 10_000)
            sent += 10_000
            time.sleep(0.0001)
    assert sent < 10_000_000
    caller.socket.close()


@pytest.mark.parametrize("said", [b"", b"G", b"GET / HTTP/1.1\r\nhost: x\r\n"])
def test_a_head_that_does_not_arrive_is_refused_after_the_timeout(hasty_port: int, said: bytes) -> None:
    caller = Caller(hasty_port).sends(said)
    received = caller.receives()
    assert SECONDS * 0.8 < caller.took < 20
    assert refusal(received)[0] == 408 if said else received == b""


def test_a_head_that_arrives_byte_by_byte_is_refused_after_the_timeout(hasty_port: int) -> None:
    caller = Caller(hasty_port).sends(GET)
    caller.socket.settimeout(0.05)
    received = b""
    while not received and time.monotonic() - caller.started < 20:
        caller.sends(b"a: b\r\n")
        with contextlib.suppress(TimeoutError):
            received = caller.socket.recv(65536)
    caller.socket.close()
    assert refusal(received)[0] == 408


def test_the_timeout_applies_to_the_second_head_of_a_connection(hasty_port: int) -> None:
    caller = Caller(hasty_port).sends(GET + b"\r\n")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    time.sleep(SECONDS * 1.5)  # between requests a connection may idle for longer
    caller.sends(GET + b"\r\n")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    assert refusal(caller.sends(b"GET / HT").receives())[0] == 408


def test_an_unread_body_does_not_keep_a_connection_open(hasty_port: int) -> None:
    caller = Caller(hasty_port).sends(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
    caller.socket.settimeout(0.05)
    received, is_over = b"", False
    while not is_over and time.monotonic() - caller.started < 20:
        try:
            caller.socket.sendall(b"x")
            data = caller.socket.recv(65536)
            received, is_over = received + data, not data
        except TimeoutError:
            continue
        except ConnectionError:
            is_over = True
    caller.socket.close()
    assert received.startswith(b"HTTP/1.1 200")
    assert is_over


@pytest.fixture
def patient_port() -> Iterator[int]:
    with serving(application, http=guarded(3 * SECONDS), timeout_keep_alive=20) as url:
        yield int(url.rpartition(":")[2])


def test_valid_requests_may_take_longer_than_the_timeout(patient_port: int) -> None:
    caller = Caller(patient_port)
    many = b"".join(b"a%d: %s\r\n" % (number, b"b" * 300) for number in range(100))
    for _ in range(3):
        caller.sends(GET + many + b"\r\n")
        assert caller.socket.recv(65536).endswith(b"\r\n\r\n101")
    caller.sends(b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(4):
        time.sleep(SECONDS)
        caller.sends(b"1\r\nx\r\n")
    caller.sends(b"0\r\nlate: 1\r\n\r\n")
    assert caller.socket.recv(65536).endswith(b"\r\n\r\n2")
    caller.socket.close()


@pytest.mark.parametrize("trailers", [b"late: 1\r\n", b"late: 1\r\n" * 1000])
def test_trailers_are_not_headers_of_the_next_request(port: int, trailers: bytes) -> None:
    caller = Caller(port).sends(
        b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n%s\r\n" % trailers
    )
    assert caller.socket.recv(65536).endswith(b"\r\n\r\n2")
    assert caller.sends(GET + b"\r\n").socket.recv(65536).endswith(b"\r\n\r\n1")
    caller.socket.close()


@pytest.mark.parametrize(
    "framing", [b"content-length: 1\r\n\r\nx", b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"]
)
def test_http_1_0_gets_no_100_continue(port: int, framing: bytes) -> None:
    said = b"POST /read HTTP/1.0\r\nhost: x\r\nexpect: 100-continue\r\n"
    head, _, body = Caller(port).sends(said + framing).receives().partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b"3")


# what follows the first request of a connection


UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQ\r\n"


@pytest.mark.parametrize("step", [1_000_000, 7])
def test_a_body_after_an_upgrade_header_is_not_parsed_as_a_request(port: int, step: int) -> None:
    body = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    head = b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%s\r\n" % (len(body), UPGRADE)
    caller = Caller(port).sends(head)
    time.sleep(0.02)
    caller.sends(*[body[start : start + step] for start in range(0, len(body), step)])
    received = caller.sends(b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").receives()
    assert received.count(b"HTTP/1.1 200") == 2


def test_an_upgrade_header_in_pieces_is_refused(port: int) -> None:
    caller = Caller(port).sends(b"POST /read HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nup")
    time.sleep(0.05)
    assert refusal(caller.sends(b"grade: websocket\r\ncontent-length: 4\r\n\r\nGET ").receives())[0] == 400


@pytest.fixture(scope="module")
def short_timeout_port() -> Iterator[int]:
    short_timeout = type("ShortTimeoutProtocol", (guarded(SECONDS),), {"unread_seconds": SECONDS})
    with serving(application, http=short_timeout, timeout_keep_alive=20) as url:
        yield int(url.rpartition(":")[2])


GET_LARGE = b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n"


def test_an_unread_response_is_aborted(short_timeout_port: int) -> None:
    caller = Caller(short_timeout_port).sends(GET_LARGE)
    time.sleep(6 * SECONDS)
    assert 0 < len(caller.receives()) < LARGE


def test_an_unread_stream_is_aborted(short_timeout_port: int) -> None:
    caller = Caller(short_timeout_port).sends(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
    time.sleep(6 * SECONDS)
    assert 0 < len(caller.receives()) < 5 * LARGE


def test_responses_that_are_read_slowly_are_complete() -> None:
    """Two on one connection: progress is counted for each."""
    timeout = 3 * SECONDS
    with serving(application, http=guarded(60, timeout), timeout_keep_alive=20) as url:
        caller = Caller(int(url.rpartition(":")[2])).sends(GET_LARGE, GET_LARGE)
        received = 0
        while received < 2 * LARGE and (data := caller.socket.recv(1_000_000)):
            received += len(data)
            time.sleep(0.1)
        caller.socket.close()
    assert received > 2 * LARGE
    assert time.monotonic() - caller.started > 2 * timeout


@pytest.mark.parametrize("rest", [b"0\r\nx: ", b"1;", b"0\r\n"])
def test_the_framing_of_a_body_is_limited(port: int, rest: bytes) -> None:
    caller = Caller(port).sends(
        b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n" + rest
    )
    sent = 0
    with contextlib.suppress(ConnectionError):
        for _ in range(2000):
            caller.socket.sendall(b"a" * 10_000 if rest != b"0\r\n" else b"a: b\r\n" * 1000)
            sent += 10_000
            time.sleep(0.0001)
    caller.socket.close()
    assert sent < 10_000_000


@pytest.mark.parametrize("byte", [b"\r\n", b"\n"])
def test_a_stray_byte_does_not_keep_a_connection_open(hasty_port: int, byte: bytes) -> None:
    caller = Caller(hasty_port).sends(GET + b"\r\n")
    caller.socket.recv(65536)
    started = time.monotonic()
    caller.sends(byte).receives()
    assert time.monotonic() - started < 20


def test_the_late_rest_of_a_body_does_not_keep_a_connection_open(hasty_port: int) -> None:
    caller = Caller(hasty_port).sends(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    started = time.monotonic()
    caller.sends(b"cd").receives()
    assert time.monotonic() - started < 20


def test_the_late_rest_of_a_body_does_not_close_a_connection(port: int) -> None:
    caller = Caller(port).sends(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    caller.sends(b"cd", GET + b"\r\n")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    caller.socket.close()


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    """Send an event each tenth of a second for a second, at /first for a minute, and note a disconnect."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.create_task(wait_for_disconnect(receive))
    for _ in range(600 if scope["path"] == "/first" else 10):
        await send({"type": "http.response.body", "body": b"event", "more_body": True})
        await asyncio.wait([gone], timeout=0.1)
        if gone.done():
            disconnects.append(scope["path"])
            return
    gone.cancel()
    await send({"type": "http.response.body", "body": b"end"})


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


disconnects: list[str] = []


@pytest.fixture
def streaming_port() -> Iterator[int]:
    disconnects.clear()
    with serving(streaming, http=guarded(60), timeout_keep_alive=60) as url:
        yield int(url.rpartition(":")[2])


def test_http_1_0_gets_no_chunks(streaming_port: int) -> None:
    received = Caller(streaming_port).sends(b"GET / HTTP/1.0\r\nhost: x\r\n\r\n").receives()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head
    assert body == b"event" * 10 + b"end"


@pytest.mark.parametrize("early", [b"GET /hea", GET + b"\r\n"])
def test_a_pipelined_head_gets_no_response_inside_another_response(streaming_port: int, early: bytes) -> None:
    caller = Caller(streaming_port).sends(GET + b"\r\n")
    caller.socket.recv(65536)
    caller.sends(early)
    received = b""
    while b"end" not in received and (data := caller.socket.recv(65536)):
        received += data
    caller.socket.close()
    assert b"HTTP/1.1" not in received.partition(b"end")[0]
    assert b"end" in received


def test_invalid_data_during_a_response_aborts_the_connection(streaming_port: int) -> None:
    caller = Caller(streaming_port).sends(GET + b"\r\n")
    caller.socket.recv(65536)
    received = caller.sends(b"\x00garbage\r\n\r\n").receives()
    assert b"400" not in received
    assert caller.took < 20


@pytest.mark.parametrize("size", [0, 300_000, 700_000, 3_000_000])
@pytest.mark.parametrize("early", [b"", b"GET /second HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /hea"])
def test_a_disconnect_is_noticed_behind_pipelined_data(streaming_port: int, early: bytes, size: int) -> None:
    caller = Caller(streaming_port).sends(b"POST /first HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
    caller.sends(bytes(size))
    caller.socket.recv(65536)
    caller.sends(early)
    time.sleep(0.05)
    caller.socket.close()
    wait_until(lambda: disconnects)
    assert disconnects[0] == "/first"


@pytest.mark.timed
def test_an_unread_response_over_tls_is_aborted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.context("localhost")
    (certificate,) = tmp_path.glob("localhost*.pem")
    short_timeout = type("ShortTimeoutProtocol", (guarded(SECONDS),), {"unread_seconds": SECONDS})
    options = {"http": short_timeout, "timeout_keep_alive": 20, "ssl_certfile": certificate}
    with serving(application, **options) as url:
        port = int(url.rpartition(":")[2])
        trusting = ssl.create_default_context(cafile=authority.bundle)

        def calling() -> ssl.SSLSocket:
            plain = socket.create_connection(("127.0.0.1", port), timeout=5)
            caller = trusting.wrap_socket(plain, server_hostname="localhost")
            caller.sendall(GET_LARGE)
            return caller

        with calling() as slow:
            received = 0
            while received < LARGE and (data := slow.recv(200_000)):
                received += len(data)
                time.sleep(0.001)
        assert received >= LARGE
        with calling() as not_reading:
            time.sleep(6 * SECONDS)
            received = 0
            with contextlib.suppress(OSError):
                while data := not_reading.recv(1_000_000):
                    received += len(data)
        assert 0 < received < LARGE


def test_pipelined_requests_are_not_read_without_limit(streaming_port: int) -> None:
    """Pipelined requests are buffered before their caller is authenticated."""
    caller = Caller(streaming_port).sends(b"GET /first HTTP/1.1\r\nhost: x\r\n\r\n")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    ahead = b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000
    caller.socket.settimeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        for _ in range(300):
            caller.socket.sendall(ahead)
            sent += len(ahead)
    caller.socket.close()
    assert sent < 15_000_000  # most of which is in socket buffers


def test_http_2_is_refused_with_goaway(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """The frames of RFC 9113: SETTINGS, and GOAWAY with HTTP_1_1_REQUIRED."""
    caplog.set_level(logging.WARNING, "app.server.protocol")
    received = Caller(port).sends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes(3) + b"\4" + bytes(5)).receives()
    assert received[:9] == bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
    length, kind = int.from_bytes(received[9:12], "big"), received[12]
    assert (length, kind, len(received)) == (len(received) - 18, 7, 18 + length)
    assert int.from_bytes(received[22:26], "big") == 13
    assert received[26:] == b"this server speaks HTTP/1.1"
    (line,) = caplog.records
    assert (line.message, line.fields) == (
        "refused HTTP/2: configure the client for HTTP/1.1",
        {"client": "127.0.0.1"},
    )

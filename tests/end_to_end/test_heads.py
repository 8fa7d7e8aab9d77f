"""Heads that are too large, too slow or no heads, and connections that nobody uses."""

import asyncio
import contextlib
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

pytestmark = pytest.mark.waits

SECONDS = 0.5
LARGE = 20_000_000


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads no body unless asked to, and tells how many headers there were."""
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
    with serving(application, http=guarded(SECONDS), timeout_keep_alive=2) as url:
        yield int(url.rpartition(":")[2])


class Caller:
    """A connection, on which anything may be said."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.started = time.monotonic()

    def says(self, *pieces: bytes) -> "Caller":
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.socket.sendall(piece)
        return self

    def hears(self) -> bytes:
        """Everything, until the connection ends."""
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
        (GET + b"".join(b"a%d: %s\r\n" % (number, b"b" * 1000) for number in range(100)) + b"\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na\x00b: c\r\n\r\n", 400),
    ],
)
@pytest.mark.parametrize("step", [1_000_000, 1000])
def test_a_head_that_cannot_be_is_refused(port: int, said: bytes, status: int, step: int) -> None:
    pieces = [said[start : start + step] for start in range(0, len(said), step)]
    assert refusal(Caller(port).says(*pieces).hears())[0] == status


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\na: ", b"GET / HTTP/1.1\r\n", b"GET /"])
def test_a_head_without_an_end_is_not_kept(port: int, begin: bytes) -> None:
    caller = Caller(port).says(begin)
    sent = 0
    with contextlib.suppress(ConnectionError):
        for _ in range(2000):
            caller.socket.sendall(b"b" * 10_000)
            sent += 10_000
            time.sleep(0.0001)
    assert sent < 10_000_000
    caller.socket.close()


@pytest.mark.parametrize("said", [b"", b"G", b"GET / HTTP/1.1\r\nhost: x\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(port: int, said: bytes) -> None:
    caller = Caller(port).says(said)
    received = caller.hears()
    assert SECONDS * 0.8 < caller.took < SECONDS * 4
    assert refusal(received)[0] == 408 if said else received == b""


def test_a_head_that_drips_is_not_waited_for_either(port: int) -> None:
    caller = Caller(port).says(GET)
    caller.socket.settimeout(0.05)
    received = b""
    while not received and time.monotonic() - caller.started < 5:
        caller.says(b"a: b\r\n")
        with contextlib.suppress(TimeoutError):
            received = caller.socket.recv(65536)
    caller.socket.close()
    assert refusal(received)[0] == 408
    assert time.monotonic() - caller.started < SECONDS * 4


def test_the_second_head_of_a_connection_is_watched_too(port: int) -> None:
    caller = Caller(port).says(GET + b"\r\n")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    time.sleep(SECONDS * 1.5)  # between requests a connection may idle for longer
    caller.says(GET + b"\r\n")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    started = time.monotonic()
    assert refusal(caller.says(b"GET / HT").hears())[0] == 408
    assert time.monotonic() - started < SECONDS * 4


def test_a_body_that_nobody_wants_does_not_hold_a_connection(port: int) -> None:
    caller = Caller(port).says(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
    caller.socket.settimeout(0.05)
    received, is_over = b"", False
    while not is_over and time.monotonic() - caller.started < 5:
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
    assert time.monotonic() - caller.started < SECONDS * 4


def test_what_is_in_order_takes_the_time_it_takes(port: int) -> None:
    caller = Caller(port)
    many = b"".join(b"a%d: %s\r\n" % (number, b"b" * 300) for number in range(100))
    for _ in range(3):
        caller.says(GET + many + b"\r\n")
        assert caller.socket.recv(65536).endswith(b"\r\n\r\n101")
    caller.says(b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(4):
        time.sleep(SECONDS / 3)
        caller.says(b"1\r\nx\r\n")
    caller.says(b"0\r\nlate: 1\r\n\r\n")
    assert caller.socket.recv(65536).endswith(b"\r\n\r\n2")
    caller.socket.close()


@pytest.mark.parametrize(
    "framing", [b"content-length: 1\r\n\r\nx", b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"]
)
def test_who_speaks_http_1_0_is_not_told_to_continue(port: int, framing: bytes) -> None:
    said = b"POST /read HTTP/1.0\r\nhost: x\r\nexpect: 100-continue\r\n"
    head, _, body = Caller(port).says(said + framing).hears().partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b"3")


# what follows the first request of a connection


UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQ\r\n"


@pytest.mark.parametrize("step", [1_000_000, 7])
def test_the_wish_for_another_protocol_makes_no_request_of_a_body(port: int, step: int) -> None:
    body = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    head = b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%s\r\n" % (len(body), UPGRADE)
    caller = Caller(port).says(head)
    time.sleep(0.02)
    caller.says(*[body[start : start + step] for start in range(0, len(body), step)])
    received = caller.says(b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").hears()
    assert received.count(b"HTTP/1.1 200") == 2


def test_the_wish_for_another_protocol_that_comes_in_pieces_is_refused(port: int) -> None:
    caller = Caller(port).says(b"POST /read HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nup")
    time.sleep(0.05)
    assert refusal(caller.says(b"grade: websocket\r\ncontent-length: 4\r\n\r\nGET ").hears())[0] == 400


@pytest.fixture(scope="module")
def impatient_port() -> Iterator[int]:
    impatient = type("Impatient", (guarded(SECONDS),), {"unread_seconds": SECONDS})
    with serving(application, http=impatient, timeout_keep_alive=20) as url:
        yield int(url.rpartition(":")[2])


GET_LARGE = b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n"


def test_an_answer_that_nobody_reads_is_not_held(impatient_port: int) -> None:
    caller = Caller(impatient_port).says(GET_LARGE)
    time.sleep(4 * SECONDS)
    assert 0 < len(caller.hears()) < LARGE


def test_a_stream_that_nobody_reads_is_not_held_either(impatient_port: int) -> None:
    caller = Caller(impatient_port).says(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
    time.sleep(4 * SECONDS)
    assert 0 < len(caller.hears()) < 5 * LARGE


def test_answers_that_are_read_slowly_are_whole(impatient_port: int) -> None:
    """Two on one connection: what was held of the first says nothing of the second."""
    caller = Caller(impatient_port).says(GET_LARGE, GET_LARGE)
    received = 0
    while received < 2 * LARGE and (data := caller.socket.recv(1_000_000)):
        received += len(data)
        time.sleep(0.05)
    caller.socket.close()
    assert received > 2 * LARGE
    assert time.monotonic() - caller.started > 2 * SECONDS


@pytest.mark.parametrize("rest", [b"0\r\nx: ", b"1;", b"0\r\n"])
def test_what_frames_a_body_has_an_end(port: int, rest: bytes) -> None:
    caller = Caller(port).says(
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
def test_a_byte_does_not_keep_a_connection_for_ever(port: int, byte: bytes) -> None:
    caller = Caller(port).says(GET + b"\r\n")
    caller.socket.recv(65536)
    started = time.monotonic()
    caller.says(byte).hears()
    assert time.monotonic() - started < SECONDS * 4


def test_the_rest_of_a_body_does_not_keep_a_connection_for_ever(port: int) -> None:
    caller = Caller(port).says(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    started = time.monotonic()
    caller.says(b"cd").hears()
    assert time.monotonic() - started < SECONDS * 4


def test_the_rest_of_a_body_does_not_end_a_connection_either(port: int) -> None:
    caller = Caller(port).says(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    caller.says(b"cd", GET + b"\r\n")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    caller.socket.close()


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    """Says something each tenth of a second for a second, and notes when its caller has gone."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.create_task(wait_for_departure(receive))
    for _ in range(10):
        await send({"type": "http.response.body", "body": b"event", "more_body": True})
        await asyncio.wait([gone], timeout=0.1)
        if gone.done():
            departures.append(scope["path"])
            return
    gone.cancel()
    await send({"type": "http.response.body", "body": b"end"})


async def wait_for_departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


departures: list[str] = []


@pytest.fixture
def streaming_port() -> Iterator[int]:
    departures.clear()
    with serving(streaming, http=guarded(SECONDS)) as url:
        yield int(url.rpartition(":")[2])


def test_who_speaks_http_1_0_gets_no_chunks(streaming_port: int) -> None:
    received = Caller(streaming_port).says(b"GET / HTTP/1.0\r\nhost: x\r\n\r\n").hears()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head
    assert body == b"event" * 10 + b"end"


@pytest.mark.parametrize("early", [b"GET /hea", GET + b"\r\n"])
def test_nothing_is_said_between_the_pieces_of_an_answer(streaming_port: int, early: bytes) -> None:
    caller = Caller(streaming_port).says(GET + b"\r\n")
    caller.socket.recv(65536)
    caller.says(early)
    received = b""
    while b"end" not in received and (data := caller.socket.recv(65536)):
        received += data
    caller.socket.close()
    assert b"HTTP/1.1" not in received.partition(b"end")[0]
    assert b"end" in received


def test_garbage_between_the_pieces_of_an_answer_ends_the_connection(streaming_port: int) -> None:
    caller = Caller(streaming_port).says(GET + b"\r\n")
    caller.socket.recv(65536)
    received = caller.says(b"\x00garbage\r\n\r\n").hears()
    assert b"400" not in received
    assert caller.took < 2


@pytest.mark.parametrize("size", [0, 300_000, 700_000, 3_000_000])
@pytest.mark.parametrize("early", [b"", b"GET /second HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /hea"])
def test_whoever_leaves_is_noticed_whatever_they_had_said_early(streaming_port: int, early: bytes, size: int) -> None:
    caller = Caller(streaming_port).says(b"POST /first HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
    caller.says(bytes(size))
    caller.socket.recv(65536)
    caller.says(early)
    time.sleep(0.05)
    caller.socket.close()
    deadline = time.monotonic() + 1
    while not departures and time.monotonic() < deadline:
        time.sleep(0.01)
    assert departures[0] == "/first"


def test_over_tls_too_an_answer_that_nobody_reads_is_not_held(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.context("localhost")
    (certificate,) = tmp_path.glob("localhost*.pem")
    impatient = type("Impatient", (guarded(SECONDS),), {"unread_seconds": SECONDS})
    options = {"http": impatient, "timeout_keep_alive": 20, "ssl_certfile": certificate}
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
        with calling() as deaf:
            time.sleep(6 * SECONDS)
            received = 0
            with contextlib.suppress(OSError):
                while data := deaf.recv(1_000_000):
                    received += len(data)
        assert 0 < received < LARGE


def test_requests_far_ahead_of_their_answers_wait_outside(streaming_port: int) -> None:
    """What is sent ahead is held for whoever is answered already, and nobody knows yet whether it may be sent."""
    caller = Caller(streaming_port).says(GET + b"\r\n")
    assert caller.socket.recv(65536).startswith(b"HTTP/1.1 200")
    ahead = b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000
    caller.socket.settimeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        for _ in range(300):
            caller.socket.sendall(ahead)
            sent += len(ahead)
    caller.socket.close()
    assert sent < 15_000_000  # of which the system holds the most


def test_who_takes_http_2_for_granted_is_told(port: int) -> None:
    """The frames of RFC 9113: settings, and an end for the reason HTTP_1_1_REQUIRED."""
    received = Caller(port).says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes(3) + b"\4" + bytes(5)).hears()
    assert received[:9] == bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
    length, kind = int.from_bytes(received[9:12], "big"), received[12]
    assert (length, kind, len(received)) == (len(received) - 18, 7, 18 + length)
    assert int.from_bytes(received[22:26], "big") == 13
    assert received[26:] == b"this server speaks HTTP/1.1"

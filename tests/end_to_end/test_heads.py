"""Heads that are too large, too slow or no heads, and connections that nobody uses."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from app.kit import json
from app.protocol import guarded
from tests.servers import serving

SECONDS = 0.5


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads no body unless asked to, and tells how many headers there were."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/read":
        while (await receive()).get("more_body"):
            pass
    body = str(len(scope["headers"])).encode()
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
        heard = b""
        with contextlib.suppress(ConnectionError):
            while data := self.socket.recv(65536):
                heard += data
        self.socket.close()
        self.took = time.monotonic() - self.started
        return heard


def refusal(heard: bytes) -> tuple[int, str]:
    head, _, body = heard.partition(b"\r\n\r\n")
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
    heard = caller.hears()
    assert SECONDS * 0.8 < caller.took < SECONDS * 4
    assert refusal(heard)[0] == 408 if said else heard == b""


def test_a_head_that_drips_is_not_waited_for_either(port: int) -> None:
    caller = Caller(port).says(GET)
    caller.socket.settimeout(0.05)
    heard = b""
    while not heard and time.monotonic() - caller.started < 5:
        caller.says(b"a: b\r\n")
        with contextlib.suppress(TimeoutError):
            heard = caller.socket.recv(65536)
    caller.socket.close()
    assert refusal(heard)[0] == 408
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
    heard, is_over = b"", False
    while not is_over and time.monotonic() - caller.started < 5:
        try:
            caller.socket.sendall(b"x")
            data = caller.socket.recv(65536)
            heard, is_over = heard + data, not data
        except TimeoutError:
            continue
        except ConnectionError:
            is_over = True
    caller.socket.close()
    assert heard.startswith(b"HTTP/1.1 200")
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

"""Shutdown: connections that were begun before it are served, whatever the moment."""

import asyncio
import contextlib
import ctypes
import socket
import ssl
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.server.connection_close import ConnectionClose
from app.server.graceful_server import PortTaken, Server
from app.server.listening import accept_pending, bind, reserve_port
from app.server.protocol import GuardedProtocol, guarded
from app.server.tcp import Delivery, has_unread, shut_down_writing
from tests.bedrock.http1.certificates import Authority
from tests.waiting import wait_until

pytestmark = pytest.mark.waits

only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux can refuse connections before a listener is closed"
)
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class Ending(Server):
    """Shuts down when `may_end` is set, and calls `last` at that moment."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.may_end = threading.Event()
        self.last: Any = lambda: None
        self.thread = threading.Thread()

    async def main_loop(self) -> None:
        while not self.may_end.is_set():
            await asyncio.sleep(0.005)
        self.last()


@contextlib.contextmanager
def serving(
    all_end: Callable[[], bool] = lambda: True, drain_seconds: float = 1.0, **options: Any
) -> Iterator[tuple[Ending, int]]:
    protocol = type("DrainingProtocol", (guarded(30),), {"drain_seconds": drain_seconds})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            application, http=protocol, log_config=None, lifespan="off", timeout_graceful_shutdown=60, **options
        )
        server = Ending(config, all_end)
        server.thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        server.thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            yield server, listener.getsockname()[1]
        finally:
            server.may_end.set()
            server.thread.join(90)
            assert not server.thread.is_alive()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def answer(caller: socket.socket) -> bytes:
    received = b""
    while data := caller.recv(4096):
        received += data
    return received


def test_connections_that_were_not_accepted_yet_are_served() -> None:
    with serving() as (server, port), contextlib.ExitStack() as stack:
        callers: list[socket.socket] = []

        def last() -> None:
            for _ in range(3):
                callers.append(stack.enter_context(connected(port)))
                callers[-1].sendall(REQUEST)

        server.last = last
        server.may_end.set()
        while len(callers) < 3:
            time.sleep(0.005)
        for caller in callers:
            assert answer(caller).endswith(b"\r\n\r\nok")


def test_a_connection_without_a_tls_handshake_does_not_delay_the_shutdown(tmp_path: Path) -> None:
    Authority(tmp_path).context("localhost")
    (certificate,) = tmp_path.glob("localhost*.pem")
    with serving(ssl_certfile=certificate) as (server, port), contextlib.ExitStack() as stack:
        server.last = lambda: stack.enter_context(connected(port))
        server.may_end.set()
        server.thread.join(20)
        assert not server.thread.is_alive()


class Handshake:
    """A TLS handshake in two steps."""

    def __init__(self, authority: Authority, port: int) -> None:
        self.plain = connected(port)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        trusting = ssl.create_default_context(cafile=authority.bundle)
        self._tls = trusting.wrap_bio(self._in, self._out, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self.plain.sendall(self._out.read())
        self._in.write(self.plain.recv(65536))

    def request(self) -> bytes:
        """End the handshake, send a request, and return the response."""
        self._tls.do_handshake()
        self._tls.write(REQUEST)
        self.plain.sendall(self._out.read())
        received = b""
        while data := self.plain.recv(65536):
            self._in.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                while data := self._tls.read():
                    received += data
                break  # the server has sent close_notify
        self.plain.close()
        return received


def test_a_request_after_a_pending_tls_handshake_is_served_with_connection_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.server.graceful_server._TLS_HANDSHAKE_SECONDS", 30)
    authority = Authority(tmp_path)
    authority.context("localhost")
    (certificate,) = tmp_path.glob("localhost*.pem")
    with serving(ssl_certfile=certificate) as (server, port):
        caller = Handshake(authority, port)
        server.may_end.set()
        time.sleep(0.3)
        said = caller.request()
        assert said.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in said
        assert said.endswith(b"ok")
        server.thread.join(20)
        assert not server.thread.is_alive()


@pytest.mark.parametrize("earlier", [b"", REQUEST])
@pytest.mark.parametrize("later", [b"", REQUEST])
def test_a_caller_without_close_notify_does_not_delay_the_shutdown(
    tmp_path: Path, earlier: bytes, later: bytes
) -> None:
    authority = Authority(tmp_path)
    authority.context("localhost")
    (certificate,) = tmp_path.glob("localhost*.pem")
    trusting = ssl.create_default_context(cafile=authority.bundle)
    with serving(ssl_certfile=certificate, drain_seconds=3.0 if later else 1.0) as (server, port):
        with trusting.wrap_socket(connected(port), server_hostname="localhost") as caller:
            caller.sendall(earlier)
            assert not earlier or caller.recv(4096).endswith(b"ok")
            server.may_end.set()
            time.sleep(0.3)
            caller.sendall(later)
            server.thread.join(20)
            assert not server.thread.is_alive()
            assert not later or caller.recv(4096).endswith(b"ok")


@pytest.mark.parametrize("earlier", [b"", REQUEST])
def test_a_request_on_an_idle_connection_is_served_during_the_shutdown(earlier: bytes) -> None:
    with serving(drain_seconds=30) as (server, port), connected(port) as caller:
        if earlier:
            caller.sendall(earlier)
            assert caller.recv(4096).endswith(b"ok")
        time.sleep(0.1)
        server.may_end.set()
        time.sleep(0.3)
        caller.sendall(REQUEST)
        said = caller.recv(4096)
        assert said.startswith(b"HTTP/1.1 200 ")
        assert said.endswith(b"ok")


def test_an_idle_connection_does_not_delay_the_shutdown() -> None:
    started = time.monotonic()
    with serving() as (server, port), connected(port) as caller:
        server.may_end.set()
        assert answer(caller) == b""
    assert time.monotonic() - started < 20


def test_new_connections_are_refused_during_the_shutdown() -> None:
    with serving(drain_seconds=60) as (server, port), connected(port):
        server.may_end.set()
        wait_until(lambda: is_refused(port))
        assert server.thread.is_alive()


def is_refused(port: int) -> bool:
    try:
        connected(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_an_idle_connection_is_not_closed_if_a_request_has_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a request is answered; a caller without one learns of the close at once."""
    said: list[str] = []
    unread = [True, False, True]
    monkeypatch.setattr("app.server.connection_close.has_unread", lambda _: unread.pop(0))
    monkeypatch.setattr("app.server.connection_close.shut_down_writing", lambda _: said.append("no more"))
    transport, loop = mock.Mock(), mock.Mock()
    transport.get_write_buffer_size.return_value = 0
    transport.get_extra_info.return_value = None
    transport.close.side_effect = lambda: said.append("closed")
    protocol = GuardedProtocol.__new__(GuardedProtocol)
    protocol.transport, protocol.loop = transport, loop
    protocol.closing = ConnectionClose(transport, loop, 1.0)
    protocol._overhead, protocol._requests, protocol._receiving = 0, deque(), None
    protocol._close_if_idle()
    assert (said, loop.call_later.call_args.args) == ([], (1.0, protocol._close_if_idle))
    protocol._close_if_idle()
    assert said == ["no more", "closed"]
    protocol._receiving = mock.Mock()  # the rest of a body that is not read does not count
    protocol._close_if_idle()
    assert said == ["no more", "closed"] * 2


def test_unread_data_and_a_shut_down_socket_are_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, connected(listener.getsockname()[1]) as caller:
        side, _ = listener.accept()
        with side:
            assert not has_unread(side)
            caller.sendall(b"x")
            while not has_unread(side):
                time.sleep(0.005)
            shut_down_writing(side)
            assert caller.recv(1) == b""
            assert side.recv(1) == b"x"
        assert not has_unread(side)
        shut_down_writing(side)


@only_linux
def test_a_connection_after_the_last_accept_is_refused_and_not_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy sends a request elsewhere if the connection was refused."""
    refused: list[int] = []
    with serving() as (server, port), contextlib.ExitStack() as stack:
        callers: list[socket.socket] = []

        def looked(listener: socket.socket) -> list[socket.socket]:
            found = accept_pending(listener)
            try:
                callers.append(stack.enter_context(connected(port)))
                callers[-1].sendall(REQUEST)
            except ConnectionRefusedError:
                refused.append(port)
            return found

        monkeypatch.setattr("app.server.graceful_server.accept_pending", looked)
        server.may_end.set()
        server.thread.join(30)
        assert refused
        for caller in callers:
            assert answer(caller).endswith(b"ok")


@only_linux
def test_a_connection_with_a_pending_tcp_handshake_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is connected already, while the last packet of the handshake is still on its way."""
    monkeypatch.setattr(
        "app.server.graceful_server._TCP_HANDSHAKE_SECONDS", 2.0
    )  # Linux repeats a lost packet after one second
    with serving() as (server, port), contextlib.ExitStack() as stack:
        callers: list[socket.socket] = []
        listeners: list[socket.socket] = []

        def last() -> None:
            (listener,) = server._listeners
            drop_all_but_syn(listener)
            callers.append(stack.enter_context(connected(port)))
            callers[-1].sendall(REQUEST)

        def looked(listener: socket.socket) -> list[socket.socket]:
            found = accept_pending(listener)
            if not listeners:
                assert not found
                listeners.append(listener)
                listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            return found

        server.last = last
        monkeypatch.setattr("app.server.graceful_server.accept_pending", looked)
        server.may_end.set()
        server.thread.join(30)
        assert answer(callers[0]).endswith(b"ok")


def test_one_worker_that_stops_does_not_refuse_new_connections() -> None:
    """The kernel would drop connections that it assigned to a refusing listener beside an open one."""
    with serving(lambda: False) as (server, port):
        with socket.create_server(("127.0.0.1", 0), reuse_port=True):
            (listener,) = server._listeners
            server.handle_exit(15, None)
            with connected(port) as caller:
                caller.sendall(REQUEST)
                assert answer_begins(caller)
            server.may_end.set()
            server.thread.join(30)
            assert listener.fileno() == -1


def answer_begins(caller: socket.socket) -> bool:
    return caller.recv(15).startswith(b"HTTP/1.1 200")


def drop_all_but_syn(listener: socket.socket) -> None:
    """Have the kernel drop all packets to a listener but those that begin a handshake."""
    load_flags, is_begun, take, drop = (0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)
    program = b"".join(struct.pack("=HBBI", *each) for each in (load_flags, is_begun, take, drop))
    kept = ctypes.create_string_buffer(program, len(program))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 4, ctypes.addressof(kept)))


def test_a_reserved_port_refuses_connections_and_can_be_shared() -> None:
    with reserve_port(("127.0.0.1", 0), socket.AF_INET) as reservation:
        address = reservation.getsockname()
        with pytest.raises(ConnectionRefusedError):
            connected(address[1])
        with socket.create_server(address, reuse_port=True), socket.create_server(address, reuse_port=True):
            connected(address[1]).close()
            with pytest.raises(OSError, match="in use"):
                reserve_port(address, socket.AF_INET)


def test_of_two_servers_at_one_port_the_second_fails() -> None:
    """Both may bind before one listens; uvloop would start the second, which would serve nothing."""
    with bind(("127.0.0.1", 0), socket.AF_INET) as first, bind(first.getsockname(), socket.AF_INET) as second:
        first.listen()
        server = Server(uvicorn.Config(application, http=guarded(30), log_config=None, lifespan="off"))
        with pytest.raises(PortTaken, match="in use"):
            server.run(sockets=[second])


@only_linux
def test_an_address_can_be_reserved_once() -> None:
    """Although two sockets may be bound to it before one of them listens."""
    with reserve_port(("127.0.0.1", 0), socket.AF_INET) as reservation:
        address = reservation.getsockname()
        with pytest.raises(OSError, match="in use"):
            reserve_port(address, socket.AF_INET)
    reserve_port(address, socket.AF_INET).close()


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_bound_socket_refuses_connections_until_it_listens(family: socket.AddressFamily, host: str) -> None:
    with bind((host, 0), family, is_shared=True) as first:
        address = first.getsockname()[:2]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=30)
        first.listen()
        socket.create_connection(address, timeout=30).close()
        with bind(address, family, is_shared=True) as second:
            second.listen()
        with pytest.raises(OSError, match="in use"):
            bind(address, family)


def test_a_tls_connection_is_closed_after_two_polls_without_pending_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One poll is not enough: the event loop may hold data that has not reached the kernel."""
    looks = [Delivery(5, False), Delivery(9, True), Delivery(9, True), Delivery(12, False), Delivery(12, False), None]
    monkeypatch.setattr("app.server.connection_close.delivery_of", lambda _: looks.pop(0))
    transport, loop = mock.Mock(), mock.Mock()
    ConnectionClose(transport, loop, 1.0).begin()
    for _ in range(4):
        assert not transport.close.called
        seconds, again, *arguments = loop.call_later.call_args.args
        assert 0 < seconds <= 1
        again(*arguments)
    assert transport.close.called
    assert loop.call_later.call_args.args == (1.0, transport.abort)
    assert looks == [None]

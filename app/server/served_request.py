"""One request of a connection, and its response: what an ASGI application receives and sends.

The endpoints also write complete responses, and pieces of streams, without events of ASGI: see `asgi_extensions`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection
from functools import lru_cache
from http import HTTPStatus
from typing import Protocol

from msgspec import Struct, field
from starlette.types import ASGIApp, Message, Scope
from uvicorn.server import ServerState

from app.server.connection_close import ConnectionClose
from app.server.connection_interface import Connection, FlowControl
from app.server.unread_response import UnreadResponseTimeout

_log = logging.getLogger("uvicorn.error")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MAX_JOINED_BYTES = 64 * 1024
# four times uvicorn's limit: pausing and resuming costs more than reading
MAX_BUFFERED_BYTES = 256 * 1024
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_WITHOUT_BODY = (204, 304)
# a header may hold tabs, and no other control characters
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_FAILURE = b"Internal Server Error"

Header = tuple[bytes, bytes]


class ServingConnection(Connection, Protocol):
    """The connection of a request. unread: counts the bytes that are written. closing: closes it."""

    @property
    def server_state(self) -> ServerState: ...

    @property
    def unread(self) -> UnreadResponseTimeout: ...

    @property
    def closing(self) -> ConnectionClose: ...

    def on_response_complete(self) -> None:
        """Serve the next request."""
        ...


class ServedRequest(Struct, eq=False):
    """One request and its response.

    flow: of the connection. keeps_alive: the connection stays open for another request.
    awaits_continue: the caller sends the body once it got `100 Continue`.
    is_framed: a body without a length is sent in chunks. In HTTP/1.0 it ends with the connection.
    is_head: the response has no body.
    has_started, is_complete: the head, and all, of the response has been written. is_lost: the caller disconnected.
    """

    connection: ServingConnection
    flow: FlowControl
    keeps_alive: bool
    awaits_continue: bool
    is_framed: bool
    is_head: bool
    has_started: bool = False
    is_complete: bool = False
    is_lost: bool = False
    # of the request's body: what was not received yet
    _pieces: list[bytes] = field(default_factory=list)
    _size: int = 0
    _has_arrived: bool = False
    _is_received: bool = False
    _news: asyncio.Event | None = None
    # of the response: bytes of its body that are left, and its head until the first bytes of its body
    _has_length: bool = False
    _left: int = 0
    _head: bytes = b""
    _on_disconnect: Callable[[], None] | None = None

    async def run(self, application: ASGIApp, scope: Scope) -> None:
        """Have the application answer the request."""
        try:
            await application(scope, self.receive, self.send)
        except BaseException as error:  # noqa: BLE001 -- nobody awaits the task
            _log.error("Exception in ASGI application\n", exc_info=error)
            self._end_badly()
        else:
            if not self.is_complete and not self.is_lost:
                _log.error("the application returned without a complete response")
                self._end_badly()
        finally:
            self.connection.server_state.tasks.discard(asyncio.current_task())

    def _end_badly(self) -> None:
        if self.has_started:
            self.close()
        else:
            self.keeps_alive = False
            self.respond(500, ["content-type: text/plain; charset=utf-8"], _FAILURE)

    # called by the connection

    def add_body(self, piece: bytes) -> None:
        """Add a piece of the request's body."""
        if self.is_complete:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > MAX_BUFFERED_BYTES:
            self.flow.pause_reading()
        if self._news is not None:
            self._news.set()

    def end_body(self) -> None:
        """Note that the request's body is complete."""
        self._has_arrived = True
        if self._news is not None:
            self._news.set()

    def lose(self) -> None:
        """Tell the application that the caller disconnected."""
        if not self.is_complete:
            self.is_lost = True
            if self._news is not None:
                self._news.set()
        if self._on_disconnect is not None:
            self._on_disconnect()

    # called by the application

    async def receive(self) -> Message:
        """Wait for more of the body, or for a disconnect."""
        if self.awaits_continue and not self.connection.closing.is_closing:
            self.connection.transport.write(_CONTINUE)
        self.awaits_continue = False
        while not (self.is_lost or self.is_complete):
            self.flow.resume_reading()
            if self._pieces or (self._has_arrived and not self._is_received):
                body = b"".join(self._pieces)
                self._pieces.clear()
                self._size, self._is_received = 0, self._has_arrived
                return {"type": "http.request", "body": body, "more_body": not self._has_arrived}
            self._news = self._news or asyncio.Event()
            self._news.clear()
            await self._news.wait()
        return {"type": "http.disconnect"}

    def take_body(self) -> bytes | None:
        """Return the body, instead of `receive`; None if some of it has not arrived, or the caller disconnected."""
        if self.is_lost or not self._has_arrived:
            return None
        body = b"".join(self._pieces)  # a single piece is not copied
        self._pieces.clear()
        self._is_received = True
        return body

    async def send(self, message: Message) -> None:
        """Send an event of ASGI, once the caller has received what was written before.

        Raises:
            RuntimeError: the event is not allowed now, or its headers or length are wrong.
        """
        if self.flow.write_paused and not self.is_lost:
            await self.flow.drain()
        if self.is_lost:
            return
        expected = "http.response.body" if self.has_started else "http.response.start"
        if message["type"] != expected or self.is_complete:
            raise RuntimeError(f"unexpected event of ASGI: {message['type']}")
        if self.has_started:
            self.add(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            self.begin(message["status"], [*message.get("headers", ())])
            self.connection.loop.call_soon(self._flush)

    def respond(self, status: int, headers: list[str], body: bytes) -> None:
        """Write a complete response.

        Args:
            headers: as `lines_of` returns them, neither of the connection nor of the length, which is added.
        """
        if not self.is_lost:
            headers.append(f"content-length: {len(body)}")
            self._write(self._begin(status, headers), b"" if self.is_head else body)
            self._complete()

    def write_piece(self, data: bytes) -> bool:
        """Write a piece of a body without a length that has begun; returns whether more may be written at once."""
        connection = self.connection
        if not connection.transport.is_closing():
            piece = b"%x\r\n%b\r\n" % (len(data), data) if self.is_framed else data
            if self._head:
                self._write_with_head(piece)
            else:
                connection.unread.written += len(piece)
                connection.transport.write(piece)
        return not self.flow.write_paused

    def set_disconnect_callback(self, callback: Callable[[], None] | None) -> None:
        """Register the function to call when the caller disconnects; None ends the registration."""
        self._on_disconnect = callback
        if callback is None:
            return
        if self.connection.transport.is_closing():
            callback()
        else:
            # a disconnect is noticed only while the connection is read; the rest of a body may have paused that
            self.flow.resume_reading()

    def cut(self) -> None:
        """End the response, incomplete, and close the connection after what was written."""
        self.is_lost = True
        self.close()

    def abort(self) -> None:
        """Close the connection at once, without sending what is buffered."""
        self.connection.transport.abort()

    def close(self) -> None:
        """Close the connection after what was written."""
        self._flush()
        self.connection.closing.begin()

    # the response

    def begin(self, status: int, headers: Collection[Header]) -> None:
        """Begin a response of any headers."""
        by_name = dict(headers)
        if b"content-length" in by_name:
            self._has_length, self._left = True, int(by_name[b"content-length"])
        if b"close" in by_name.get(b"connection", b"").lower():
            self.keeps_alive = False
        lines = [*_checked([_decoded(each) for each in headers if each[0] != b"connection"])]
        if by_name.get(b"transfer-encoding", b"").lower() == b"chunked":
            self._has_length, self.is_framed = False, True
        elif self.is_head or status in _WITHOUT_BODY:
            self._has_length = True
        elif not self._has_length and self.is_framed:
            lines.append("transfer-encoding: chunked")
        # it is written with the first piece of the body: one system call instead of two
        self._head = self._begin(status, lines)

    def _begin(self, status: int, headers: list[str]) -> bytes:
        """Return the head. headers: as `lines_of` returns them."""
        self.has_started, self.awaits_continue = True, False
        if not self.keeps_alive:
            headers.append("connection: close")
        default = map(_default_line_of, self.connection.server_state.default_headers)
        lines = [_status_line_of(status), *default, *headers, "", ""]  # an empty line ends the head
        return "\r\n".join(lines).encode("latin-1", "replace")

    def add(self, body: bytes, *, is_last: bool = True) -> None:
        """Write a piece of the body. Raises RuntimeError: the body is longer or shorter than its head says."""
        if self.is_head:
            self._left, body = 0, b""
        elif self._has_length:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the body is longer than its content-length")
        elif self.is_framed:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"0\r\n\r\n" if is_last else b""
        self._write_with_head(body)
        if is_last:
            if self._has_length and self._left:
                raise RuntimeError("the body is shorter than its content-length")
            self._complete()

    def _complete(self) -> None:
        self.is_complete = True
        if self._news is not None:
            self._news.set()
        if not self.keeps_alive:
            self.close()
        self.connection.on_response_complete()

    def _write_with_head(self, data: bytes) -> None:
        head, self._head = self._head, b""
        self._write(head, data)

    def _write(self, head: bytes, data: bytes) -> None:
        connection = self.connection
        connection.unread.written += len(head) + len(data)
        if len(data) <= _MAX_JOINED_BYTES:
            data = head + data
        elif head:
            connection.transport.write(head)
        if data:
            connection.transport.write(data)

    def _flush(self) -> None:
        if self._head and not self.connection.transport.is_closing():
            self._write_with_head(b"")


def _decoded(header: Header) -> tuple[str, str]:
    return header[0].decode("latin-1"), header[1].decode("latin-1")


@lru_cache(64)
def _status_line_of(status: int) -> str:
    return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}"


@lru_cache(8)  # one of them changes, with each second
def _default_line_of(header: Header) -> str:
    return ": ".join(_decoded(header))


def _checked(headers: Collection[tuple[str, str]]) -> tuple[str, ...]:
    lines = tuple(map(": ".join, headers))
    if any(map(_CONTROL.search, lines)):
        raise RuntimeError(f"a control character in one of {len(lines)} headers")
    return lines


@lru_cache(64)
def lines_of(headers: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return the lines of a head; those of equal headers are remembered.

    Raises:
        RuntimeError: a header holds a control character.
    """
    return _checked(headers)

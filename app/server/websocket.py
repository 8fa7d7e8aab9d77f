"""A WebSocket on a connection that began with an HTTP/1.1 request (RFC 6455).

Messages are read piece by piece, as bodies are, so that the limits of bodies apply before a message is complete.
Loaded by the first upgrade of a process. Why wsproto: docs/adr/0036-wsproto-reads-websockets.md.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from wsproto.connection import Connection as FrameConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, generate_accept_token

from app.server.connection_close import ConnectionClose
from app.server.connection_interface import Connection
from app.server.unread_response import UnreadResponseTimeout

# close codes (RFC 6455, 7.4.1)
_NORMAL, _UNSUPPORTED, _INTERNAL = 1000, 1003, 1011
# keeps proxies from closing the connection, many of which do after a minute of silence
_PING_SECONDS = 25.0
_MAX_IDLE_SECONDS = 3600.0
# a peer has so long to answer a close frame
_CLOSE_SECONDS = 2.0
# bytes of messages that were not read yet, after which the connection is not read
_MAX_BUFFERED_BYTES = 256 * 1024


def switching_protocols(key: str, request_id: str) -> bytes:
    """Return the response that accepts an upgrade. key: the header `sec-websocket-key`."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: "
        b"%b\r\nx-request-id: %b\r\n\r\n" % (generate_accept_token(key.encode()), request_id.encode())
    )


class WebSocket:
    """One WebSocket.

    flow: of the connection. is_ending: the server is shutting down, so that no further message is read.
    write_piece: None, as the responses to messages are events of ASGI; see `CallerConnection`.

    Args:
        connection: its upgrade has been accepted. unread: counts the bytes that are written. close: closes it.
    """

    write_piece = None

    def __init__(self, connection: Connection, unread: UnreadResponseTimeout, close: ConnectionClose) -> None:
        self._connection = connection
        self._unread = unread
        self._close = close
        self._frames = FrameConnection(ConnectionType.SERVER)
        # pieces of messages, each with whether it is the last of its message
        self._pieces: deque[tuple[bytes, bool]] = deque()
        self._buffered = 0
        self._is_in_message = False
        self._woken = asyncio.Event()
        self._on_disconnect: Callable[[], None] | None = None
        self.flow = connection.flow
        self._is_over = False
        self._pings_left = int(_MAX_IDLE_SECONDS / _PING_SECONDS)
        self._timer = connection.loop.call_later(_PING_SECONDS, self._ping_when_idle)
        self.is_ending = False

    # called by the connection

    def data_received(self, data: bytes) -> None:
        """Read frames."""
        if self._is_over and self._frames.state is not ConnectionState.LOCAL_CLOSING:
            return
        with contextlib.suppress(LocalProtocolError):
            self._frames.receive_data(data)
            for event in self._frames.events():
                self._handle(event)
        if self._buffered > _MAX_BUFFERED_BYTES:
            self.flow.pause_reading()

    def connection_lost(self) -> None:
        """End: the connection was lost."""
        self._end()

    def shutdown(self) -> None:
        """Serve the message that has begun, if any, as the last."""
        self.is_ending = True
        self._woken.set()

    def _handle(self, event: Event) -> None:
        if self._is_over:
            if isinstance(event, CloseConnection):
                self._close_transport()
            return
        match event:
            case TextMessage(data=text, message_finished=is_last):
                piece = text.encode()
                self._pieces.append((piece, is_last))
                self._buffered += len(piece)
                self._woken.set()
            case Ping() if not self.flow.write_paused:  # the peer must read to get more pongs
                self._write(self._frames.send(event.response()))
            case CloseConnection():
                self._write(self._frames.send(event.response()))
                self._end()
                self._close_transport()
            case BytesMessage():
                self.close(_UNSUPPORTED, "messages are JSON texts")

    # called by the application

    async def has_message(self) -> bool:
        """Wait for the beginning of a message. Returns False if there will be none."""
        while not self._pieces:
            if self._is_over or self.is_ending:
                return False
            self._pings_left = int(_MAX_IDLE_SECONDS / _PING_SECONDS)
            await self._wait()
        return True

    async def receive_piece(self) -> tuple[bytes, bool] | None:
        """Return a piece of the message, and whether it is the last; None if the peer has gone."""
        while not self._pieces:
            if self._is_over:
                return None
            await self._wait()
        piece, is_last = self._pieces.popleft()
        self._buffered -= len(piece)
        self._is_in_message = not is_last
        if self._buffered <= _MAX_BUFFERED_BYTES:
            self.flow.resume_reading()
        return piece, is_last

    @property
    def is_in_message(self) -> bool:
        """True if a message was read in part."""
        return self._is_in_message

    def take_body(self) -> bytes | None:
        """Return None: a message is read piece by piece."""
        return None

    async def send(self, text: str) -> None:
        """Send a message, and wait until it has left the process. After a disconnect, this does nothing."""
        if self._is_over:
            return
        self._write(self._frames.send(TextMessage(text)))
        if self.flow.write_paused:
            await self.flow.drain()

    def ping(self) -> None:
        """Send a ping, so that no proxy closes the connection, and a dead peer is noticed."""
        if not self._is_over and not self.flow.write_paused:
            self._write(self._frames.send(Ping()))
            self._unread.start()

    def set_disconnect_callback(self, callback: Callable[[], None] | None) -> None:
        """Register the function to call when the peer disconnects, or, with None, end the registration."""
        self._on_disconnect = callback
        if callback is not None and self._is_over:
            callback()

    def cut(self) -> None:
        """Close the connection within a response."""
        self.close(_INTERNAL, "the response is incomplete")

    def abort(self) -> None:
        """Close the connection at once, without sending what is buffered."""
        self._connection.transport.abort()

    def close(self, code: int = _NORMAL, reason: str = "") -> None:
        """Close the connection, after what was written."""
        if self._is_over:
            return
        self._write(self._frames.send(CloseConnection(code, reason)))
        self._end()
        # data that is still arriving is read until then: it would reset the connection before its peer has read this
        self._connection.loop.call_later(_CLOSE_SECONDS, self._close_transport)
        self.flow.resume_reading()

    # both

    async def _wait(self) -> None:
        self._woken.clear()
        await self._woken.wait()

    def _write(self, data: bytes) -> None:
        if not self._close.is_closing:
            self._unread.written += len(data)
            self._connection.transport.write(data)

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._timer.cancel()
        self._woken.set()
        if self._on_disconnect is not None:
            self._on_disconnect()

    def _close_transport(self) -> None:
        if not self._close.is_closing:
            self._close.begin()

    def _ping_when_idle(self) -> None:
        self._pings_left -= 1
        if self._pings_left <= 0 and self._on_disconnect is None:
            self.close(_NORMAL, "no message for an hour")
            return
        self.ping()
        self._timer = self._connection.loop.call_later(_PING_SECONDS, self._ping_when_idle)

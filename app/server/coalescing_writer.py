"""The transport to which uvicorn writes the response of one request."""

from __future__ import annotations

import asyncio

from app.server.connection_close import ConnectionClose
from app.server.unread_response import UnreadResponseTimeout
from app.server.uvicorn_interface import Connection

_MAX_JOINED_BYTES = 64 * 1024


class CoalescingWriter(asyncio.Transport):
    """Writes the head of a response together with the first piece of its body: one system call instead of two.

    Args:
        unread: counts the bytes that are written. close: closes the connection.
        is_in_chunks: a body without a length is sent in chunks, and not up to the end of the connection.
    """

    __slots__ = ("_close", "_connection", "_head", "_is_first", "_is_in_chunks", "_transport", "_unread")

    def __init__(
        self, connection: Connection, unread: UnreadResponseTimeout, close: ConnectionClose, *, is_in_chunks: bool
    ) -> None:
        super().__init__()
        self._connection = connection
        self._transport = connection.transport
        self._unread = unread
        self._close = close
        self._is_in_chunks = is_in_chunks
        self._head = b""
        self._is_first = True

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        """Write; the first write waits for the second, or for the next iteration of the event loop."""
        self._unread.written += len(data)
        if self._is_first:
            self._is_first, self._head = False, bytes(data)
            self._connection.loop.call_soon(self._flush)
        elif self._head and len(data) <= _MAX_JOINED_BYTES:
            joined, self._head = self._head + data, b""
            self._transport.write(joined)
        else:
            self._flush()
            self._transport.write(data)

    def write_piece(self, data: bytes) -> bool:
        """Write a piece of a body without a length that has begun; returns whether more may be written at once."""
        if not self._transport.is_closing():
            self.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_in_chunks else data)
        return not self._connection.flow.write_paused

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def close(self) -> None:
        """Close the connection after what was written."""
        self._flush()
        self._close.begin()

    def is_closing(self) -> bool:
        """Return whether the connection is closing."""
        return self._close.is_closing

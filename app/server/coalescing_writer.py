"""What stands between uvicorn's answer to one request and the connection."""

from typing import Any


class CoalescingWriter:
    """Writes the head of an answer together with what follows it, which comes at once: one send instead of two.

    Args:
        protocol: counts in `written` what is written, and closes by `leave`. is_in_chunks: how a body without a length
            is framed, if not by the end of the connection, as for a caller of HTTP/1.0.
    """

    __slots__ = ("_head", "_is_first", "_is_in_chunks", "_loop", "_protocol", "_transport")

    def __init__(self, protocol: Any, *, is_in_chunks: bool) -> None:
        self._protocol = protocol
        self._is_in_chunks = is_in_chunks
        self._transport = protocol.transport
        self._loop = protocol.loop
        self._head = b""
        self._is_first = True

    def write(self, data: bytes) -> None:
        """Write, or, at first, wait for more until everybody else has had their turn."""
        self._protocol.written += len(data)
        if self._is_first:
            self._is_first, self._head = False, data
            self._loop.call_soon(self._flush)
        elif self._head:
            joined, self._head = self._head + data, b""
            self._transport.write(joined)
        else:
            self._transport.write(data)

    def write_on(self, data: bytes) -> bool:
        """Write a piece of a body that has begun, and whose length nobody has told; True if more may follow at once."""
        if not self._transport.is_closing():
            self.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_in_chunks else data)
        is_full: bool = self._protocol.flow.write_paused
        return not is_full

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def close(self) -> None:
        """Close behind what was written."""
        self._flush()
        self._protocol.leave()

    def is_closing(self) -> bool:
        """True if nothing can be written any more."""
        is_leaving: bool = self._protocol.is_leaving()
        return is_leaving

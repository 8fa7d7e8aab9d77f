"""One connection to a server, for one request at a time."""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from app.bedrock.http1.response import Http1Response, StaleConnection
from app.errors import ConnectionLost, GatewayError, UpstreamTimeout

# of head, trailers or chunk framing, in a row: twice what AWS's load balancers pass on
_MAX_OVERHEAD_BYTES = 128 * 1024
_JOINED_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024
# a server that has closed an idle connection says so within a round trip
_STALE_SECONDS = 0.5
_EMPTY = memoryview(b"")


class _UnexpectedMessage(Exception):
    """The server sent HTTP that is not a response to the request."""


class Connection(asyncio.Protocol):
    """A connection: writes a request, and fills its response with what arrives.

    Args:
        release: called when a response has ended and the connection can be reused.
    """

    def __init__(self, release: "Callable[[Connection], None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._release = release
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._response: Http1Response | None = None
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._overhead_bytes = 0
        self._has_received = False
        self._is_in_body = False
        self._is_complete = False
        self._ends_with_connection = False
        self._is_kept_alive = False
        self._is_tls = False
        self._unwritten: memoryview = _EMPTY
        self._is_writing_paused = False
        self._is_reading_paused = False
        self._is_reused = False
        self._sent_at = self._active_at = 0.0
        self._timeout = self._idle_timeout = 0.0
        self._buffered_to_send = 0
        self.is_open = False
        self.idle_since = 0.0

    def send(self, head: bytes, body: bytes, first_byte: float, idle: float) -> Http1Response:
        """Write a request. The connection belongs to it until its response has ended.

        Args:
            first_byte, idle: seconds without a byte in either direction, before and after the response's head.
        """
        response = self._response = Http1Response(self, self._loop.create_future())
        self._headers, self._overhead_bytes = [], 0
        self._has_received = self._is_in_body = self._is_complete = self._ends_with_connection = False
        self._sent_at = self._active_at = self._loop.time()
        if len(body) <= _JOINED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._unwritten = memoryview(body)
            self._write_more()
        self._buffered_to_send = self._transport.get_write_buffer_size()
        self._timeout, self._idle_timeout = first_byte, idle
        due = self._sent_at + first_byte
        if self._timer is None or self._timer.when() > due:  # an earlier timer stays: a new one costs more
            self._set_timer(due)
        return response

    def pause_reading(self) -> None:
        """Read no more from the socket, so that the server sends no faster than its response is read."""
        if not self._is_reading_paused and self.is_open:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._is_reading_paused and self.is_open:
            self._is_reading_paused = False
            self._active_at = self._loop.time()
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once."""
        self._response, self._unwritten = None, _EMPTY
        self._stop_timer()
        if self.is_open:
            self.is_open = False
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection."""
        self._stop_timer()
        self.is_open = False
        self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self._is_tls = transport.get_extra_info("ssl_object") is not None
        self.is_open = True

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._is_writing_paused = False
        self._active_at = self._loop.time()
        self._write_more()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, and hand it to the response."""
        response = self._response
        if response is None:  # unsolicited
            self.abort()
            return
        self._has_received, self._active_at = True, self._loop.time()
        self._overhead_bytes += len(data)
        failure = ""
        try:
            self._parser.feed_data(data)
            if self._overhead_bytes > _MAX_OVERHEAD_BYTES:
                raise _UnexpectedMessage
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, _UnexpectedMessage) as error:
            failure = type(error).__name__
        body, self._body = self._body, []
        if self._is_complete:  # bytes after the response are not part of it
            self._end_response(body, is_reusable=self._is_kept_alive and not failure)
            return
        if failure:
            response.put(body)
            self._fail(ConnectionLost("Bedrock's response is not HTTP", detail=failure))
        elif body:
            response.pass_on(body)

    def eof_received(self) -> None:
        """End a response that has no length; by TLS, EOF may have been forged, and such a response fails."""
        if self._response is None:
            self.is_open = False
        elif self._is_in_body and self._ends_with_connection and not self._is_tls:
            self._end_response([], is_reusable=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the open response, if any."""
        self._stop_timer()
        self.is_open = False
        if self._response is None:
            return
        kind, since = type(exc).__name__ if exc else "EOF", self._loop.time() - self._sent_at
        is_stale = self._is_reused and not self._has_received and since < _STALE_SECONDS
        error = StaleConnection if is_stale else ConnectionLost
        self._fail(error("the connection to Bedrock broke", detail=kind))

    # httptools

    def on_message_begin(self) -> None:
        """Refuse a second response to one request."""
        if self._is_complete:
            raise _UnexpectedMessage

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; trailers are dropped."""
        if not self._is_in_body:
            self._headers.append((name.lower().decode("latin-1"), value.rstrip().decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Hand the head to the response; interim ones (1xx) are skipped."""
        status = self._parser.get_status_code()
        if status < 200:
            self._headers.clear()
            return
        if self._response is None:
            raise _UnexpectedMessage
        names = dict(self._headers)
        is_framed = "content-length" in names or "chunked" in names.get("transfer-encoding", "").lower()
        self._ends_with_connection = not is_framed and status not in (204, 304)
        self._is_in_body, self._overhead_bytes = True, 0
        if self._idle_timeout != self._timeout and self._timer is not None:
            self._timeout = self._idle_timeout
            due = self._loop.time() + self._timeout
            if self._timer.when() > due:
                self._set_timer(due)
        self._response.status, self._response.headers = status, tuple(self._headers)
        if not self._response.head.done():
            self._response.head.set_result(None)

    def on_body(self, data: bytes) -> None:
        """Collect a piece of the body."""
        self._overhead_bytes = 0
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Note that a response is complete, unless it was an interim one."""
        self._is_complete = self._is_in_body
        self._is_kept_alive = self._parser.should_keep_alive()  # the parser forgets it with the message

    def _write_more(self) -> None:
        """Write the body in pieces, so that what the server has not taken yet is known."""
        while self._unwritten and not self._is_writing_paused:
            piece, self._unwritten = self._unwritten[:_PIECE_BYTES], self._unwritten[_PIECE_BYTES:]
            self._transport.write(piece)

    def _end_response(self, body: list[bytes], *, is_reusable: bool) -> None:
        """Release the connection where both sides keep it, and complete the response with the rest of its body."""
        is_unsent = bool(self._unwritten) or self._transport.get_write_buffer_size() > 0
        response, self._response, self._unwritten = self._response, None, _EMPTY
        if is_unsent:  # the server did not want the rest of the request
            self.abort()
        elif is_reusable and not self._transport.is_closing():
            if self._is_reading_paused:
                self.resume_reading()
            self._is_reused = True
            self.idle_since = self._loop.time()
            self._release(self)
        else:
            self.close()
        if response is not None:
            response.complete(body)

    def _fail(self, error: GatewayError) -> None:
        response = self._response
        self.abort()
        if response is not None:
            response.fail(error)

    def _set_timer(self, due: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_at(due, self._check_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_timeout(self) -> None:
        """Fail the response unless a byte moved in time, in either direction; a slow reader is not a timeout."""
        self._timer = None
        if self._response is None:
            return
        now, buffered = self._loop.time(), self._transport.get_write_buffer_size()
        if self._is_reading_paused or buffered != self._buffered_to_send:
            self._active_at, self._buffered_to_send = now, buffered
        due = self._active_at + self._timeout
        if due > now:
            self._set_timer(due)
        else:
            self._fail(UpstreamTimeout("Bedrock sent nothing for too long", detail="read timeout"))

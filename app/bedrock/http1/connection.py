"""One connection to a server, for one request at a time."""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from app.bedrock.http1.response import Http1Response, StaleConnection
from app.errors import ConnectionLost, GatewayError, UpstreamTimeout

# of head, trailers or the frame of chunks, in a row: twice what AWS's load balancers let pass
_HEAD_BYTES = 128 * 1024
_JOINED_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024
# a server that has closed an idle connection says so within a round trip
_STALE_SECONDS = 0.5
_NOTHING = memoryview(b"")


class _OddAnswer(Exception):
    """What arrived is HTTP, and yet no answer to a request."""


class Connection(asyncio.Protocol):
    """A connection, which writes a request and feeds what comes back to its response.

    Args:
        free: called when a request has ended and the next may be sent.
    """

    def __init__(self, free: "Callable[[Connection], None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._free = free
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._response: Http1Response | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._heard_bytes = 0
        self._is_heard = False
        self._is_in_body = False
        self._is_complete = False
        self._ends_with_connection = False
        self._is_kept_alive = False
        self._is_tls = False
        self._unwritten: memoryview = _NOTHING
        self._is_full = False
        self._is_held = False
        self._is_used_again = False
        self._sent_at = self._heard_at = 0.0
        self._timeout = self._idle_timeout = 0.0
        self._unsent = 0
        self.is_open = False
        self.idle_since = 0.0

    def send(self, head: bytes, body: bytes, first_byte: float, idle: float) -> Http1Response:
        """Write a request. The connection belongs to it until its answer has ended.

        Args:
            first_byte, idle: seconds in which no byte moves, in either direction, before and after the answer's head.
        """
        response = self._response = Http1Response(self)
        self._headers, self._heard_bytes = [], 0
        self._is_heard = self._is_in_body = self._is_complete = self._ends_with_connection = False
        self._sent_at = self._heard_at = self._loop.time()
        if len(body) <= _JOINED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._unwritten = memoryview(body)
            self._write_on()
        self._unsent = self._transport.get_write_buffer_size()
        self._timeout, self._idle_timeout = first_byte, idle
        self._set_timer(first_byte)
        return response

    def hold(self, *, is_held: bool) -> None:
        """Stop reading, or go on: a server sends no faster than its answer is read."""
        if is_held == self._is_held or not self.is_open:
            return
        self._is_held = is_held
        if is_held:
            self._transport.pause_reading()
        else:
            self._heard_at = self._loop.time()
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close without ceremony."""
        self._rest()
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
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._is_tls = transport.get_extra_info("ssl_object") is not None
        self.is_open = True

    def pause_writing(self) -> None:
        """The server takes what it gets more slowly than it is written."""
        self._is_full = True

    def resume_writing(self) -> None:
        """The server has taken most of it."""
        self._is_full = False
        self._heard_at = self._loop.time()
        self._write_on()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        response = self._response
        if response is None:  # they answer no request
            self.abort()
            return
        self._is_heard, self._heard_at = True, self._loop.time()
        self._heard_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if self._heard_bytes > _HEAD_BYTES:
                raise _OddAnswer
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, _OddAnswer) as error:
            if self._is_complete:  # what follows the answer is no part of it
                self._end(is_usable=False)
            else:
                self._fail(ConnectionLost("Bedrock's answer is not HTTP", detail=type(error).__name__))
            return
        if self._is_complete:
            self._end(is_usable=self._is_kept_alive)
        else:
            response.wake()

    def eof_received(self) -> None:
        """The server sends no more."""
        if self._response is None:
            self.is_open = False
        elif self._is_in_body and self._ends_with_connection and not self._is_tls:
            self._end(is_usable=False)  # by TLS this might be an end that somebody else has put

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_timer()
        self.is_open = False
        if self._response is None:
            return
        kind, since = type(exc).__name__ if exc else "EOF", self._loop.time() - self._sent_at
        if self._is_used_again and not self._is_heard and since < _STALE_SECONDS:
            self._fail(StaleConnection("the connection to Bedrock broke", detail=kind))
        else:
            self._fail(ConnectionLost("the connection to Bedrock broke", detail=kind))

    # httptools

    def on_message_begin(self) -> None:
        """An answer begins; one more behind the last answers no request."""
        if self._is_complete:
            raise _OddAnswer

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head, or a trailer, which nobody asked for."""
        if not self._is_in_body:
            self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        """The head is complete; one that only announces another (1xx) is passed over."""
        status = self._parser.get_status_code()
        if status < 200:
            self._headers.clear()
            return
        names = dict(self._headers)
        is_framed = b"content-length" in names or b"chunked" in names.get(b"transfer-encoding", b"").lower()
        self._ends_with_connection = not is_framed and status not in (204, 304)
        self._is_in_body, self._heard_bytes = True, 0
        if self._idle_timeout != self._timeout and self._timer is not None:
            self._timeout = self._idle_timeout
            self._set_timer(self._timeout)
        self._answer.put_head(
            status, tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._headers)
        )

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._heard_bytes = 0
        if self._response is None:
            raise _OddAnswer
        self._response.put(data)

    def on_message_complete(self) -> None:
        """The answer is complete, unless it only announced another."""
        self._is_complete = self._is_in_body
        self._is_kept_alive = self._parser.should_keep_alive()  # the parser forgets it with the message

    @property
    def _answer(self) -> Http1Response:
        if self._response is None:
            raise _OddAnswer
        return self._response

    def _write_on(self) -> None:
        """Write in pieces, as fast as the server takes them: so much is known of what it has not taken."""
        while self._unwritten and not self._is_full:
            piece, self._unwritten = self._unwritten[:_PIECE_BYTES], self._unwritten[_PIECE_BYTES:]
            self._transport.write(piece)

    # ends

    def _end(self, *, is_usable: bool) -> None:
        """The answer has ended as it should: keep the connection where both sides can."""
        is_unsent = bool(self._unwritten) or self._transport.get_write_buffer_size() > 0
        response = self._rest()
        if is_unsent:  # the server did not want the rest of the request
            self.abort()
        elif is_usable and not self._transport.is_closing():
            self.hold(is_held=False)
            self._is_used_again = True
            self.idle_since = self._loop.time()
            self._free(self)
        else:
            self.close()
        if response is not None:
            response.complete()

    def _fail(self, error: GatewayError) -> None:
        response = self._rest()
        self.abort()
        if response is not None:
            response.fail(error)

    def _rest(self) -> Http1Response | None:
        """Nobody waits any more. Returns the response that was waited for."""
        response, self._response = self._response, None
        self._unwritten = _NOTHING
        return response

    def _set_timer(self, seconds: float) -> None:
        """Look no later than so many seconds from now. A timer that comes sooner stays: making one costs more."""
        due = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > due:
            self._stop_timer()
            self._timer = self._loop.call_at(due, self._look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Time to look whether anything moved: a byte in, a byte out, or a reader who takes its time."""
        self._timer = None
        if self._response is None:
            return
        now, unsent = self._loop.time(), self._transport.get_write_buffer_size()
        if self._is_held or unsent != self._unsent:
            self._heard_at, self._unsent = now, unsent
        left = self._heard_at + self._timeout - now
        if left > 0:
            self._set_timer(left)
        else:
            self._fail(UpstreamTimeout("Bedrock was silent for too long", detail="read timeout"))

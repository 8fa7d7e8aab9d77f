"""Sends responses to the caller, and stops when the caller disconnects."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from msgspec import Struct
from starlette.types import Receive, Send

from app.dialects.http.loggable import loggable_field
from app.dialects.http.responses import CompleteResponse, ErrorRenderer, Headers, LimitHeaders, StreamingResponse
from app.errors import AuthenticationFailed, GatewayError
from app.execution.operations.operation import MALFORMED, malformed
from app.execution.request_context import RequestContext
from app.governance.admission import Permit
from app.governance.held_bytes import HeldBytes
from app.observability.observer import RequestRecord
from app.process.loop_turns import LoopTurns
from app.server.asgi_extensions import CallerConnection
from app.server.served_request import lines_of

# the header of every response by which its request is found in the log
REQUEST_ID = "x-request-id"
_MAX_LISTED = 2000
# of a complete response, in one message of ASGI
_PIECE_BYTES = 256 * 1024
# smaller complete responses are bounded by the permits alone
_COUNTED_BYTES = 16 * 1024
# of a stream whose caller does not read: what is written, and what has been read from Bedrock
_MIN_STALLED_BYTES = 64 * 1024
# after a batch of a stream that is this large, other tasks of its caller go on first
_TURN_BYTES = 32 * 1024
_turns = LoopTurns()
# tells SDKs not to multiply the gateway's retries: docs/reference/contracts/errors.md#retry-advice
_ADVICE = (("x-should-retry", "false"),)


class EventConnection:
    """Stands for the connection under a server that offers nothing but the events of ASGI.

    write_piece: None. flow: this, and never paused, as the server makes `send` wait.
    """

    write_piece = None
    write_paused = False

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None

    @property
    def flow(self) -> "EventConnection":
        return self

    async def drain(self) -> None:
        """Return: nothing waits here."""

    def pause_reading(self) -> None:
        """Do nothing: the server does."""

    def resume_reading(self) -> None:
        """Do nothing: the server does."""

    def take_body(self) -> bytes | None:
        """Return None: the body is received as events."""
        return None

    def set_disconnect_callback(self, callback: Callable[[], None] | None) -> None:
        """Call a function when the caller disconnects; None ends that. The body has been received before."""
        if self._watcher is not None:
            self._watcher.cancel()
        self._watcher = None if callback is None else asyncio.create_task(self._watch(callback))

    async def _watch(self, callback: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        callback()

    def cut(self) -> None:
        """Do nothing: the server closes the connection of a response that is incomplete."""

    def abort(self) -> None:
        """Do nothing: the server closes the connection of a response that is incomplete."""


class DisconnectGuard(Struct):
    """Cancels the task of a request when the caller disconnects, and tells its sender that the caller has gone.

    If Bedrock bills the answer all the same, it goes on without a permit until that has arrived.
    """

    sender: "ResponseSender"
    request: RequestContext
    permit: Permit

    def cancel(self) -> None:
        """Cancel the task, or let it go on for nobody."""
        task = self.request.deadline.task
        if self.sender.is_done or task is None:
            return
        self.sender.caller_has_gone = True
        if self.request.outlive is not None and self.request.outlive(self.request, task):
            self.permit.release()
        else:
            task.cancel()


class ResponseSender(Struct):
    """Sends one response as ASGI messages, and the later pieces of a stream by the connection, if it offers that.

    heartbeat: seconds of silence after which a stream's `idle` is sent. note_gap: called with the seconds between two
    pieces of a stream. response_bytes: those of a large response. limit_headers: see `EndpointSpec`.
    respond: writes a complete response and its length, if the server does. is_done: the response is complete.
    caller_has_gone: the caller disconnected before that.
    """

    send: Send
    record: RequestRecord
    render_error: ErrorRenderer
    heartbeat: float
    note_gap: Callable[[float], object]
    connection: CallerConnection
    respond: Callable[[int, list[str], bytes], None] | None = None
    response_bytes: HeldBytes | None = None
    limit_headers: LimitHeaders | None = None
    is_done: bool = False
    caller_has_gone: bool = False
    _is_started: bool = False
    _write: Callable[[bytes], bool] | None = None
    _fail: Callable[[GatewayError], bytes | None] | None = None
    _last_sent: float = 0.0
    _is_sending: bool = False
    _kept: bytes = b""

    async def send_complete(self, response: CompleteResponse, more_headers: Headers = ()) -> None:
        """Send a complete response, and wait until it has left the process.

        Raises:
            GatewayBusy: too many bytes of large responses wait already.
        """
        body, flow = response.body, self.connection.flow
        if len(body) > _COUNTED_BYTES and self.response_bytes is not None and self.response_bytes.size < len(body):
            await self.response_bytes.add_when_free(len(body) - self.response_bytes.size)
        headers = self._begin(response.status, response.headers + more_headers)
        if self.respond is not None and not flow.write_paused and len(body) <= _PIECE_BYTES:
            self.is_done = True
            self.respond(response.status, headers, body)
        else:
            headers.append(f"content-length: {len(body)}")
            await self._send_start(response.status, headers)
            body = await self._send_pieces(body)
            self.is_done = True
            await self.send({"type": "http.response.body", "body": body})
        if flow.write_paused:
            await flow.drain()

    async def _send_pieces(self, body: bytes) -> bytes:
        """Send a body up to its last piece, each as soon as the one before has left the process; return that."""
        start = 0
        while len(body) - start > _PIECE_BYTES:
            await self.send(
                {"type": "http.response.body", "body": body[start : start + _PIECE_BYTES], "more_body": True}
            )
            start += _PIECE_BYTES
        return body[start:]

    async def send_stream(self, response: StreamingResponse) -> None:
        """Send a stream to its end, and close its relay. Raises GatewayError; then `send_error` ends the stream."""
        heart: asyncio.Task[None] | None = None
        if self._is_started:
            self._fail = response.fail
        with closing(response.relay):
            try:
                # an error before the first bytes still has a status of its own
                is_over = await self._deliver(response)
                if self._is_started and self.record.first_event_ms is None:
                    self.record.first_event_ms = (time.monotonic() - self.record.started) * 1000
                if response.idle and self.heartbeat:
                    heart = asyncio.create_task(self._beat(response.idle))
                while not is_over:
                    is_over = await self._deliver(response)
                last = await response.finish()
            finally:
                if heart is not None:
                    heart.cancel()
        if not self._is_started:
            await self._start_stream(response)
        if last:
            self._note_sent()
        await self._end(last)

    async def begin_stream(self, headers: Headers, idle: bytes, fail: Callable[[GatewayError], bytes | None]) -> None:
        """Begin a stream that waits for its turn, unless it has begun, and send `idle`.

        From then on its status is 200, and an error is its last event, which `fail` makes.
        """
        if not self._is_started:
            self._fail = fail
            await self._start(200, headers)
        await self._send_piece(idle)

    async def send_error(self, error: GatewayError) -> None:
        """Send an error: complete, or as the last bytes of a stream. If neither is possible, `is_done` stays False."""
        reason = error.message if isinstance(error, AuthenticationFailed) else ""
        self.record.error, self.record.detail = error.kind, error.detail or reason or loggable_field(error)
        if not self._is_started:
            advice = _ADVICE if _must_not_be_retried(error) else ()
            response = self.render_error(error, self.record.request_id)
            await self.send_complete(response, (*error.headers.items(), *advice))
        elif self._fail is not None and not self.is_done:
            last = self._fail(error)
            self._fail = None  # it refers to the stream, and that to this sender
            if last is not None:
                await self._end(last)

    async def _deliver(self, response: StreamingResponse) -> bool:
        """Send pieces of a stream until the caller must be awaited. Returns True once all have been sent.

        An error is raised after the pieces before it have been sent.
        """
        failure: GatewayError | None = None
        size = 0

        def on_batch(batch: Any) -> bool:
            nonlocal failure, size
            data, failure = response.translate(batch)
            size = len(data)
            if not data:
                return failure is None
            if self._write is None:
                self._kept = data
                return False
            self._note_sent()
            return self._write(data) and failure is None and len(data) < _TURN_BYTES

        is_over = await response.relay.deliver(on_batch)
        kept, self._kept = self._kept, b""
        if kept and not self._is_started:
            await self._start_stream(response)
        if self._is_started and not is_over:
            if self.response_bytes is not None and self.connection.flow.write_paused:
                await self._wait_for_caller(kept, size)
            else:
                await self._send_piece(kept)
        if failure is not None:
            raise failure
        if size >= _TURN_BYTES and not is_over:
            await _turns.wait(self.response_bytes.name if self.response_bytes is not None else "")
        return is_over

    async def _wait_for_caller(self, kept: bytes, size: int) -> None:
        """Send a piece to a caller that reads more slowly than pieces arrive, and count what waits for it.

        Args:
            size: bytes of the last batch; about as many have been read ahead from Bedrock.

        Raises:
            GatewayBusy: too many bytes wait, and the connection is to be cut.
        """
        if self.response_bytes is not None:
            self.response_bytes.add(max(2 * size, _MIN_STALLED_BYTES))
            await self._send_piece(kept)
            self.response_bytes.release()

    async def _beat(self, idle: bytes) -> None:
        """Send `idle` whenever a stream has been silent; never between two halves of a piece."""
        while True:
            await asyncio.sleep(max(self._last_sent + self.heartbeat - time.monotonic(), 0.01))
            if not self._is_sending and time.monotonic() - self._last_sent >= self.heartbeat:
                await self._send_piece(idle)

    async def _send_piece(self, data: bytes) -> None:
        self._is_sending = True
        await self.send({"type": "http.response.body", "body": data, "more_body": True})
        self._is_sending = False
        if data:
            self._note_sent()

    def _note_sent(self) -> None:
        now = time.monotonic()
        if self._last_sent:
            self.note_gap(now - self._last_sent)
        self._last_sent = now

    async def _start_stream(self, response: StreamingResponse) -> None:
        self._fail = response.fail
        headers = response.headers
        if response.length is not None:
            headers = (*headers, ("content-length", str(response.length)))
        await self._start(response.status, headers, may_write=response.length is None)
        if self.record.first_event_ms is None:
            self.record.first_event_ms = (time.monotonic() - self.record.started) * 1000

    async def _start(self, status: int, headers: Headers, *, may_write: bool = True) -> None:
        """Begin a stream. may_write: it has no length, so the connection may write it in chunks."""
        own = self._begin(status, headers)
        if may_write:
            self._write = self.connection.write_piece
        await self._send_start(status, own)

    async def _send_start(self, status: int, headers: list[str]) -> None:
        raw = [tuple(each.encode("latin-1", "replace").split(b": ", 1)) for each in headers]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    def _begin(self, status: int, headers: Headers) -> list[str]:
        """Note that the response begins; return the lines of its headers."""
        record = self.record
        own = [*lines_of(headers), f"{REQUEST_ID}: {record.request_id}"]
        record.status, self._is_started = status, True
        if record.ignored:
            own.append(f"x-outcrop-ignored: {_listed(record.ignored)}")
        if record.adjusted:
            adjusted = _listed(record.adjusted)
            # the second is the former name, sent until 1.0
            own += [f"x-outcrop-adjusted: {adjusted}", f"x-outcrop-repaired: {adjusted}"]
        if record.standings is not None and self.limit_headers is not None:
            own += record.standings.lines(self.limit_headers)
        return own

    async def _end(self, data: bytes) -> None:
        self.is_done, self._fail = True, None
        await self.send({"type": "http.response.body", "body": data})


def translate_batch(translator: Callable[[Any], bytes], batch: list[Any]) -> tuple[bytes, GatewayError | None]:
    """Translate the events of a batch. Returns the bytes of those before the first error, and the error, if any."""
    pieces: list[bytes] = []
    failure: GatewayError | None = None
    try:
        for event in batch:
            pieces.append(translator(event))
    except GatewayError as error:
        failure = error
    except MALFORMED as error:
        failure = malformed(error)
    return b"".join(pieces), failure


def _must_not_be_retried(error: GatewayError) -> bool:
    """Tell whether a caller's SDK would retry an error in vain. Claude Code retries 401 and 403 for minutes.

    Source: docs/reference/contracts/errors.md#retry-advice
    """
    status = error.status
    return status in (401, 403) or (error.is_final and (status in (408, 409, 429) or status >= 500))


def _listed(names: list[str]) -> str:
    """Join names to a header's value. Callers choose them, so it is limited to printable ASCII, and in length."""
    text = ", ".join(names)
    safe = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text[:_MAX_LISTED])
    return safe if len(text) <= _MAX_LISTED else f"{safe}..."

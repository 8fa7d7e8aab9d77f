"""Answers on their way to the caller, and the caller's departure."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from msgspec import Struct
from starlette.types import Message, Receive, Scope, Send

from app.dialects.http.request_body import CallerGone
from app.dialects.http.responses import Answer, CompleteResponse, ErrorRenderer, Headers, StreamingResponse
from app.errors import AuthenticationFailed, GatewayError
from app.observability.observer import RequestRecord
from app.server.asgi_extensions import DISCONNECTED

# the header of every answer by which its request is found in the log
REQUEST_ID = b"x-request-id"
_MAX_LISTED = 2000
# tells SDKs not to multiply the gateway's retries: docs/reference/contracts/errors.md#retry-advice
_ADVICE = (("x-should-retry", "false"),)


class DisconnectGuard:
    """While it is held, the caller's departure cancels what runs inside, and comes out as `CallerGone`."""

    def __init__(self, scope: Scope, receive: Receive, sender: "Sender") -> None:
        self._tell_departure = scope.get("extensions", {}).get(DISCONNECTED)
        self._receive = receive
        self._sender = sender
        self._has_gone = False

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        if self._tell_departure is not None:
            self._tell_departure(self._cancel)
        else:
            self._watcher = asyncio.create_task(self._watch())

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._tell_departure is not None:
            self._tell_departure(None)
        else:
            self._watcher.cancel()
        if self._has_gone and kind is asyncio.CancelledError:
            if self._task is not None:
                self._task.uncancel()
            raise CallerGone from None

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._cancel()

    def _cancel(self) -> None:
        if not self._sender.is_done and self._task is not None:
            self._has_gone = True
            self._task.cancel()


class Sender(Struct):
    """Sends answers: by ASGI's messages, and what follows the beginning of a stream by `write`, where there is one."""

    send: Send
    record: RequestRecord
    render_error: ErrorRenderer
    heartbeat: float
    note_gap: Callable[[float], object]
    write: Callable[[bytes], bool] | None = None
    is_done: bool = False
    _is_started: bool = False
    _stream: StreamingResponse | None = None
    _last_sent: float = 0.0
    _is_sending: bool = False
    _kept: bytes = b""

    async def send_answer(self, answer: Answer) -> None:
        """Send an answer. What a stream raises comes out; then `send_error` ends it."""
        if isinstance(answer, CompleteResponse):
            await self._send_whole(answer.status, answer.headers, answer.body)
        else:
            await self._send_stream(answer)

    async def send_error(self, error: GatewayError) -> None:
        """Send an error: whole, or as the last bytes of a stream that has begun; where neither can be, cut."""
        reason = error.message if isinstance(error, AuthenticationFailed) else ""
        self.record.error, self.record.detail = error.kind, error.detail or reason
        if not self._is_started:
            whole = self.render_error(error, self.record.request_id)
            advice = _ADVICE if error.is_final and _is_retried_by_sdks(error.status) else ()
            await self._send_whole(whole.status, (*whole.headers, *error.headers.items(), *advice), whole.body)
        elif self._stream is not None and not self.is_done:
            last = self._stream.fail(error)
            if last is not None:
                await self._end(last)

    async def _send_whole(self, status: int, headers: Headers, body: bytes) -> None:
        await self._start(status, (*headers, ("content-length", str(len(body)))))
        await self._end(body)

    async def _send_stream(self, answer: StreamingResponse) -> None:
        with closing(answer.relay):
            # what fails before the first bytes have come still gets a status of its own
            is_over = await self._pour(answer, self._keep)
            with self._beating(answer.idle):
                while not is_over:
                    is_over = await self._pour(answer, self._pass_on)
                last = await answer.finish()
        if not self._is_started:
            await self._begin(answer)
        if last:
            self._note_sent()
        await self._end(last)

    async def _pour(self, answer: StreamingResponse, pass_on: Callable[[bytes], bool]) -> bool:
        """Send what is heard by `pass_on`, until it says that this is enough for now; True once all has been sent.

        What makes no sense is raised behind what was good before it.
        """
        failure: GatewayError | None = None

        def take(received: Any) -> bool:
            nonlocal failure
            said, failure = answer.translate(received)
            return (not said or pass_on(said)) and failure is None

        is_over = await answer.relay.deliver(take)
        kept, self._kept = self._kept, b""
        if kept and not self._is_started:
            await self._begin(answer)
        if self._is_started and not is_over:
            await self._send_more(kept)  # and wait for a caller who takes more slowly than things come
        if failure is not None:
            raise failure
        return is_over

    def _keep(self, data: bytes) -> bool:
        self._kept = data
        return False

    def _pass_on(self, data: bytes) -> bool:
        if self.write is None:
            return self._keep(data)
        self._note_sent()
        return self.write(data)

    async def _begin(self, answer: StreamingResponse) -> None:
        self._stream = answer
        await self._start(answer.status, answer.headers)
        self.record.mark_first_event()

    @contextmanager
    def _beating(self, idle: bytes) -> Iterator[None]:
        heart = asyncio.create_task(self._beat(idle)) if idle and self.heartbeat else None
        try:
            yield
        finally:
            if heart is not None:
                heart.cancel()

    async def _beat(self, idle: bytes) -> None:
        """Say something whenever nothing else was said for a while; never in between two halves of a chunk."""
        while True:
            await asyncio.sleep(max(self._last_sent + self.heartbeat - time.monotonic(), 0.01))
            if not self._is_sending and time.monotonic() - self._last_sent >= self.heartbeat:
                await self._send_more(idle)

    async def _send_more(self, data: bytes) -> None:
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

    async def _end(self, data: bytes) -> None:
        self.is_done = True
        await self.send({"type": "http.response.body", "body": data})

    async def _start(self, status: int, headers: Headers) -> None:
        self.record.status = status
        named = [*headers]
        if self.record.ignored:
            named.append(("x-outcrop-ignored", _listed(self.record.ignored)))
        if self.record.adjusted:
            adjusted = _listed(self.record.adjusted)
            # the second is the former name, sent until 1.0
            named += [("x-outcrop-adjusted", adjusted), ("x-outcrop-repaired", adjusted)]
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in named]
        raw.append((REQUEST_ID, self.record.request_id.encode()))
        self._is_started = True
        message: Message = {"type": "http.response.start", "status": status, "headers": raw}
        await self.send(message)


def _is_retried_by_sdks(status: int) -> bool:
    """True for what callers' SDKs try again by themselves.

    Source: docs/reference/contracts/errors.md#retry-advice
    """
    return status in (408, 409, 429) or status >= 500


def _listed(names: list[str]) -> str:
    """Names as a header's value: a caller chose them, so nothing but printable ASCII goes out, and not too much."""
    text = ", ".join(names)
    safe = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text[:_MAX_LISTED])
    return safe if len(text) <= _MAX_LISTED else f"{safe}..."

"""The door that every dialect's endpoint shares: a raw ASGI callable that stands in FastAPI's router.

It authenticates, reads the body once, runs the handler under the request's deadline, sends what the handler answers,
stops everything when the caller goes, and renders every error in its dialect. FastAPI only routes and documents:
its own dependency and response machinery would be 40 % of the CPU of a request (design, measured decisions).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

from app.dialects.envelopes import Answer, ErrorRenderer, Headers, Streamed, Whole
from app.errors import (
    BodyTooLarge,
    GatewayError,
    InternalFailure,
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    UpstreamTimeout,
)
from app.kit.clock import Deadline
from app.pipeline.exchange import Exchange
from app.policies.auth import Authenticator, RequestHead, SignedClaim
from app.policies.caller import Caller
from app.telemetry.observer import RequestRecord

_log = logging.getLogger(__name__)

RECORD = "outcrop.record"
CALLER_GONE = "caller_gone"
_MAX_LISTED = 2000
# OpenAI's and Anthropic's SDKs obey it, so that their retries do not multiply the gateway's (contracts 1.4)
_ADVICE = (("x-should-retry", "false"),)
STATUS_CALLER_GONE = 499  # nginx's number for a caller that did not wait; it is only logged

Handler = Callable[[Exchange], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Threshold:
    """What every door needs to let a request in.

    authenticator: who may. max_body_bytes: how large a body. total_timeout: seconds for all of it. heartbeat: seconds
    of silence in a stream after which something is said; 0 for never.
    """

    authenticator: Authenticator
    max_body_bytes: int
    total_timeout: float
    heartbeat: float = 0.0


# what each status of an error tells a caller, where a dialect has no words of its own for it
MEANINGS = {
    400: "The request cannot be carried out; `param` names the field.",
    401: "No key, or one that is not known.",
    403: "AWS refuses the gateway's identity.",
    404: "No such model.",
    405: "Another method is wanted.",
    413: "The body is too large.",
    429: "Throttled; `retry-after` says for how long, where Bedrock does.",
    500: "A fault of the gateway, or Bedrock's InternalServerException.",
    502: "Bedrock could not be reached, or its answer made no sense.",
    503: "Bedrock has no capacity.",
    504: "Bedrock did not answer within the limits.",
}


def error_responses(model: type[BaseModel], meanings: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """How a dialect's routes document their errors: for each status its meaning, all in the same shape.

    Args:
        model: the shape of an error in the dialect.
        meanings: what each status tells the caller.
    """
    return {status: {"model": model, "description": meaning} for status, meaning in meanings.items()}


class _CallerGone(Exception):
    """The caller closed the connection."""


async def _undocumented() -> None:
    raise AssertionError


class Door(APIRoute):
    """A route whose requests skip FastAPI and go to `handler`; its schemas stay in OpenAPI.

    Args:
        path: the path's template.
        documented: an endpoint that is never called: its signature and docstring are the documentation.
        dialect, handler, render_error, threshold: see `Entrance`.
        render_by_head: for a path that several dialects share: chooses the renderer by the request's head.
        options: whatever `APIRoute` takes.
    """

    def __init__(
        self,
        path: str,
        documented: Callable[..., Any],
        *,
        dialect: str,
        handler: Handler,
        render_error: ErrorRenderer,
        threshold: Threshold,
        render_by_head: Callable[[RequestHead], ErrorRenderer] | None = None,
        **options: Any,
    ) -> None:
        # only the OpenAPI page needs the schemas of documented routes: 1.3 MB for all doors, measured on 2026-11-25
        self.documented = partial(APIRoute, path, documented, **options)
        super().__init__(path, _undocumented, methods=options["methods"], response_model=None)
        self._entrance = Entrance(self.path_format, dialect, handler, render_error, threshold, render_by_head)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, past FastAPI."""
        await self._entrance.enter(scope, receive, send, self.methods or set())


@dataclass(frozen=True, slots=True)
class Entrance:
    """One endpoint of a dialect, as an ASGI callable.

    route: the path's template, for logs. render_error: makes an answer of an error and the request's id.
    """

    route: str
    dialect: str
    handler: Handler
    render_error: ErrorRenderer
    threshold: Threshold
    render_by_head: Callable[[RequestHead], ErrorRenderer] | None = None

    async def enter(self, scope: Scope, receive: Receive, send: Send, methods: set[str]) -> None:
        """Handle one request to its end."""
        record: RequestRecord = scope[RECORD]
        record.route, record.dialect = self.route, self.dialect
        render_error = self.render_by_head(head_of(scope)) if self.render_by_head else self.render_error
        sender = _Sender(send, record, render_error, self.threshold.heartbeat)
        limit = asyncio.timeout(self.threshold.total_timeout)
        try:
            if scope["method"] not in methods:
                raise MethodNotAllowed(
                    f"this path takes {', '.join(sorted(methods))}", headers={"allow": ", ".join(sorted(methods))}
                )
            async with limit:
                await self._handle(scope, receive, sender)
        except _CallerGone:
            record.error, record.status = CALLER_GONE, record.status or STATUS_CALLER_GONE
        except GatewayError as error:
            await sender.send_error(error)
        except RecursionError:
            await sender.send_error(InvalidRequest("the body is nested too deeply"))
        except asyncio.CancelledError:
            await sender.send_error(Overloaded("the gateway is shutting down"))
            raise
        except Exception as error:  # noqa: BLE001 -- a fault of ours must still be answered in the dialect
            if isinstance(error, TimeoutError) and limit.expired():
                await sender.send_error(UpstreamTimeout("the request took longer than its limit"))
                return
            _log.exception("unexpected failure", extra={"fields": {"request_id": record.request_id}})
            await sender.send_error(InternalFailure("an internal error occurred", detail=type(error).__name__))

    async def _handle(self, scope: Scope, receive: Receive, sender: "_Sender") -> None:
        deadline = Deadline.after(self.threshold.total_timeout)
        head = head_of(scope)
        claim = self.threshold.authenticator.authenticate(head)
        if isinstance(claim, Caller):
            sender.record.caller = claim.name
        body = await _read_body(head, receive, self.threshold.max_body_bytes)
        if isinstance(claim, SignedClaim):
            claim = claim.verify(body)
            sender.record.caller = claim.name
        exchange = Exchange(head, scope["path_params"], body, claim, deadline, sender.record)
        async with _Leash(receive, sender):
            await sender.send_answer(await self.handler(exchange))


def head_of(scope: Scope) -> RequestHead:
    """The head of a request, from its ASGI scope."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return RequestHead(scope["method"], raw_path.decode("latin-1"), scope["query_string"].decode("latin-1"), headers)


async def _read_body(head: RequestHead, receive: Receive, limit: int) -> bytes:
    """The whole body, its size enforced while it is read."""
    if head.header("content-encoding").lower() not in ("", "identity"):
        raise InvalidRequest("a compressed body is not supported: send it without content-encoding")
    too_large = BodyTooLarge(f"the body is larger than {limit} bytes, the limit of this gateway")
    length = head.header("content-length")
    if length.isdigit() and int(length) > limit:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _CallerGone
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise too_large
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Leash:
    """While it is held, the caller's departure cancels what runs inside, and comes out as `_CallerGone`."""

    def __init__(self, receive: Receive, sender: "_Sender") -> None:
        self._receive = receive
        self._sender = sender
        self._has_gone = False

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        self._watcher = asyncio.create_task(self._watch())

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._watcher.cancel()
        if self._has_gone and kind is asyncio.CancelledError:
            if self._task is not None:
                self._task.uncancel()
            raise _CallerGone from None

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._sender.is_done and self._task is not None:
            self._has_gone = True
            self._task.cancel()


@dataclass(slots=True)
class _Sender:
    """Turns answers into ASGI messages."""

    send: Send
    record: RequestRecord
    render_error: ErrorRenderer
    heartbeat: float
    is_done: bool = False
    _is_started: bool = False
    _stream: Streamed | None = None
    _last_sent: float = 0.0
    _is_sending: bool = False

    async def send_answer(self, answer: Answer) -> None:
        """Send an answer. What a stream raises comes out; then `send_error` ends it."""
        match answer:
            case Whole(status, headers, body):
                await self._send_whole(status, headers, body)
            case Streamed():
                await self._send_stream(answer)

    async def send_error(self, error: GatewayError) -> None:
        """Send an error: whole, or as the last bytes of a stream that has begun; where neither can be, cut."""
        self.record.error, self.record.detail = error.kind, error.detail
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

    async def _send_stream(self, answer: Streamed) -> None:
        async with aclosing(answer.chunks) as chunks:
            # The first chunk comes before the head: what fails up to there still gets a status of its own, and from
            # here on the generators are running, so that closing them closes the connection to Bedrock.
            first = await anext(chunks, b"")
            self._stream = answer
            await self._start(answer.status, answer.headers)
            self.record.mark_first_event()
            await self._send_more(first)
            heart = asyncio.create_task(self._beat(answer.idle)) if answer.idle and self.heartbeat else None
            try:
                async for chunk in chunks:
                    await self._send_more(chunk)
            finally:
                if heart is not None:
                    heart.cancel()
        await self._end(b"")

    async def _beat(self, idle: bytes) -> None:
        """Say something whenever nothing else was said for a while; never in between two halves of a chunk."""
        while True:
            await asyncio.sleep(max(self._last_sent + self.heartbeat - time.monotonic(), 0.01))
            if not self._is_sending and time.monotonic() - self._last_sent >= self.heartbeat:
                await self._send_more(idle)

    async def _send_more(self, data: bytes) -> None:
        self._is_sending = True
        await self.send({"type": "http.response.body", "body": data, "more_body": True})
        self._is_sending, self._last_sent = False, time.monotonic()

    async def _end(self, data: bytes) -> None:
        self.is_done = True
        await self.send({"type": "http.response.body", "body": data})

    async def _start(self, status: int, headers: Headers) -> None:
        self.record.status = status
        named = [*headers]
        if self.record.ignored:
            named.append(("x-outcrop-ignored", _listed(self.record.ignored)))
        if self.record.repaired:
            named.append(("x-outcrop-repaired", _listed(self.record.repaired)))
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in named]
        self._is_started = True
        message: Message = {"type": "http.response.start", "status": status, "headers": raw}
        await self.send(message)


def _is_retried_by_sdks(status: int) -> bool:
    """True for what callers' SDKs try again by themselves (contracts 1.4)."""
    return status in (408, 409, 429) or status >= 500


def _listed(names: list[str]) -> str:
    """Names as a header's value: a caller chose them, so nothing but printable ASCII goes out, and not too much."""
    text = ", ".join(names)
    safe = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text[:_MAX_LISTED])
    return safe if len(text) <= _MAX_LISTED else f"{safe}..."

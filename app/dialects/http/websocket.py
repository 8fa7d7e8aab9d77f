"""Serves WebSockets. Each message is handled as a request of its own, with all limits, a record and a log line.

Loaded by the first upgrade of a process: docs/adr/0036-wsproto-reads-websockets.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.dialects.http.endpoint import ENDPOINT, Endpoint
from app.dialects.http.responses import Answer, CompleteResponse, ErrorRenderer
from app.errors import AuthenticationFailed, GatewayError, InvalidRequest, NotFound, PermissionRefused, UpgradeRequired
from app.execution.request_context import RequestContext
from app.server.asgi_extensions import CONNECTION, HEAD, UPGRADE
from app.wire import json, sse

if TYPE_CHECKING:
    from app.server.websocket import WebSocket

# the method of the requests that messages become; HTTP has no such method
MESSAGE = "WEBSOCKET"
_VERSION = "13"
# close codes (RFC 6455, 7.4.1)
_GOING_AWAY, _TOO_BIG = 1001, 1009
# headers of the upgrade that are not of its messages
_OF_UPGRADE = frozenset(
    (
        *(b"connection", b"upgrade", b"content-length", b"expect", b"x-request-id"),
        *(b"sec-websocket-extensions", b"sec-websocket-key", b"sec-websocket-protocol", b"sec-websocket-version"),
    )
)
# headers of a response that mean nothing in a message
_OF_HTTP = frozenset(("content-length", "content-type", "cache-control", "x-accel-buffering", "x-outcrop-repaired"))


class WebSocketServer(Struct, frozen=True):
    """Serves the upgrades to WebSockets.

    serve: serves a request of ASGI, with the endpoint that the scope holds under `ENDPOINT`.
    origins: of the web pages whose scripts may connect; `*` for all.
    """

    serve: ASGIApp
    origins: Sequence[str] = ()

    async def handle(
        self, endpoint: Endpoint | None, other: Endpoint, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one connection to its end.

        Args:
            endpoint: of the path; None if it has no WebSocket. other: an endpoint whose dialect words the refusal then.
        """
        if endpoint is None:
            spec = replace(other.spec, method=scope["method"], handler=_refuse)
            await self._serve(replace(other, spec=spec, route=""), scope, receive, send)
            return
        opening = _Opening(scope, send, self.origins)
        render_error = partial(_render_refusal, endpoint.spec.render_error)
        spec = replace(endpoint.spec, method=scope["method"], handler=opening.handle, render_error=render_error)
        await self._serve(replace(endpoint, spec=spec), scope, receive, opening.send)
        if opening.socket is None or endpoint.spec.websocket is None:
            return
        handler = endpoint.spec.websocket()
        spec = replace(endpoint.spec, method=MESSAGE, handler=handler.handle, render_error=handler.render_error)
        try:
            await self._serve_messages(opening.socket, replace(endpoint, spec=spec), scope)
        except asyncio.CancelledError:
            pass  # the server shuts down and does not await this task
        finally:
            opening.socket.close(_GOING_AWAY, "the gateway is shutting down")
            await handler.close()

    async def _serve_messages(self, socket: WebSocket, endpoint: Endpoint, scope: Scope) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name not in _OF_UPGRADE]
        while await socket.has_message():
            message = _MessageTransport(socket)
            message_scope = {
                **scope,
                "type": "http",
                "method": MESSAGE,
                "headers": headers,
                HEAD: None,  # that of the upgrade
                CONNECTION: socket,
            }
            await self._serve(endpoint, message_scope, message.receive, message.send)
            if not await message.skip_rest(endpoint.limits.max_body_bytes, endpoint.limits.caller_timeout):
                socket.close(_TOO_BIG, "the message is too large, or too slow")

    async def _serve(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve({**scope, "type": "http", ENDPOINT: (endpoint, {})}, receive, send)


async def _refuse(_: RequestContext) -> Answer:
    raise NotFound("this path takes no WebSocket: GET /v1/responses does")


def _render_refusal(render_error: ErrorRenderer, error: GatewayError, request_id: str) -> CompleteResponse:
    """Render the refusal of an upgrade: a wrong key as a 400, since Codex 0.171 repeats for 13 seconds after a 401."""
    response = render_error(error, request_id)
    return replace(response, status=400) if isinstance(error, AuthenticationFailed) else response


class _Opening:
    """One upgrade. socket: None until it is accepted."""

    def __init__(self, scope: Scope, send: Send, origins: Sequence[str]) -> None:
        self._accept = scope[UPGRADE]
        self._send = send
        self._origins = origins
        self._key = ""
        self.socket: WebSocket | None = None

    async def handle(self, context: RequestContext) -> Answer:
        """Check the request of a caller that is authenticated. Raises GatewayError."""
        headers = context.head.headers
        origin = headers.get("origin")
        if origin is not None and not {origin, "*"} & {*self._origins}:
            # browsers let scripts of every page connect
            raise PermissionRefused("scripts of this origin may not connect", param="origin")
        if headers.get("authorization", "").startswith("AWS4-"):
            reason = "a signature covers one request only: a WebSocket needs the key as bearer"
            raise InvalidRequest(reason, param="authorization")
        if headers.get("sec-websocket-version") != _VERSION:
            reason = f"this server speaks version {_VERSION} of WebSocket"
            raise UpgradeRequired(reason, headers={"sec-websocket-version": _VERSION})
        self._key = headers.get("sec-websocket-key", "")
        if not self._key:
            raise InvalidRequest("the header sec-websocket-key is missing")
        return CompleteResponse(101, (), b"")

    async def send(self, message: Message) -> None:
        """Accept the upgrade, or send its refusal."""
        if message["type"] == "http.response.start" and message["status"] == 101:
            request_id: bytes = dict(message["headers"])[b"x-request-id"]
            self.socket = self._accept(self._key, request_id.decode())
        elif self.socket is None:
            await self._send(message)


class _MessageTransport:
    """Receives the request that one message is, and sends its response as messages."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._is_stream = False
        self._headers: dict[str, str] = {}
        self._size = 0
        self._body = b""
        self._has_begun = False

    async def receive(self) -> Message:
        """Return the next piece of the message as ASGI has it."""
        piece = await self._socket.receive_piece()
        if piece is None:
            return {"type": "http.disconnect"}
        self._has_begun = True
        data, is_last = piece
        self._size += len(data)
        return {"type": "http.request", "body": data, "more_body": not is_last}

    async def send(self, message: Message) -> None:
        """Send the events of a stream, or a complete response, each as a message."""
        if message["type"] == "http.response.start":
            headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            self._is_stream = headers.get("content-type") == sse.CONTENT_TYPE
            self._headers = {name: value for name, value in headers.items() if name not in _OF_HTTP}
            return
        self._body += message.get("body", b"")
        if self._is_stream:
            *frames, self._body = self._body.split(b"\n\n")
            for frame in frames:
                await self._send_frame(frame)
        elif self._body and not message.get("more_body", False):
            await self._socket.send(self._body.decode())

    async def _send_frame(self, frame: bytes) -> None:
        _, has_data, data = frame.partition(b"\ndata: ")
        if has_data:
            if self._headers:
                # the first event has them, as events of errors do
                data = b'%b,"headers":%b}' % (data[:-1], json.dumps(self._headers))
                self._headers = {}
            await self._socket.send(data.decode())
        else:
            self._socket.ping()  # a comment, for a stream that is silent

    async def skip_rest(self, limit: int, timeout_seconds: float) -> bool:
        """Read what the request did not read of its message. Returns False if the message is too large, or too slow."""
        is_last = self._has_begun and not self._socket.is_in_message
        try:
            async with asyncio.timeout(timeout_seconds):
                while not is_last and self._size <= limit:
                    piece = await self._socket.receive_piece()
                    if piece is None:
                        return True
                    self._size, is_last = self._size + len(piece[0]), piece[1]
        except TimeoutError:
            return False
        return self._size <= limit

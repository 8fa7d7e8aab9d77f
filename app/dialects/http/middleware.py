"""Surrounds every request: gives it an id and a record, finds its endpoint, and reports the record at the end."""

import logging
import os
import re
from collections.abc import Mapping, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.dialects.http.endpoint import ENDPOINT, RECORD, head_of
from app.dialects.http.response_sender import REQUEST_ID
from app.dialects.http.route_table import RouteTable
from app.models.prices import Prices
from app.observability.load import Load
from app.observability.observer import Observer, RequestRecord, Tracer
from app.observability.trace import NO_TRACE
from app.server.asgi_extensions import HEAD, UPGRADE
from app.server.client_address import TrustedProxies
from app.server.request_head import RequestHead
from app.wire.secret_text import has_secret

_log = logging.getLogger(__name__)

_SAFE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")


class RequestMiddleware:
    """Gives each request its id and its record, counts it while it runs, and reports the record when it ends.

    app: serves the paths that are not in the route table. proxies: believed when they tell the address of a client.
    origins: of the web pages whose scripts may open a WebSocket.
    """

    def __init__(
        self,
        app: ASGIApp,
        observers: Sequence[Observer],
        load: Load,
        prices: Prices,
        tracer: Tracer,
        route_table: RouteTable,
        proxies: TrustedProxies | None = None,
        origins: Sequence[str] = (),
    ) -> None:
        self._origins = origins
        self._app = app
        self._route_table = route_table
        self._tracer = tracer
        self._prices = prices
        self._observers = observers
        self._proxies = proxies
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._serve_other(scope, receive, send)
            return
        head: RequestHead = scope.get(HEAD) or head_of(scope)
        method = head.method
        peer = scope.get("client")
        client = self._proxies.client_of(scope) if self._proxies is not None else peer[0] if peer else ""
        record = RequestRecord(request_id=request_id_of(head.headers), method=method, client=client)
        record.trace = self._tracer.begin(record, head.headers)
        scope[RECORD] = record
        self._load.begin()
        try:
            found = scope.get(ENDPOINT) or self._route_table.find(f"{method} {scope['path']}")
            if found is None:
                await self._serve_page(record, scope, receive, send)
            else:
                endpoint, scope["path_params"] = found
                await endpoint.handle(scope, receive, send, head)
        finally:
            self._load.end()
            self._report(record)

    async def _serve_page(self, record: RequestRecord, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a path that is not in the route table."""
        try:
            await self._app(scope, receive, _noting(record, send))
        finally:
            record.route = record.route or getattr(scope.get("route"), "path_format", "")

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket, or the lifespan."""
        if UPGRADE not in scope:
            await self._app(scope, receive, send)
            return
        from app.dialects.http.websocket import WebSocketServer

        endpoints = self._route_table.websockets
        endpoint, other = endpoints.get(scope["path"]), next(iter(endpoints.values()))
        await WebSocketServer(self, self._origins).handle(endpoint, other, scope, receive, send)

    def _report(self, record: RequestRecord) -> None:
        if record.usage is not None:
            try:  # noqa: SIM105 -- `contextlib.suppress` takes ten times as long
                record.cost = self._prices.of_call(record.target, record.model_behind, record.usage, record.tier)
            except (TypeError, ArithmeticError):
                pass  # the counts are not numbers, or too large
        if record.trace is not NO_TRACE:
            record.trace.end(record)
        for observer in self._observers:
            try:
                observer.request_ended(record)
            except Exception:  # noqa: BLE001 -- the response has been sent already
                _log.exception("an observer failed", extra={"fields": {"request_id": record.request_id}})


def request_id_of(headers: Mapping[str, str]) -> str:
    """Return the caller's `x-request-id` if it is safe in headers and logs, else a new UUID, as AWS's own ids are."""
    if "x-request-id" in headers:
        given = headers["x-request-id"]
        if _SAFE_ID.match(given) and not has_secret(given):
            return given
    digits = os.urandom(16).hex()  # faster than the uuid module
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _noting(record: RequestRecord, send: Send) -> Send:
    """Wrap `send` for responses that do not pass ResponseSender: note the status, and add the request's id."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start" and not record.status:
            record.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (REQUEST_ID.encode(), record.request_id.encode())]
        await send(message)

    return noting

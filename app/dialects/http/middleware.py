"""What surrounds every request, whatever its path: an id, a record, and the line that is logged of it."""

import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.dialects.http import identifiers as ids
from app.dialects.http.endpoint import RECORD
from app.dialects.http.response_sender import REQUEST_ID
from app.dialects.http.route_table import RouteTable
from app.models.prices import Prices
from app.observability.load import Load
from app.observability.observer import Observer, RequestRecord
from app.observability.trace import NO_TRACE, Tracer


class RequestMiddleware:
    """Gives each request its id and its record, counts it while it runs, and reports the record when it ends.

    doors: those that need no router.
    """

    def __init__(
        self,
        app: ASGIApp,
        observer: Observer,
        load: Load,
        prices: Prices,
        tracer: Tracer,
        route_table: RouteTable,
    ) -> None:
        self._app = app
        self._route_table = route_table
        self._tracer = tracer
        self._prices = prices
        self._observer = observer
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Surround one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(request_id=_request_id(scope), method=scope["method"])
        record.trace = self._tracer.begin(record, scope["headers"])
        scope[RECORD] = record
        self._load.add(1)
        try:
            found = self._route_table.find(scope["path"])
            if found is None:
                await self._app(scope, receive, _noting(record, send))
            else:
                endpoint, scope["path_params"] = found
                await endpoint.handle(scope, receive, send)
        finally:
            self._load.add(-1)
            if not record.route:
                record.route = getattr(scope.get("route"), "path_format", "")
            if record.usage is not None:
                with contextlib.suppress(TypeError, ArithmeticError):  # of counts that are no numbers, or too large
                    record.cost = self._prices.of_call(record.target, record.model_behind, record.usage, record.tier)
            if record.trace is not NO_TRACE:
                record.trace.end(record)
            self._observer.request_ended(record)


def _noting(record: RequestRecord, send: Send) -> Send:
    """`send` for those who know nothing of the record: its status is noted, and its id told."""

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start" and not record.status:
            record.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (REQUEST_ID, record.request_id.encode())]
        await send(message)

    return noting


def _request_id(scope: Scope) -> str:
    """The caller's own id where it is safe to repeat, else a new one."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID:
            given: str = value.decode("latin-1")
            if ids.is_request_id(given):
                return given
    return ids.new_request_id()

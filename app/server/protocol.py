"""The HTTP/1.1 protocol of a connection, with limits for its heads, for silence, and for unread responses."""

import asyncio
import logging
from collections import deque
from functools import lru_cache, partial
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote

import httptools
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from app.server.asgi_extensions import CONNECTION, HEAD, RESPOND, UPGRADE
from app.server.connection_close import ConnectionClose
from app.server.connection_registry import ConnectionRegistry
from app.server.refusals import HTTP_2_GO_AWAY, HTTP_2_PREFACE, refusal
from app.server.request_head import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_TARGET_BYTES,
    RequestHead,
    decoded,
    is_too_large,
    refusal_of_host,
)
from app.server.served_request import MAX_BUFFERED_BYTES, Header, ServedRequest
from app.server.task_start import Start, start_at_once, start_soon
from app.server.unread_response import UnreadResponseTimeout
from app.server.upgrade import asks_for_websocket, without_upgrade

if TYPE_CHECKING:
    from app.server.websocket import WebSocket

_log = logging.getLogger(__name__)

# requests that are sent before the first of them is answered
_MAX_PIPELINED = 32


class _Refused(Exception):
    """The request has been refused already; ends the parsing."""


@lru_cache(64)
def _parse_target(target: bytes) -> tuple[Scope, str, str]:
    """Return the members of a scope that a target determines, and its path and query, percent-encoded."""
    parsed = httptools.parse_url(target)  # raises HttpParserError
    raw_path, raw_query = parsed.path, parsed.query or b""
    path, query = raw_path.decode("ascii"), raw_query.decode("latin-1")
    decoded_path = unquote(path) if "%" in path else path
    return {"path": decoded_path, "raw_path": raw_path, "query_string": raw_query}, path, query


class GuardedProtocol(asyncio.Protocol):
    """Serves one connection; uvicorn's server makes it.

    head_seconds: in which the head of a request must arrive, or the rest of a body that is not read.
    unread_seconds: in which the caller must receive some of a response. The kernel may report progress only for each
    third of a socket buffer, 2 MB at most.
    drain_seconds: that an idle connection stays open on shutdown: a request may be on its way.
    """

    head_seconds: ClassVar[float] = 30.0
    unread_seconds: ClassVar[float] = 120.0
    drain_seconds: ClassVar[float] = 1.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.loop = _loop or asyncio.get_running_loop()
        del app_state  # no application of this server reads it
        self.server_state = server_state
        self._application = config.loaded_app
        self._idle_seconds = config.timeout_keep_alive
        self._parser = httptools.HttpRequestParser(self)
        # a request that follows the last one of a connection is ignored
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        # of the head that is being read, or the trailers of the last request
        self._target = b""
        self._headers: list[Header] = []
        self._may_be_large = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        # bytes since the last piece of a body: of a head, of chunk sizes, of trailers
        self._overhead = 0
        # bytes that arrived while a request was answered and another waited
        self._pipelined_bytes = 0
        self._is_ending = False
        # the request whose body is read
        self._receiving: ServedRequest | None = None
        # those that are not answered yet, with their scopes: the first one is answered, the others wait
        self._requests: deque[tuple[ServedRequest, Scope]] = deque()
        self._is_due = False  # the first one does not run yet
        self._websocket: WebSocket | None = None
        if isinstance(server_state, ConnectionRegistry):
            server_state.entering.add(self)

    # the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        self.transport = transport
        self.server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn's type allows only its own
        self.flow = FlowControl(transport)
        self._client = get_remote_addr(transport)
        # what the scopes of all requests have in common
        self._scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "server": get_local_addr(transport),
            "client": self._client,
            "scheme": "https" if is_ssl(transport) else "http",
            "root_path": "",
        }
        self.closing = ConnectionClose(transport, self.loop, self.drain_seconds)
        self.unread = UnreadResponseTimeout(transport, self.loop, self.closing, self.unread_seconds)
        # writing is paused as long as bytes wait for the caller; over TLS, 0 would mean always
        transport.set_write_buffer_limits(int(self.closing.is_tls), 0)
        self._start_head_timer()
        if isinstance(self.server_state, ConnectionRegistry):
            self.server_state.entering.discard(self)
            if self.server_state.is_ending:
                self.shutdown()

    def shutdown(self) -> None:
        """Make the request that runs, or that arrives within `drain_seconds`, the last."""
        self._is_ending = True
        if self._websocket is not None:
            self._websocket.shutdown()
        elif self._requests:
            self._requests[-1][0].keeps_alive = False
        else:
            self.loop.call_later(self.drain_seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._overhead or self._requests:
            return
        if self.closing.has_unread() and self._receiving is None:  # the rest of a body that is not read does not count
            self.loop.call_later(self.drain_seconds, self._close_if_idle)
            return
        self.closing.begin_at_once()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the request that runs and those pipelined behind it."""
        self._stop_head_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.unread.cancel()
        self.server_state.connections.discard(self)
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        requests, self._requests = self._requests, deque()
        for request, _ in requests:
            request.lose()
        if self._websocket is not None:
            self._websocket.connection_lost()
        del self._parser  # it refers to this connection

    def pause_writing(self) -> None:
        """Stop writing until the caller has received more."""
        self.flow.pause_writing()
        self.unread.start()

    def resume_writing(self) -> None:
        """Write on."""
        self.flow.resume_writing()

    # the request

    def data_received(self, data: bytes) -> None:
        """Parse data, and limit what is not a body."""
        if self.closing.has_begun or self.transport.is_closing():
            return
        if self._websocket is not None:
            self._websocket.data_received(data)
            return
        self._idle_since = 0.0
        if self._receiving is None and not self._overhead:
            data = without_upgrade(data, MAX_HEAD_BYTES)
        self._overhead += len(data)
        # the bytes of a head that begins and ends in a small piece need not be counted
        self._may_be_large = len(data) > MAX_HEAD_BYTES or bool(self._target)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request is handled as any other; it may become a WebSocket later
        except httptools.HttpParserError:
            if data.startswith(HTTP_2_PREFACE) and not self._requests:
                self._refuse_http_2()
            elif not self.transport.is_closing():
                self._refuse(400)
            return
        if self._is_due:  # not before the body that came with the head has been read
            self._is_due = False
            self._serve(start_at_once)
        if self._overhead:
            self._limit_overhead()
        if self._pipelined_bytes or len(self._requests) > 1:
            self._limit_pipelined(len(data))

    def _refuse_http_2(self) -> None:
        client = {"client": self._client[0] if self._client else ""}
        _log.warning("refused HTTP/2: configure the client for HTTP/1.1", extra={"fields": client})
        self.transport.write(HTTP_2_GO_AWAY)
        self.transport.close()

    def _limit_overhead(self) -> None:
        if self._overhead > MAX_HEAD_BYTES or len(self._headers) > MAX_HEADERS:
            self._refuse(431)
        elif self._head_timer is None and self._receiving is None:
            self._start_head_timer()

    def _limit_pipelined(self, count: int) -> None:
        self._pipelined_bytes = self._pipelined_bytes + count if len(self._requests) > 1 else 0
        if self._pipelined_bytes > MAX_BUFFERED_BYTES:
            self.flow.pause_reading()

    def on_url(self, url: bytes) -> None:
        """Add a piece of the request target."""
        self._target += url
        if len(self._target) > MAX_TARGET_BYTES:
            self._refuse(414)
            raise _Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header, or a trailer."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Start the request, or queue it behind the one that runs."""
        if self._head_timer is not None:
            self._stop_head_timer()
        target, raw_headers, self._target, self._headers = self._target, self._headers, b"", []
        parser, headers = self._parser, decoded(raw_headers)
        version, method = parser.get_http_version(), parser.get_method().decode()
        asks_for_upgrade = parser.should_upgrade()
        if len(raw_headers) > MAX_HEADERS or (self._may_be_large and is_too_large(raw_headers)):
            status = 431
        else:
            status = refusal_of_host(headers.get("host"), version)
        if asks_for_upgrade and (self._requests or not asks_for_websocket(method, headers)):
            status = status or 400  # the parser would take the body for another request
        if status:
            self._refuse(status)
            raise _Refused
        is_framed = version != "1.0"
        request = ServedRequest(
            self,
            self.flow,
            keeps_alive=is_framed and parser.should_keep_alive() and not (self._is_ending or asks_for_upgrade),
            awaits_continue=is_framed and "expect" in headers and headers["expect"].lower() == "100-continue",
            is_framed=is_framed,
            is_head=method == "HEAD",
        )
        target_scope, path, query = _parse_target(target)
        scope = {
            **self._scope,
            **target_scope,
            "http_version": version,
            "method": method,
            "headers": raw_headers,
            HEAD: RequestHead(method, path, query, headers),
            CONNECTION: request,
        }
        if asks_for_upgrade:
            scope["type"] = "websocket"
            scope[UPGRADE] = partial(self._accept_websocket, request)
        else:
            scope[RESPOND] = request.respond  # an upgrade is no such response
        self._receiving, self._overhead = request, 0
        requests = self._requests
        requests.append((request, scope))
        if len(requests) == 1:
            self._is_due = True
        elif len(requests) > _MAX_PIPELINED:
            _log.warning("aborted a connection: too many pipelined requests")
            self.transport.abort()
            raise _Refused
        else:
            self.flow.resume_reading()  # a disconnect is noticed only while the connection is read

    def _serve(self, start: Start = start_soon) -> None:
        request, scope = self._requests[0]
        task = start(self.loop, request.run(self._application, scope))
        if not task.done():
            self.server_state.tasks.add(task)  # `run` removes it: a callback of the task costs more

    def _accept_websocket(self, request: ServedRequest, key: str, request_id: str) -> "WebSocket":
        from app.server.websocket import WebSocket, switching_protocols

        request.has_started = request.is_complete = True
        self._requests.clear()
        self.transport.write(switching_protocols(key, request_id))
        self._websocket = WebSocket(self, self.unread, self.closing)
        if self._is_ending:
            self._websocket.shutdown()
        return self._websocket

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        self._overhead = 0
        if self._receiving is not None:
            self._receiving.add_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        request, self._receiving, self._overhead = self._receiving, None, 0
        self._headers.clear()  # trailers are dropped
        if self._head_timer is not None:
            self._stop_head_timer()
        if request is not None:
            request.end_body()
            if request.is_complete:
                self._start_head_timer()  # the connection does not count as idle since the rest of the body

    # the response

    def on_response_complete(self) -> None:
        """Start the next request; limit the time for the rest of this one's body, and for reading the response."""
        self._requests.popleft()
        if not (self.closing.has_begun or self.transport.is_closing()):
            self.flow.resume_reading()
            if self._requests:
                self._serve()
            else:
                self._idle_since = self.loop.time()
                if self._idle_timer is None:  # an earlier timer stays: a new one costs more
                    self._idle_timer = self.loop.call_later(self._idle_seconds, self._on_idle_timeout)
            if self._receiving is not None:
                self._start_head_timer()
        if self.closing.is_tls:  # its transport does not report that the response waits; any other pauses writing
            self.unread.start()

    def _refuse(self, status: int) -> None:
        if self.closing.has_begun:
            return
        if self._requests:
            self.transport.abort()  # another response cannot be written into the one that is being written
            return
        _log.warning("refused a request before its head was read", extra={"fields": {"status": status}})
        self.transport.write(refusal(status))
        self.transport.close()

    # timers

    def _on_idle_timeout(self) -> None:
        self._idle_timer = None
        if not self._idle_since:
            return  # the timer starts again with the end of the next response
        left = self._idle_since + self._idle_seconds - self.loop.time()
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._on_idle_timeout)
        elif not self.closing.is_closing:
            self.closing.begin()

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self.head_seconds, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self.closing.has_begun:
            return
        if self._requests:
            self._start_head_timer()  # a pipelined head may take as long as the response before it
        elif self._overhead and self._receiving is None:
            self._refuse(408)
        else:
            self.transport.close()


def guarded(head_seconds: float, unread_seconds: float = GuardedProtocol.unread_seconds) -> type[GuardedProtocol]:
    """Return the protocol with timeouts for heads and for unread responses."""
    return type("GuardedProtocol", (GuardedProtocol,), {"head_seconds": head_seconds, "unread_seconds": unread_seconds})

"""uvicorn's HTTP protocol, with limits for the size and the duration of a request's head, and of an unread response."""

import asyncio
import logging
import re
from typing import TYPE_CHECKING, ClassVar

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.server.asgi_extensions import ABORT, ARRIVED, CUT, DISCONNECTED, FLOW, UPGRADE, WRITE
from app.server.coalescing_writer import CoalescingWriter
from app.server.connection_close import ConnectionClose
from app.server.connection_registry import ConnectionRegistry
from app.server.disconnect_notification import DisconnectNotification
from app.server.http10 import frame_for_http10
from app.server.refusals import HTTP_2_GO_AWAY, HTTP_2_PREFACE, refusal
from app.server.unread_response import UnreadResponseTimeout
from app.server.upgrade import asks_for_websocket, without_upgrade
from app.server.uvicorn_interface import RequestResponseCycle

if TYPE_CHECKING:
    from app.server.websocket import WebSocket

_log = logging.getLogger(__name__)

_MAX_HEAD_BYTES = 64 * 1024
_MAX_TARGET_BYTES = 16 * 1024
_MAX_HEADERS = 128
# a name or an address, and a port (RFC 9110, 7.2); HTTP/1.0 has no such header
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?\Z")
# requests that are sent before the first of them is answered
_MAX_PIPELINED = 32
# four times uvicorn's limit: pausing and resuming costs more than reading
_MAX_BUFFERED_BYTES = 256 * 1024


class _Refused(Exception):
    """The request has been refused already; ends the parsing."""


class GuardedProtocol(HttpToolsProtocol):
    """Serves one connection.

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
        super().__init__(config, server_state, app_state, _loop)
        self._head_timer: asyncio.TimerHandle | None = None
        # bytes since the last piece of a body: of a head, of chunk sizes, of trailers
        self._overhead = 0
        # bytes that arrived while a request was answered and another waited
        self._pipelined_bytes = 0
        self._is_in_body = self._has_arrived = self._is_ending = False
        self._cycles: list[RequestResponseCycle] = []
        self._notifications: set[DisconnectNotification] = set()
        self._websocket: WebSocket | None = None
        if isinstance(server_state, ConnectionRegistry):
            server_state.entering.add(self)

    # the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._close = ConnectionClose(transport, self.loop, self.drain_seconds)
        self._unread = UnreadResponseTimeout(transport, self.loop, self._close, self.unread_seconds)
        # writing is paused as long as bytes wait for the caller; over TLS, 0 would mean always
        transport.set_write_buffer_limits(1, 0)
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
        elif self._has_open_request():
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(self.drain_seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._overhead or self._has_open_request():
            return
        if self._close.has_unread() and not self._is_in_body:  # the rest of a body that is not read does not count
            self.loop.call_later(self.drain_seconds, self._close_if_idle)
            return
        self._close.begin_at_once()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for too long."""
        if not self._close.is_closing:
            self._close.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the request that runs and those pipelined behind it."""
        self._stop_head_timer()
        self._unread.cancel()
        super().connection_lost(exc)
        for cycle in self._cycles:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        for notification in [*self._notifications]:
            notification.notify()
        if self._websocket is not None:
            self._websocket.connection_lost()

    def pause_writing(self) -> None:
        """Stop writing until the caller has received more."""
        super().pause_writing()
        self._unread.start()

    # the request

    def data_received(self, data: bytes) -> None:
        """Parse data, and limit what is no body."""
        if self._close.is_closing:
            return
        if self._websocket is not None:
            self._websocket.data_received(data)
            return
        if not self._is_in_body and not self._overhead:
            if not self._cycles and data.startswith(HTTP_2_PREFACE):
                client = {"client": self.client[0] if self.client else ""}
                _log.warning("refused HTTP/2: configure the client for HTTP/1.1", extra={"fields": client})
                self.transport.write(HTTP_2_GO_AWAY)
                self.transport.close()
                return
            data = without_upgrade(data, _MAX_HEAD_BYTES)
        self._overhead += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._overhead > _MAX_HEAD_BYTES:
            self._refuse(431)
        elif self._head_timer is None and self._overhead and not self._is_in_body:
            self._start_head_timer()
        if len(self._cycles) > 1:
            self._limit_pipelined(len(data))

    def _limit_pipelined(self, count: int) -> None:
        is_pipelined = sum(not each.response_complete for each in self._cycles) > 1
        self._pipelined_bytes = self._pipelined_bytes + count if is_pipelined else 0
        if self._pipelined_bytes > _MAX_BUFFERED_BYTES:
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._is_in_body = False
        super().on_message_begin()
        self._has_arrived = False

    def on_url(self, url: bytes) -> None:
        """Add a piece of the request target."""
        super().on_url(url)
        if len(self.url) > _MAX_TARGET_BYTES:
            self._refuse(414)
            raise _Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; trailers are dropped."""
        if self._is_in_body:
            return
        super().on_header(name, value)
        if len(self.headers) > _MAX_HEADERS:
            self._refuse(431)
            raise _Refused

    def on_headers_complete(self) -> None:
        """Start the request, or queue it behind the one that runs."""
        self._stop_head_timer()
        if sum(len(name) + len(value) for name, value in self.headers) > _MAX_HEAD_BYTES:
            self._refuse(431)
            raise _Refused
        hosts = [value for name, value in self.headers if name == b"host"]
        is_bare = not hosts and self.parser.get_http_version() == "1.0"
        if not is_bare and (len(hosts) != 1 or not _HOST.match(hosts[0])):
            self._refuse(400)
            raise _Refused
        asks_for_upgrade = self.parser.should_upgrade()
        if asks_for_upgrade and (
            self._has_open_request() or not asks_for_websocket(self.parser.get_method(), self.headers)
        ):
            self._refuse(400)  # the parser would take the body for another request
            raise _Refused
        self._is_in_body, self._overhead = True, 0
        super().on_headers_complete()
        is_in_chunks = self.scope["http_version"] != "1.0"
        writer = CoalescingWriter(self, self._unread, self._close, is_in_chunks=is_in_chunks)
        self.cycle.transport = writer
        self.cycle.keep_alive = self.cycle.keep_alive and not self._is_ending and not asks_for_upgrade
        frame_for_http10(self.cycle)
        extensions: dict[str, object] = {
            ARRIVED: self._has_body_arrived,
            ABORT: self.transport.abort,
            CUT: self._cut,
            FLOW: self.flow,
            DISCONNECTED: DisconnectNotification(self, self._notifications).set_callback,
            WRITE: writer.write_piece,
        }
        if asks_for_upgrade:
            self.scope["type"] = "websocket"  # type: ignore[typeddict-item]
            extensions[UPGRADE] = self._accept_websocket
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]  # uvicorn's type allows only dictionaries
        self._cycles = [*(cycle for cycle in self._cycles if not cycle.response_complete), self.cycle]
        if len(self._cycles) > _MAX_PIPELINED:
            _log.warning("aborted a connection: too many pipelined requests")
            self.transport.abort()
        elif len(self._cycles) > 1:
            self.flow.resume_reading()  # uvicorn pauses, but a disconnect is noticed only while the connection is read

    def _should_upgrade(self) -> bool:
        return False  # uvicorn handles the request as any other; it may become a WebSocket later

    def _unsupported_upgrade_warning(self) -> None:
        pass

    def _accept_websocket(self, key: str, request_id: str) -> "WebSocket":
        from app.server.websocket import WebSocket, switching_protocols

        self.cycle.response_started = self.cycle.response_complete = True
        self.transport.write(switching_protocols(key, request_id))
        self._websocket = WebSocket(self, self._unread, self._close)
        if self._is_ending:
            self._websocket.shutdown()
        return self._websocket

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        self._overhead = 0
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > _MAX_BUFFERED_BYTES:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """End a request."""
        self._has_arrived = True
        self._is_in_body, self._overhead = False, 0
        self._stop_head_timer()
        super().on_message_complete()
        if self.cycle.response_complete:
            self._start_head_timer()  # the keep-alive timeout was cancelled by the rest of the body

    def _has_body_arrived(self) -> bool:
        return self._has_arrived

    def _has_open_request(self) -> bool:
        return any(not cycle.response_complete for cycle in self._cycles)

    # the response

    def on_response_complete(self) -> None:
        """Start the next request; limit the time for the rest of this one's body, and for reading the response."""
        if self._close.has_begun:
            self.server_state.total_requests += 1
        else:
            super().on_response_complete()
        if self._is_in_body and not self.transport.is_closing():
            self._start_head_timer()
        self._unread.start_if_pending()

    def _cut(self) -> None:
        """End the response that is being written, incomplete, and close the connection after it."""
        running = next(cycle for cycle in self._cycles if not cycle.response_complete)
        running.disconnected = True
        running.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse data that is not HTTP."""
        del msg
        if not self.transport.is_closing():
            self._refuse(400)

    def _refuse(self, status: int) -> None:
        if self._close.has_begun:
            return
        if self._has_open_request():
            self.transport.abort()  # another response cannot be written into the one that is being written
            return
        _log.warning("refused a request before its head was read", extra={"fields": {"status": status}})
        self.transport.write(refusal(status))
        self.transport.close()

    # the timer of a head, or of the rest of a body

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self.head_seconds, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._close.has_begun:
            return
        if self._has_open_request():
            self._start_head_timer()  # a pipelined head may take as long as the response before it
        elif self._overhead and not self._is_in_body:
            self._refuse(408)
        else:
            self.transport.close()


def guarded(head_seconds: float, unread_seconds: float = GuardedProtocol.unread_seconds) -> type[GuardedProtocol]:
    """Return the protocol with timeouts for heads and for unread responses."""
    return type("GuardedProtocol", (GuardedProtocol,), {"head_seconds": head_seconds, "unread_seconds": unread_seconds})

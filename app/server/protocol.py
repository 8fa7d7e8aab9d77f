"""uvicorn's HTTP protocol, with the bounds that it lacks: how large a head may be, and how long one may take."""

import asyncio
import logging
import weakref
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.server.asgi_extensions import ABORT, ARRIVED, CUT, DISCONNECTED, WRITE
from app.server.coalescing_writer import CoalescingWriter
from app.server.http10 import answer_plainly
from app.server.tcp import Taken, has_unread, say_no_more, taken_of
from app.server.upgrade import without_upgrade
from app.wire import json

_log = logging.getLogger(__name__)

_HEAD_BYTES = 64 * 1024
_TARGET_BYTES = 16 * 1024
_HEADERS = 128
# requests that are sent before the answer to the first has come
_IN_LINE = 32
# four times what uvicorn holds: to stop reading and to go on costs more than to read
_HELD_BYTES = 256 * 1024
# how somebody begins who takes HTTP/2 for granted, and what they are told: no settings, and to come back with HTTP/1.1
_HTTP_2 = b"PRI * HTTP/2.0\r\n"
_WORDS = b"this server speaks HTTP/1.1"
_GO_AWAY = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8 + len(_WORDS), 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13)) + _WORDS
# how often it is looked whether all has been taken: soon at first
_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.01, 1.0


class ConnectionRegistry(ServerState):
    """What a server and its connections know of each other.

    entering: those whose handshake has not ended. is_ending: the server has been told to end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entering: weakref.WeakSet[GuardedProtocol] = weakref.WeakSet()
        self.is_ending = False


class _Refused(Exception):
    """The request has been refused already."""


class _Departure:
    """Calls somebody back when the caller of one request has gone."""

    def __init__(self, protocol: "GuardedProtocol") -> None:
        self._protocol = protocol
        self._callback: Callable[[], None] | None = None

    def call(self, callback: Callable[[], None] | None) -> None:
        """Whom to call from now on; nobody, and never again, if nothing is given."""
        self._callback = callback
        if callback is None:
            self._protocol.departures.discard(self)
        elif self._protocol.transport.is_closing():
            callback()
        else:
            self._protocol.departures.add(self)
            # who goes is heard of only while somebody listens, and the rest of a body may have stopped that
            self._protocol.flow.resume_reading()

    def happen(self) -> None:
        """The caller has gone."""
        if self._callback is not None:
            self._callback()


class GuardedProtocol(HttpToolsProtocol):
    """Serves one connection.

    head_seconds: for a request's head to arrive, and for what is left of a body that nobody reads any more.
    unread_seconds: for some of an answer to be taken, twice as long at first. Where the system tells of it a third of a
    socket's buffer at a time, a caller who reads slowly empties that in four minutes.
    last_call_seconds: that a connection without a request stays open once the server ends: one may be on its way.
    """

    head_seconds: ClassVar[float] = 30.0
    unread_seconds: ClassVar[float] = 300.0
    last_call_seconds: ClassVar[float] = 1.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._guard: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None
        # bytes of answers
        self.written = 0
        # bytes since the last that were of use: of a head, of trailers, of what frames a body
        self._overhead = 0
        self._is_in_body = self._has_arrived = self._is_ending = self._is_tls = self._is_leaving = False
        # bytes of requests behind the one that is answered
        self._ahead = 0
        self._cycles: list[RequestResponseCycle] = []
        self.departures: set[_Departure] = set()
        if isinstance(self.server_state, ConnectionRegistry):
            self.server_state.entering.add(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has come, who has to say something."""
        super().connection_made(transport)
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self._watch()
        if isinstance(self.server_state, ConnectionRegistry):
            self.server_state.entering.discard(self)
            if self.server_state.is_ending:
                self.shutdown()

    def shutdown(self) -> None:
        """The server ends: the request that runs, or begins in a moment, is the last."""
        self._is_ending = True
        if all(cycle.response_complete for cycle in self._cycles):
            self.loop.call_later(self.last_call_seconds, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def _close_if_idle(self) -> None:
        """Close a connection that nobody uses. Who sends a request in that moment should know before, or be answered:
        the transport tells of its end only in the event loop's next round.
        """
        if self._overhead or not all(cycle.response_complete for cycle in self._cycles):
            return
        connection = self.transport.get_extra_info("socket")
        if has_unread(connection) and not self._is_in_body:  # the rest of a body that was answered is wanted by nobody
            self.loop.call_later(self.last_call_seconds, self._close_if_idle)
            return
        if not self._is_tls and not self.transport.get_write_buffer_size():
            say_no_more(connection)
        self.leave()

    def leave(self) -> None:
        """Close once all that was said has been taken.

        Over TLS `close` waits for that for half a minute, and then for a goodbye, which whoever uses the connection no
        more does not say.
        """
        self._is_leaving = True
        if self._is_tls:
            self._leave_when_taken(-1, _FIRST_LOOK_SECONDS)
        else:
            self.transport.close()

    def is_leaving(self) -> bool:
        """True if nothing more is said here."""
        return self._is_leaving or self.transport.is_closing()

    def _leave_when_taken(self, before: int, pause: float) -> None:
        """Look again after a while. What the system has for the other side is not all: it is what was still to be sent
        when the event loop last came to it, so that nothing may have changed since the last look either.
        """
        told = self._taken()
        if told is None or (told.count == before and not told.is_behind):
            self.transport.close()
            self.loop.call_later(self.last_call_seconds, self.transport.abort)
        else:
            self.loop.call_later(pause, self._leave_when_taken, told.count, min(2 * pause, _LONGEST_LOOK_SECONDS))

    def _taken(self) -> Taken | None:
        try:
            return taken_of(self.transport.get_extra_info("socket"))
        except AttributeError:  # asyncio's own transport over TLS, once it is closed
            return None

    def timeout_keep_alive_handler(self) -> None:
        """Nobody has asked anything for long enough."""
        if not self.is_leaving():
            self.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """Somebody has gone, and with them everybody who waited in line behind them."""
        self._unwatch()
        if self._reader is not None:
            self._reader.cancel()
        super().connection_lost(exc)
        for cycle in self._cycles:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        for departure in [*self.departures]:
            departure.happen()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self.is_leaving():
            return
        if not self._is_in_body and not self._overhead:
            if not self._cycles and data.startswith(_HTTP_2):
                self._refuse_http_2()
                return
            data = without_upgrade(data, _HEAD_BYTES)
        self._overhead += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._overhead > _HEAD_BYTES:
            self._refuse(431)
        elif self._guard is None and self._overhead and not self._is_in_body:
            self._watch()
        if len(self._cycles) > 1:
            self._ahead = self._ahead + len(data) if sum(not each.response_complete for each in self._cycles) > 1 else 0
            if self._ahead > _HELD_BYTES:
                self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_in_body = False
        super().on_message_begin()
        self._has_arrived = False

    def on_url(self, url: bytes) -> None:
        """The target of a request, or a piece of it."""
        super().on_url(url)
        if len(self.url) > _TARGET_BYTES:
            self._refuse(414)
            raise _Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. One behind the body, a trailer, says nothing to anybody."""
        if self._is_in_body:
            return
        super().on_header(name, value)
        if len(self.headers) > _HEADERS:
            self._refuse(431)
            raise _Refused

    def on_headers_complete(self) -> None:
        """The head has arrived."""
        self._unwatch()
        if sum(len(name) + len(value) for name, value in self.headers) > _HEAD_BYTES:
            self._refuse(431)
            raise _Refused
        if self.parser.should_upgrade():  # the parser would take the body for another request
            self._refuse(400)
            raise _Refused
        self._is_in_body, self._overhead = True, 0
        super().on_headers_complete()
        writer = CoalescingWriter(self, is_in_chunks=self.scope["http_version"] != "1.0")
        self.cycle.transport = cast(asyncio.Transport, writer)
        self.cycle.keep_alive = self.cycle.keep_alive and not self._is_ending
        answer_plainly(self.cycle)
        extensions: Any = {ARRIVED: self.has_arrived, ABORT: self.transport.abort, CUT: self.cut}
        extensions[DISCONNECTED], extensions[WRITE] = _Departure(self).call, writer.write_on
        self.scope["extensions"] = extensions
        self._cycles = [*(cycle for cycle in self._cycles if not cycle.response_complete), self.cycle]
        if len(self._cycles) > _IN_LINE:
            _log.warning("refused: too many requests were sent ahead of their answers")
            self.transport.abort()
        elif len(self._cycles) > 1:
            self.flow.resume_reading()  # uvicorn stops; but then it would not be heard that the caller goes

    def on_body(self, body: bytes) -> None:
        """A piece of a request's body."""
        self._overhead = 0
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > _HELD_BYTES:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def has_arrived(self) -> bool:
        """True if the whole of the newest request has arrived."""
        return self._has_arrived

    def cut(self) -> None:
        """Close behind what has been said of the answer that is under way, which is all that will be."""
        under_way = next(cycle for cycle in self._cycles if not cycle.response_complete)
        under_way.disconnected = True
        under_way.transport.close()

    def on_message_complete(self) -> None:
        """The request has arrived."""
        self._has_arrived = True
        self._is_in_body, self._overhead = False, 0
        self._unwatch()
        super().on_message_complete()
        if self.cycle.response_complete:
            self._watch()  # what was armed when the answer went out has been disarmed by the rest of the body

    def on_response_complete(self) -> None:
        """The answer has gone out; what is left of the request's body is not wanted, and must not last."""
        if self._is_leaving:
            self.server_state.total_requests += 1
        else:
            super().on_response_complete()
        if self._is_in_body and not self.transport.is_closing():
            self._watch()
        # what TLS has handed on to the system's transport nobody can see here
        if self._is_tls or self.transport.get_write_buffer_size():
            self._watch_reader()

    def pause_writing(self) -> None:
        """What is said is taken more slowly than it is said."""
        super().pause_writing()
        self._watch_reader()

    def _watch_reader(self, before: int = -1) -> None:
        if self._reader is None:
            self._reader = self.loop.call_later(self.unread_seconds, self._mind_reader, before)

    def _mind_reader(self, before: int) -> None:
        """Cut off whoever has taken no more than `before` bytes for a long time: nothing else would end them."""
        left, self._reader = self.transport.get_write_buffer_size(), None
        taken = self._taken() or Taken(self.written - left, is_behind=False)
        if taken.count == before:
            _log.info("the answer was not read", extra={"fields": {"bytes_left": left}})
            self.transport.abort()
        elif left or taken.is_behind:
            self._watch_reader(taken.count)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        del msg
        if not self.transport.is_closing():
            self._refuse(400)

    def _watch(self) -> None:
        self._unwatch()
        self._guard = self.loop.call_later(self.head_seconds, self._give_up)

    def _unwatch(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None

    def _give_up(self) -> None:
        self._guard = None
        if self._is_leaving:
            return
        if any(not cycle.response_complete for cycle in self._cycles):
            self._watch()  # whoever says the next thing early may take as long as the answer to the last does
        elif self._overhead and not self._is_in_body:
            self._refuse(408)
        else:
            self.transport.close()

    def _refuse_http_2(self) -> None:
        """Tell so in words that an HTTP/2 client understands."""
        _log.warning("refused HTTP/2: this server speaks HTTP/1.1, and clients must be told to")
        self.transport.write(_GO_AWAY)
        self.transport.close()

    def _refuse(self, status: int) -> None:
        """Answer before any dialect is known, in a shape that all of them can read, and close."""
        if self._is_leaving:
            return
        if any(not cycle.response_complete for cycle in self._cycles):
            self.transport.abort()  # between the pieces of an answer there is no room for another
            return
        phrase = HTTPStatus(status).phrase
        _log.warning("refused before its head was read", extra={"fields": {"status": status}})
        error = {"type": "invalid_request_error", "message": phrase, "param": None, "code": None}
        body = json.dumps({"type": "error", "error": error, "message": phrase})
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()


def guarded(head_seconds: float) -> type[GuardedProtocol]:
    """The protocol, with so much patience."""
    return type("GuardedProtocol", (GuardedProtocol,), {"head_seconds": head_seconds})

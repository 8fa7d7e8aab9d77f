"""Drains accepted and half-open connections on shutdown."""

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from app.server.listening import accepted, shut
from app.server.protocol import ConnectionRegistry

# for a handshake of TLS, which somebody who says nothing would hold up for a minute
_LET_IN_SECONDS = 1.0
# for the last word of a handshake of TCP, from far away
_HANDSHAKE_SECONDS = 0.25
_LOOK_SECONDS = 0.005


class PortTaken(OSError):
    """Somebody else has come to listen at the port while this server started."""


class Server(uvicorn.Server):
    """uvicorn's server, which accepts established and half-open connections before it closes its listeners.

    The system would reset them, and a proxy does not send a POST again. The listeners first stop taking new
    connections, which then go elsewhere: docs/adr/0027-accept-before-closing.md.

    Args:
        all_end: tells whether those who listen at the same address end as well.
    """

    def __init__(self, config: uvicorn.Config, all_end: Callable[[], bool] = lambda: True) -> None:
        super().__init__(config)
        self._all_end = all_end
        self.server_state = self._connections = ConnectionRegistry()
        self._listeners: list[socket.socket] = []
        self._entering: list[asyncio.Task[object]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve.

        Raises:
            PortTaken: as it says; uvloop would say nothing.
        """
        self._listeners = sockets or []
        for listener in self._listeners:
            try:
                listener.listen(self.config.backlog)
            except OSError as error:
                raise PortTaken(*error.args) from None
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut the door in the moment of the signal: of several processes all do, so that nobody is sent to one."""
        super().handle_exit(sig, frame)
        self._shut(self._listeners)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody new begin, take in who has begun, and end when all have been served."""
        listeners: list[socket.socket] = []
        with contextlib.suppress(OSError):  # no descriptor is left, nor would one be for somebody who is let in
            # they stay open when uvicorn's own servers close
            listeners += [listener.dup() for listener in sockets or ()]
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        self._connections.is_ending = True
        await self._let_in_until_shut(listeners)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LET_IN_SECONDS):
                await asyncio.gather(*self._entering, return_exceptions=True)  # some have gone again
                while self._connections.entering:  # noqa: ASYNC110 -- a handshake that fails tells nobody
                    await asyncio.sleep(_LOOK_SECONDS)
        await super().shutdown(sockets)

    async def _let_in_until_shut(self, listeners: list[socket.socket]) -> None:
        is_shut = self._shut(listeners)
        self._let_in(listeners)
        if is_shut:
            for _ in range(math.ceil(_HANDSHAKE_SECONDS / _LOOK_SECONDS)):
                await asyncio.sleep(_LOOK_SECONDS)
                self._let_in(listeners)
        for listener in listeners:
            listener.close()

    def _shut(self, listeners: list[socket.socket]) -> bool:
        if not self._all_end():
            return False
        are_shut = [shut(listener) for listener in listeners]
        return bool(listeners) and all(are_shut)

    def _let_in(self, listeners: list[socket.socket]) -> None:
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        for connection in (each for listener in listeners for each in accepted(listener)):
            entering = loop.connect_accepted_socket(self._protocol, connection, ssl=tls)
            self._entering.append(asyncio.ensure_future(entering))

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

"""uvicorn's server, with a shutdown that drains accepted and half-open connections."""

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable
from types import FrameType

from uvicorn.config import Config
from uvicorn.server import Server as UvicornServer

from app.server.asgi_extensions import TASKS
from app.server.connection_registry import ConnectionRegistry
from app.server.listening import accept_pending, refuse_new_connections

__all__ = ["Config", "PortTaken", "Server"]

# a TLS handshake may take so long on shutdown; uvicorn's own limit is a minute
_TLS_HANDSHAKE_SECONDS = 1.0
# the last packet of a TCP handshake may take so long to arrive
_TCP_HANDSHAKE_SECONDS = 0.25
_POLL_SECONDS = 0.005


class PortTaken(OSError):
    """Another process has begun to listen at the port while this server started."""


class Server(UvicornServer):
    """Shuts down as uvicorn does, but also serves connections that were established or begun and not accepted yet.

    Closing a listener resets those connections, and a proxy does not retry a POST that it has sent. So the server

    1. refuses new connections, which a proxy retries elsewhere,
    2. accepts the pending ones, and
    3. closes the listener.

    Without the first step, 27 of 400 restarts behind nginx lost a request.

    Args:
        all_end: returns whether all processes that listen at the address are shutting down.
    """

    def __init__(self, config: Config, all_end: Callable[[], bool] = lambda: True) -> None:
        super().__init__(config)
        self._all_end = all_end
        self.server_state = self._connections = ConnectionRegistry()
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[object]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and start to serve.

        Raises:
            PortTaken: another process listens at the address; uvloop would ignore that.
        """
        self._listeners = sockets or []
        for listener in self._listeners:
            try:
                listener.listen(self.config.backlog)
            except OSError as error:
                raise PortTaken(*error.args) from None
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Refuse new connections as soon as the signal arrives, so that no worker gets them during the shutdown."""
        super().handle_exit(sig, frame)
        self._refuse_new_connections(self._listeners)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept pending connections, close the listeners, and wait for all requests."""
        listeners: list[socket.socket] = []
        with contextlib.suppress(OSError):  # without a free descriptor, no connection could be accepted either
            # the duplicates stay open when uvicorn closes its listeners
            listeners += [listener.dup() for listener in sockets or ()]
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        self._connections.is_ending = True
        await self._accept_and_close(listeners)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TLS_HANDSHAKE_SECONDS):
                await asyncio.gather(*self._accepting, return_exceptions=True)  # some may be closed by their peer
                while self._connections.entering:  # noqa: ASYNC110 -- a failed handshake notifies nobody
                    await asyncio.sleep(_POLL_SECONDS)
        await super().shutdown(sockets)

    async def _wait_tasks_to_complete(self) -> None:
        await super()._wait_tasks_to_complete()
        tasks = self.lifespan.state.get(TASKS)
        while tasks and not self.force_exit:  # noqa: ASYNC110 -- a second signal notifies nobody
            await asyncio.sleep(_POLL_SECONDS)

    async def _accept_and_close(self, listeners: list[socket.socket]) -> None:
        are_refusing = self._refuse_new_connections(listeners)
        self._accept_pending(listeners)
        if are_refusing:
            for _ in range(math.ceil(_TCP_HANDSHAKE_SECONDS / _POLL_SECONDS)):
                await asyncio.sleep(_POLL_SECONDS)
                self._accept_pending(listeners)
        for listener in listeners:
            listener.close()

    def _refuse_new_connections(self, listeners: list[socket.socket]) -> bool:
        if not self._all_end():
            return False
        are_refusing = [refuse_new_connections(listener) for listener in listeners]
        return bool(listeners) and all(are_refusing)

    def _accept_pending(self, listeners: list[socket.socket]) -> None:
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        for connection in (each for listener in listeners for each in accept_pending(listener)):
            accepting = loop.connect_accepted_socket(self._make_protocol, connection, ssl=tls)
            self._accepting.append(asyncio.ensure_future(accepting))

    def _make_protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

"""uvicorn's server, which lets nobody down who was at the door when it was told to end."""

import asyncio
import contextlib
import socket

import uvicorn

from app.protocol import Attendance

# for a handshake of TLS, which somebody who says nothing would hold up for a minute
_LET_IN_SECONDS = 1.0
_LOOK_SECONDS = 0.005


class Server(uvicorn.Server):
    """Ends as uvicorn's own does, but takes in who has connected and was not let in yet.

    The system would tell them that their connection is reset, and a proxy does not send a POST again that it has sent:
    in two of eight rolling restarts behind nginx a request was lost so (2026-11-26).
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = self._attendance = Attendance()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take in who waits, close the door in the same moment, and end when all have been served."""
        waiting = [each for listener in sockets or () for each in _accepted(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        self._attendance.is_ending = True
        loop, config = asyncio.get_running_loop(), self.config
        entering = (loop.connect_accepted_socket(self._protocol, each, ssl=config.ssl) for each in waiting)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LET_IN_SECONDS):
                await asyncio.gather(*entering, return_exceptions=True)  # some have gone again
                while self._attendance.entering:  # noqa: ASYNC110 -- a handshake that fails tells nobody
                    await asyncio.sleep(_LOOK_SECONDS)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def _accepted(listener: socket.socket) -> list[socket.socket]:
    """Everybody who has connected to a listener."""
    accepted = []
    with contextlib.suppress(OSError):  # BlockingIOError: nobody is left
        listener.setblocking(False)
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            accepted.append(connection)
    return accepted

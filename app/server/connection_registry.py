"""The connections of a server."""

import asyncio
import weakref

from uvicorn.server import ServerState


class ConnectionRegistry(ServerState):
    """State that a server shares with its connections.

    entering: connections whose TLS handshake has not ended. is_ending: the server is shutting down.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entering: weakref.WeakSet[asyncio.Protocol] = weakref.WeakSet()
        self.is_ending = False

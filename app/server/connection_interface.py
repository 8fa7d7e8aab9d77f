"""What a request, and a WebSocket, use of their connection."""

import asyncio
from typing import Protocol


class FlowControl(Protocol):
    """Pauses reading from a connection, and knows whether writing is paused."""

    async def drain(self) -> None:
        """Wait until writing is not paused."""
        ...

    @property
    def write_paused(self) -> bool:
        """True while the transport's write buffer is full."""
        ...

    def pause_reading(self) -> None:
        """Stop reading from the connection."""
        ...

    def resume_reading(self) -> None:
        """Read from the connection again."""
        ...


class Connection(Protocol):
    """The connection of an HTTP protocol."""

    @property
    def transport(self) -> asyncio.Transport:
        """The transport of the connection."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""
        ...

    @property
    def flow(self) -> FlowControl:
        """The flow control of the connection."""
        ...

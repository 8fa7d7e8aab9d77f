"""What this package relies on of uvicorn's HTTP protocol.

uvicorn's own objects are passed where these protocols are expected, so that mypy reports a change of uvicorn.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from uvicorn._types import ASGISendEvent

SendEvent = ASGISendEvent


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


class RequestResponseCycle(Protocol):
    """One request and its response.

    transport: where the response is written; it is closed after it unless `keep_alive`.
    chunked_encoding: how the body is framed: in chunks, by its length or the end of the connection, or None while
    undecided. expected_content_length: bytes of the body that are still to be sent if it is not chunked.
    response_started, response_complete: true once the head, and all of the response, has been written.
    disconnected: the caller has disconnected. message_event: wakes `receive`.
    """

    transport: asyncio.Transport
    keep_alive: bool
    waiting_for_100_continue: bool
    chunked_encoding: bool | None
    expected_content_length: int
    response_started: bool
    response_complete: bool
    disconnected: bool
    body: bytearray

    async def send(self, message: SendEvent) -> None:
        """Send an event of ASGI."""
        ...

    @property
    def scope(self) -> Mapping[str, object]:
        """The scope of ASGI."""
        ...

    @property
    def message_event(self) -> asyncio.Event:
        """Wakes a task that waits in `receive`."""
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

"""What this server adds to the ASGI scope. Each name is absent under another server.

`TASKS` is the application's, in the state of its lifespan.
"""

from collections.abc import Callable
from typing import Protocol

from app.server.connection_interface import FlowControl

# the request's `CallerConnection`
CONNECTION = "outcrop.connection"
# the request's `RequestHead`
HEAD = "outcrop.head"
# writes a complete response, to whose headers it adds the length; nothing may wait to be sent:
# `(status, headers, body) -> None`, with headers as `served_request.lines_of` returns them
RESPOND = "outcrop.respond"
# accepts the upgrade that a request of type `websocket` asks for; its refusal is sent as a response of HTTP. Takes the
# headers `sec-websocket-key` and `x-request-id`: `(str, str) -> WebSocket`
UPGRADE = "outcrop.upgrade"
# the tasks of the application that are not requests; on shutdown they get the same grace: `set[asyncio.Task]`
TASKS = "outcrop.tasks"


class CallerConnection(Protocol):
    """What an endpoint uses of the connection of a request. flow: whether bytes wait to be sent, and until when."""

    @property
    def flow(self) -> FlowControl: ...

    @property
    def write_piece(self) -> Callable[[bytes], bool] | None:
        """Writes a piece of a response body, and returns whether more may be written at once; None if it cannot."""
        ...

    def take_body(self) -> bytes | None:
        """Return the body, instead of `receive`; None if some of it has not arrived, or the caller disconnected."""
        ...

    def set_disconnect_callback(self, callback: Callable[[], None] | None) -> None:
        """Register the function to call when the caller disconnects; None ends the registration."""
        ...

    def cut(self) -> None:
        """End the response, incomplete, and close the connection after what was written."""
        ...

    def abort(self) -> None:
        """Close the connection at once, without sending what is buffered."""
        ...

"""Notifies the handler of a request when its caller disconnects."""

from collections.abc import Callable

from app.server.uvicorn_interface import Connection


class DisconnectNotification:
    """Calls a function when the caller of one request disconnects.

    Args:
        registered: the notifications of the connection that are to be called.
    """

    __slots__ = ("_callback", "_connection", "_registered")

    def __init__(self, connection: Connection, registered: "set[DisconnectNotification]") -> None:
        self._connection = connection
        self._registered = registered
        self._callback: Callable[[], None] | None = None

    def set_callback(self, callback: Callable[[], None] | None) -> None:
        """Register the function to call, or, with None, end the registration for good."""
        self._callback = callback
        if callback is None:
            self._registered.discard(self)
        elif self._connection.transport.is_closing():
            callback()
        else:
            self._registered.add(self)
            # a disconnect is noticed only while the connection is read; the rest of a body may have paused that
            self._connection.flow.resume_reading()

    def notify(self) -> None:
        """Call the function."""
        if self._callback is not None:
            self._callback()

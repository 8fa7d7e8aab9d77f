"""uvicorn's HTTP protocol, with a way to abort a connection, for which ASGI has no message."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ABORT = "outcrop.abort"


class BreakableProtocol(HttpToolsProtocol):
    """Adds to each request's `scope["extensions"]` a function that aborts its connection."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}

"""uvicorn's HTTP protocol, with a way to break a connection without a word: no ASGI message can."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ABORT = "outcrop.abort"


class BreakableProtocol(HttpToolsProtocol):
    """Hands each request the means to abort its connection, in `scope["extensions"]`."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}

"""What a handler returns, before it becomes ASGI messages."""

import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from msgspec import Struct

from app.errors import GatewayError
from app.wire import sse

Headers = tuple[tuple[str, str], ...]

JSON: Headers = (("content-type", "application/json"),)
SSE: Headers = (("content-type", sse.CONTENT_TYPE), ("cache-control", "no-cache"), ("x-accel-buffering", "no"))


class CompleteResponse(Struct, frozen=True):
    """A response in one piece."""

    status: int
    headers: Headers
    body: bytes


class StreamSource(Protocol):
    """What a stream is read from; see `Relay`."""

    async def deliver(self, take: Callable[[Any], bool]) -> bool:
        """Call `take` with each batch until it returns False. Returns True at the end. Raises GatewayError."""
        ...

    def close(self) -> None:
        """Stop reading."""
        ...


class StreamingResponse(Struct, frozen=True):
    """A response in pieces.

    relay: closed by the sender. translate: the bytes for a batch, and the error after them, if any. finish: the last
    bytes of a stream that succeeded. fail: the last bytes after an error, in the caller's dialect; None if the
    connection must be cut. idle: sent when the stream is silent, so that no proxy closes it; empty for nothing.
    length: bytes of all pieces, if that is known.
    """

    status: int
    headers: Headers
    relay: StreamSource
    translate: Callable[[Any], tuple[bytes, GatewayError | None]]
    finish: Callable[[], Awaitable[bytes]]
    fail: Callable[[GatewayError], bytes | None]
    idle: bytes = b""
    length: int | None = None


Answer = CompleteResponse | StreamingResponse
# the lines of headers for what is left of a caller's limits and budgets; see `governance.holds.standing`
LimitHeaders = Callable[[Callable[[Any], Any]], list[str]]
ErrorRenderer = Callable[[GatewayError, str], CompleteResponse]


def retry_after(error: GatewayError) -> Headers:
    """Return the `Retry-After` of an error in whole seconds: Bedrock's, or else the default of the error's class."""
    seconds = error.default_retry_after if error.retry_after is None else error.retry_after
    return () if seconds is None else (("retry-after", str(math.ceil(seconds))),)

"""What a handler answers with, before it becomes ASGI messages."""

import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from msgspec import Struct

from app.errors import GatewayError

Headers = tuple[tuple[str, str], ...]

JSON: Headers = (("content-type", "application/json"),)


class CompleteResponse(Struct, frozen=True):
    """An answer in one piece."""

    status: int
    headers: Headers
    body: bytes


class Heard(Protocol):
    """What is heard of a stream; see `Relay`."""

    async def deliver(self, take: Callable[[Any], bool]) -> bool:
        """Give it to `take` as it comes, until that is False; True once all has been heard. Raises GatewayError."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


class StreamingResponse(Struct, frozen=True):
    """An answer in pieces.

    relay: closed by whoever sends it. translate: the bytes of what is heard at once, and what makes no sense behind
    them. finish: the last bytes for a stream that ended well. fail: and for one that broke, in the caller's dialect;
    None where nothing that is understood can be appended, so that the connection must be cut. idle: what is said where
    nothing else was for a while, so that nobody on the way hangs up; empty for nothing.
    """

    status: int
    headers: Headers
    relay: Heard
    translate: Callable[[Any], tuple[bytes, GatewayError | None]]
    finish: Callable[[], Awaitable[bytes]]
    fail: Callable[[GatewayError], bytes | None]
    idle: bytes = b""


Answer = CompleteResponse | StreamingResponse
ErrorRenderer = Callable[[GatewayError, str], CompleteResponse]


def retry_after(error: GatewayError) -> Headers:
    """The `Retry-After` of an error in whole seconds: what Bedrock asked for, or our own where it asked for nothing."""
    seconds = error.default_retry_after if error.retry_after is None else error.retry_after
    return () if seconds is None else (("retry-after", str(math.ceil(seconds))),)

"""What a handler answers with, before it becomes ASGI messages."""

import math
from collections.abc import AsyncGenerator, Callable

from app.errors import GatewayError
from app.kit.values import Struct

Headers = tuple[tuple[str, str], ...]

JSON: Headers = (("content-type", "application/json"),)


class Whole(Struct, frozen=True):
    """An answer in one piece."""

    status: int
    headers: Headers
    body: bytes


class Streamed(Struct, frozen=True):
    """An answer in pieces.

    chunks: closed by whoever sends them. fail: the last bytes for a stream that broke, in the caller's dialect; None
    where nothing that is understood can be appended, so that the connection must be cut. idle: what is said where
    nothing else was for a while, so that nobody on the way hangs up; empty for nothing.
    """

    status: int
    headers: Headers
    chunks: AsyncGenerator[bytes, None]
    fail: Callable[[GatewayError], bytes | None]
    idle: bytes = b""


Answer = Whole | Streamed
ErrorRenderer = Callable[[GatewayError, str], Whole]


def retry_after(error: GatewayError) -> Headers:
    """The `Retry-After` of an error in whole seconds: what Bedrock asked for, or our own where it asked for nothing."""
    seconds = error.default_retry_after if error.retry_after is None else error.retry_after
    return () if seconds is None else (("retry-after", str(math.ceil(seconds))),)

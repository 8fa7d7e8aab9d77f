"""What a handler answers with, before it becomes ASGI messages."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from app.errors import GatewayError

Headers = tuple[tuple[str, str], ...]

JSON: Headers = (("content-type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one piece."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer in pieces.

    chunks: closed by whoever sends them. fail: the last bytes for a stream that broke, in the caller's dialect; None
    where nothing that is understood can be appended, so that the connection must be cut.
    """

    status: int
    headers: Headers
    chunks: AsyncGenerator[bytes, None]
    fail: Callable[[GatewayError], bytes | None]


Answer = Whole | Streamed
ErrorRenderer = Callable[[GatewayError, str], Whole]

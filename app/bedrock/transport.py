"""The protocol of an HTTP transport, and its request and response."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import Struct

Headers = tuple[tuple[str, str], ...]

# of a complete response. Bedrock's own limit for InvokeModel is 25 MB (its service model, botocore 1.44)
MAX_BYTES = 64 * 1024 * 1024


class Timeouts(NamedTuple):
    """The timeouts of one request, in seconds; None for the transport's own.

    connect: for a connection, TLS included. first_byte: until the response begins. idle: between two bytes of it.
    """

    connect: float | None = None
    first_byte: float | None = None
    idle: float | None = None


DEFAULT_TIMEOUTS = Timeouts()


class HttpRequest(Struct, frozen=True):
    """A request. `url` is absolute and percent-encoded: it is sent unchanged."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    timeouts: Timeouts = DEFAULT_TIMEOUTS


class HttpResponse(Protocol):
    """A response whose head has arrived. It must be closed; a body read to its end keeps the connection alive."""

    @property
    def status(self) -> int:
        """The status code."""
        ...

    @property
    def headers(self) -> Headers:
        """Names in lower case, in the order of arrival."""
        ...

    async def read(self, limit: int = MAX_BYTES) -> bytes:
        """Read the whole body, of at most `limit` bytes.

        Raises:
            UpstreamFailed: the connection broke before the end, or the body is larger.
            UpstreamTimeout: no byte arrived within the read timeout.
        """
        ...

    async def deliver(self, take: Callable[[bytes], bool]) -> bool:
        """Call `take` with the body as it arrives, a piece for each read of the socket, from within that read.

        Returns:
            True once the body has ended; False as soon as `take` returns False, and the rest of the body is kept.

        Raises:
            As `read` does; and whatever `take` raises.
        """
        ...

    def close(self) -> None:
        """Abort the connection, unless the body was read to its end. Closing twice is allowed."""
        ...


class Transport(Protocol):
    """Sends requests."""

    async def open(self, request: HttpRequest) -> HttpResponse:
        """Send a request, and wait for the head of the response, whatever its status.

        Raises:
            UpstreamFailed: connecting failed, or the connection broke.
            UpstreamTimeout: connecting, or the first byte, took longer than its limit.
        """
        ...

    async def probe(self, url: str) -> str:
        """Connect to `url`'s host and hang up. Returns why it failed, or an empty string."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...

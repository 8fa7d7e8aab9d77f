"""The port through which HTTP requests leave, and nothing of how."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import Struct

Headers = tuple[tuple[str, str], ...]

# of a whole answer. Bedrock's own limit for one of InvokeModel is 25 MB (its service model, botocore 1.44)
MAX_BYTES = 64 * 1024 * 1024


class Waits(NamedTuple):
    """Seconds that one request waits, where the transport's own do not suit it.

    connect: for a connection, TLS included. first_byte: for the answer to begin. idle: between two of its bytes.
    """

    connect: float | None = None
    first_byte: float | None = None
    idle: float | None = None


NO_WAITS = Waits()


class HttpRequest(Struct, frozen=True):
    """A request as it goes on the wire. `url` is absolute and encoded already: it is sent as it stands."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    waits: Waits = NO_WAITS


class HttpResponse(Protocol):
    """An answer whose head has come. It must be closed; a body read to its end keeps the connection alive."""

    @property
    def status(self) -> int:
        """The status code."""
        ...

    @property
    def headers(self) -> Headers:
        """Names in lower case, in the order of arrival."""
        ...

    async def read(self, limit: int = MAX_BYTES) -> bytes:
        """The whole body, of so many bytes at the most.

        Raises:
            UpstreamFailed: the connection broke before the end, or the body is larger.
            UpstreamTimeout: no byte came within the read timeout.
        """
        ...

    async def deliver(self, take: Callable[[bytes], bool]) -> bool:
        """Give the body to `take` as it arrives, a piece for each read of the socket, from within that read: nobody
        has to be woken for it.

        Returns:
            True once the body has ended; False as soon as `take` says so, and what arrives from then on is kept.

        Raises:
            As `read` does; and whatever `take` does.
        """
        ...

    def close(self) -> None:
        """Give the connection up unless the body was read to its end. Does nothing twice."""
        ...


class Transport(Protocol):
    """Sends requests."""

    async def open(self, request: HttpRequest) -> HttpResponse:
        """Send, and wait for the head of the answer, whatever its status.

        Raises:
            UpstreamFailed: no connection, or it broke.
            UpstreamTimeout: connecting, or the first byte, took longer than its limit.
        """
        ...

    async def probe(self, url: str) -> str:
        """Connect to `url`'s host and hang up. Returns why it failed, or nothing."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...

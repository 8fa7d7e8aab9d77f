"""One HTTP request of a caller."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from app.errors import BodyTooLarge, GatewayError
from app.governance.held_bytes import HeldBytes
from app.governance.identity.caller import Caller
from app.observability.observer import RequestRecord
from app.process.deadline import Deadline
from app.server.request_head import RequestHead

if TYPE_CHECKING:
    from app.governance.holds.call_limits import RequestHold

Headers = tuple[tuple[str, str], ...]
FailStream = Callable[[GatewayError], bytes | None]

# of the largest body, in memory
_MAX_GROWTH = 4
_MIN_PARSED_BYTES = 100_000_000


class RequestContext(Struct):
    """What is known of a request while it is handled.

    params: the parameters of the path, decoded. body: the raw bytes; empty once a handler has parsed them.
    deadline: when the request is given up. record: its log record.
    body_bytes: counts the bytes of the bodies of all requests in memory; None for no limit.
    max_bytes: the most bytes that the body may have, with what is fetched for it.
    size: the bytes of the body, with what was fetched for it so far.
    response_bytes: counts the bytes of large responses until they have been sent; None for no limit.
    user: the end user for whom the caller makes the request. hold: what its attempts hold of the caller's limits.
    outlive: called with this context and its task when the caller disconnects; returns True if the task goes on until
        the attempts that were sent have ended. It must not refer to this context: a cycle for each request keeps the
        garbage collector busy.
    abandoned: the task that goes on without its caller.
    begin_stream: begins a streaming response before its first event. It gets the headers, the bytes to send while the
        stream is silent, and what renders an error that follows.
    heartbeat: sends those bytes, and begins the stream if it has not begun; None for a complete response.
    """

    head: RequestHead
    params: Mapping[str, str]
    body: bytes
    caller: Caller
    deadline: Deadline
    record: RequestRecord
    body_bytes: HeldBytes | None = None
    max_bytes: float = math.inf
    size: int = 0
    response_bytes: HeldBytes | None = None
    user: str = ""
    hold: "RequestHold | None" = None
    outlive: Callable[["RequestContext", "asyncio.Task[Any]"], bool] | None = None
    abandoned: "asyncio.Task[Any] | None" = None
    begin_stream: Callable[[Headers, bytes, FailStream], Awaitable[None]] | None = None
    heartbeat: Callable[[], Awaitable[None]] | None = None

    def grow(self, count: int) -> None:
        """Count bytes that were fetched for the request.

        Raises:
            GatewayBusy: all requests together hold too many bytes.
        """
        if self.body_bytes is not None:
            self.body_bytes.add(count)
        self.size += count

    def count_parsed(self, texts: int, values: int) -> None:
        """Count the memory of the parsed body instead of its bytes.

        Args:
            texts, values: the most bytes that its texts, and its other values, take in memory; see `peak_bytes`.

        Raises:
            BodyTooLarge: it takes too much memory for the limit of bodies. GatewayBusy: as `grow` does.
        """
        if texts + values > max(_MAX_GROWTH * self.max_bytes, _MIN_PARSED_BYTES):
            raise BodyTooLarge(
                f"the texts of the body take more than {_MAX_GROWTH} times {self.max_bytes} bytes in memory: a text "
                "with characters beyond U+FFFF takes four bytes for each of its characters"
            )
        if self.body_bytes is not None:
            # MAX_BODIES_BYTES counts half of what bodies take at their peak
            self.body_bytes.add(max(texts // 2, values) - self.body_bytes.size)

    async def count_response(self, count: int) -> None:
        """Count more bytes of a response, and wait until they may be read. Raises GatewayBusy: the wait is too long."""
        if self.response_bytes is not None:
            await self.response_bytes.add_when_free(count)

    def count_stored(self, count: int) -> None:
        """Count stored bytes that the request refers to, as if its body held them.

        Raises:
            BodyTooLarge: with them the body exceeds the limit. GatewayBusy: as `grow` does.
        """
        if self.size + count > self.max_bytes:
            raise BodyTooLarge(f"the body and what it refers to have more than {self.max_bytes} bytes")
        self.grow(count)

"""One HTTP request of a caller."""

import math
from collections.abc import Mapping

from msgspec import Struct

from app.errors import BodyTooLarge
from app.governance.held_bytes import HeldBytes
from app.governance.identity.caller import Caller
from app.observability.observer import RequestRecord
from app.process.deadline import Deadline
from app.server.request_head import RequestHead

# of the largest body, in memory
_MAX_GROWTH = 4
_MIN_PARSED_BYTES = 100_000_000


class RequestContext(Struct):
    """What is known of a request while it is handled.

    params: the path's parameters, decoded. body: not parsed, until a handler takes it.
    deadline: when the request is abandoned. record: what is logged of the request when it ends.
    held: counts the bytes in memory for all requests. limit: the bytes of the body and of what it refers to.
    size: the bytes of the body and of what was fetched for it.
    response: counts the bytes of large responses until they have been sent.
    """

    head: RequestHead
    params: Mapping[str, str]
    body: bytes
    caller: Caller
    deadline: Deadline
    record: RequestRecord
    held: HeldBytes | None = None
    limit: float = math.inf
    size: int = 0
    response: HeldBytes | None = None

    def grow(self, count: int) -> None:
        """Count bytes that were fetched for the request.

        Raises:
            GatewayBusy: the bodies of all requests together are too large.
        """
        if self.held is not None:
            self.held.add(count)
        self.size += count

    def hold_parsed(self, texts: int, values: int) -> None:
        """Count what the body takes once it is parsed.

        Args:
            texts, values: the most bytes that they take, with the body; see `peak_bytes`.

        Raises:
            BodyTooLarge: a document of this size may not take so much. GatewayBusy: as `grow` does.
        """
        if texts + values > max(_MAX_GROWTH * self.limit, _MIN_PARSED_BYTES):
            raise BodyTooLarge(
                f"the texts of the body take more than {_MAX_GROWTH} times {self.limit} bytes in memory: a text with "
                "characters beyond U+FFFF takes four bytes for each of its characters"
            )
        if self.held is not None:
            # MAX_BODIES_BYTES counts half of what bodies take at their peak
            self.held.add(max(texts // 2, values) - self.held.size)

    async def hold_response(self, count: int) -> None:
        """Count more bytes of a response, and wait until they may be read. Raises GatewayBusy: that takes too long."""
        if self.response is not None:
            await self.response.add_when_free(count)

    def recall(self, count: int) -> None:
        """Count bytes that are stored here and that the request refers to, as if they were in its body.

        Raises:
            BodyTooLarge: the body would exceed the limit. GatewayBusy: as `grow` does.
        """
        if self.size + count > self.limit:
            raise BodyTooLarge(f"the body and what it refers to have more than {self.limit} bytes")
        self.grow(count)

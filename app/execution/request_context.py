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


class RequestContext(Struct):
    """What is known of a request while it is handled.

    params: the path's parameters, decoded. body: not parsed, until a handler takes it.
    deadline: when the request is abandoned. record: what is logged of the request when it ends.
    held: counts the bytes in memory for all requests. limit: the bytes of the body and of what it refers to.
    size: the bytes of the body and of what was fetched for it.
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

    def grow(self, count: int) -> None:
        """Count bytes that were fetched for the request.

        Raises:
            GatewayBusy: the bodies of all requests together are too large.
        """
        if self.held is not None:
            self.held.add(count)
        self.size += count

    def recall(self, count: int) -> None:
        """Count bytes that are stored here and that the request refers to, as if they were in its body.

        Raises:
            BodyTooLarge: the body would exceed the limit. GatewayBusy: as `grow` does.
        """
        if self.size + count > self.limit:
            raise BodyTooLarge(f"the body and what it refers to have more than {self.limit} bytes")
        self.grow(count)

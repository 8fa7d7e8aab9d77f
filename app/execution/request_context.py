"""One HTTP request of a caller, from door to door."""

import math
from collections.abc import Mapping

from msgspec import Struct

from app.errors import BodyTooLarge
from app.governance.admission import HeldBody
from app.governance.identity.caller import Caller
from app.observability.observer import RequestRecord
from app.process.deadline import Deadline
from app.server.request_head import RequestHead


class RequestContext(Struct):
    """What every part that handles a request may know of it.

    params: the path's parameters, decoded. body: the whole body, unparsed, until it is taken; size: its bytes, and
    those that were fetched for it, which `held` counts. most: of the body and what it refers to.
    deadline: after it nobody waits any more. record: what will be told of the request when it ends.
    """

    head: RequestHead
    params: Mapping[str, str]
    body: bytes
    caller: Caller
    deadline: Deadline
    record: RequestRecord
    held: HeldBody | None = None
    limit: float = math.inf
    size: int = 0

    def grow(self, count: int) -> None:
        """What came with the request was not all: so many bytes have been fetched for it.

        Raises:
            GatewayBusy: all bodies together are too many bytes.
        """
        if self.held is not None:
            self.held.add(count)
        self.size += count

    def recall(self, count: int) -> None:
        """The request refers to so many bytes that are kept here: they count as if it had brought them.

        Raises:
            BodyTooLarge: it would have brought too many. GatewayBusy: as `grow` does.
        """
        if self.size + count > self.limit:
            raise BodyTooLarge(f"the body and what it refers to have more than {self.limit} bytes")
        self.grow(count)

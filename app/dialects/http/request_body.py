"""Reads request bodies, and limits their size and pace."""

import asyncio
import math
from collections.abc import Callable
from io import BytesIO

from starlette.types import Receive

from app.errors import BodyTooLarge, CallerTooSlow, InvalidRequest
from app.governance.admission import HeldBody
from app.process.memory import buffer_for, contents_of
from app.server.request_head import RequestHead


class CallerGone(Exception):
    """The caller closed the connection."""


async def read_body(head: RequestHead, receive: Receive, limit: int, timeout_seconds: float, held: HeldBody) -> bytes:
    """The whole body.

    Args:
        limit: bytes.
        patience: seconds in which it must arrive, and as many more as its bytes take at a slow pace, but never so
            many without a byte; infinite where it has arrived.
        held: is told of its bytes.

    Raises:
        BodyTooLarge, CallerTooSlow, InvalidRequest: it is too large, too slow or compressed. GatewayBusy: there are
            too many bodies already. CallerGone.
    """
    if head.headers.get("content-encoding", "").lower() not in ("", "identity"):
        raise InvalidRequest("a compressed body is not supported: send it without content-encoding")
    said = head.headers.get("content-length", "")
    length = int(said) if said.isdigit() else 0
    if length > limit:
        raise _too_large(limit)
    if timeout_seconds == math.inf:
        return await _read_pieces(receive, length, limit, lambda: None, held)
    pace = asyncio.timeout(timeout_seconds)
    try:
        async with pace:
            last = pace.when() or 0.0
            now = asyncio.get_running_loop().time

            def go_on() -> None:
                pace.reschedule(min(last + held.size / held.bodies.slowest, now() + timeout_seconds))

            return await _read_pieces(receive, length, limit, go_on, held)
    except TimeoutError:
        if not pace.expired():
            raise
        raise CallerTooSlow("the body did not arrive in time") from None


async def _read_pieces(receive: Receive, length: int, limit: int, go_on: Callable[[], None], held: HeldBody) -> bytes:
    read: BytesIO | None = None  # grows in place, where pieces that were joined would be held twice
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        piece: bytes = message.get("body", b"")
        if held.size + len(piece) > limit:
            raise _too_large(limit)
        held.add(len(piece))
        is_last = not message.get("more_body", False)
        if is_last and read is None:
            return piece
        read = read or buffer_for(length)
        read.write(piece)
        if is_last:
            return contents_of(read)
        go_on()


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes, the limit of this gateway")

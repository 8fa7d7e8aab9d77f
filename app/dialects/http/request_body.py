"""Reads request bodies, and limits their size and pace."""

import asyncio
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import TypeVar

from starlette.types import Receive

from app.dialects.http.documents import Document, parse_object, validate
from app.dialects.http.end_user import end_user_in
from app.errors import BodyTooLarge, CallerTooSlow, InvalidRequest
from app.execution.request_context import RequestContext
from app.governance.held_bytes import HeldBytes
from app.process.memory import buffer_for, contents_of
from app.process.off_loop import MAX_LOOP_BYTES, off_loop
from app.server.asgi_extensions import CallerConnection
from app.server.request_head import RequestHead
from app.wire.json import JsonObject, Outline, outline_of
from app.wire.json_memory import peak_bytes

T = TypeVar("T")

# whatever a smaller body holds, it takes about as much memory as the rest of its request
_SMALL_BYTES = 2048


class CallerGone(Exception):
    """The caller closed the connection."""


def take_body(head: RequestHead, connection: CallerConnection, limit: int, held: HeldBytes) -> bytes | None:
    """Return the whole body if it has arrived, or else None. Arguments and errors are those of `read_body`."""
    headers = head.headers
    if "content-encoding" in headers and headers["content-encoding"].lower() not in ("", "identity"):
        raise InvalidRequest("a compressed body is not supported: send it without content-encoding")
    body = connection.take_body()
    if body is not None:
        if len(body) > limit:
            raise _too_large(limit)
        held.add(len(body))
    return body


async def read_body(
    head: RequestHead,
    connection: CallerConnection,
    receive: Receive,
    limit: int,
    timeout_seconds: float,
    held: HeldBytes,
) -> bytes:
    """Read the whole body.

    Args:
        connection: has the body if it has arrived. receive: waits for it.
        limit: bytes.
        timeout_seconds: for the first bytes, and between any two pieces; all of it gets as many more as its bytes take
            at the slowest allowed pace.
        held: counts its bytes.

    Raises:
        BodyTooLarge, CallerTooSlow, InvalidRequest: it is too large, too slow or compressed. GatewayBusy: there are
            too many bodies already. CallerGone.
    """
    body = take_body(head, connection, limit, held)
    if body is not None:
        return body
    said = head.headers.get("content-length", "")
    length = int(said) if said.isdigit() else 0
    if length > limit:
        raise _too_large(limit)
    pace = asyncio.timeout(timeout_seconds)
    try:
        async with pace:
            last = pace.when() or 0.0
            now = asyncio.get_running_loop().time

            def go_on() -> None:
                pace.reschedule(min(last + held.size / held.limits.slowest, now() + timeout_seconds))

            return await _read_pieces(receive, length, limit, go_on, held)
    except TimeoutError:
        if not pace.expired():
            raise
        raise CallerTooSlow("the body did not arrive in time") from None


async def _read_pieces(receive: Receive, length: int, limit: int, go_on: Callable[[], None], held: HeldBytes) -> bytes:
    read: BytesIO | None = None  # joining a list of pieces would hold them twice
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        piece: bytes = message.get("body", b"")
        _count(piece, limit, held)
        is_last = not message.get("more_body", False)
        if is_last and read is None:
            return piece
        read = read or buffer_for(length)
        read.write(piece)
        if is_last:
            return contents_of(read)
        go_on()


def _count(piece: bytes, limit: int, held: HeldBytes) -> None:
    """Count the bytes of a piece. Raises BodyTooLarge, GatewayBusy."""
    if held.size + len(piece) > limit:
        raise _too_large(limit)
    held.add(len(piece))


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes, the limit of this gateway")


async def read_object(context: RequestContext) -> JsonObject:
    """Take the body of a request, and parse it; in a thread if it is large. Raises as `parse_object` does."""
    body, context.body = context.body, b""  # it is not held beside the document
    if len(body) <= _SMALL_BYTES:
        document = parse_object(body)
    elif len(body) <= MAX_LOOP_BYTES:
        outline = outline_of(body)
        context.count_parsed(*peak_bytes(body, outline))
        document = parse_object(body, outline)
    else:
        document = await _parse_off_loop(context, body, parse_object)
    if context.caller.policy is not None:
        context.user = end_user_in(document)
    return document


async def read_as(context: RequestContext, schema: type[Document]) -> Document:
    """Take the body of a request, and validate it; in a thread if it is large. Raises InvalidRequest."""
    body, context.body = context.body, b""
    validated, context.user = await _parse_off_loop(context, body, partial(_validated, schema=schema))
    return validated


def _validated(body: bytes, outline: Outline, schema: type[Document]) -> tuple[Document, str]:
    """Return a body, and the end user that it names."""
    document = parse_object(body, outline)
    return validate(document, schema), end_user_in(document)


async def _parse_off_loop(context: RequestContext, body: bytes, parse: Callable[[bytes, Outline], T]) -> T:
    """Count the memory that a body takes once it is parsed, and parse it.

    Raises:
        BodyTooLarge, GatewayBusy: it takes too much. Also whatever `parse` raises.
    """
    run = partial(off_loop, context.caller.name, len(body))
    outline, peak, parsed = await run(partial(_parse_if_held, body, parse))
    if parsed is not None:
        return parsed
    context.count_parsed(*peak)
    return await run(partial(parse, body, outline))


def _parse_if_held(body: bytes, parse: Callable[[bytes, Outline], T]) -> tuple[Outline, tuple[int, int], T | None]:
    """Return the outline and the peak of a body, and what it parses to if its bytes are all that is to be held."""
    outline = outline_of(body)
    texts, values = peak_bytes(body, outline)
    parsed = parse(body, outline) if max(texts // 2, values) <= len(body) else None
    return outline, (texts, values), parsed

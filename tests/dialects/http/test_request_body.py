"""Large bodies are counted before they are parsed, and most of them are parsed in the same turn."""

import pytest

from app.dialects.http import request_body
from app.dialects.http.request_body import read_object
from app.errors import GatewayBusy, InvalidRequest
from app.execution.request_context import RequestContext
from app.governance.held_bytes import ByteLimit, HeldBytes
from app.governance.identity.caller import Caller
from app.observability.observer import RequestRecord
from app.process.deadline import Deadline
from app.server.request_head import RequestHead
from app.wire import json
from app.wire.json import JsonObject

LETTERS = 300_000
PLAIN = json.dumps({"x": "a, [b] " * (LETTERS // 7)})
WIDE = json.dumps({"x": "😀" + "a" * LETTERS})
MANY = json.dumps({"x": [[]] * 10_000, "y": "a" * LETTERS})


def context_of(body: bytes, limit: int = 2**30) -> RequestContext:
    head = RequestHead("POST", "/", "", {})
    held = HeldBytes(ByteLimit(limit), "a")
    held.add(len(body))
    return RequestContext(head, {}, body, Caller("a"), Deadline.after(9), RequestRecord("r", "POST"), held)


async def turns_of(monkeypatch: pytest.MonkeyPatch, context: RequestContext) -> tuple[JsonObject, list[int]]:
    """Return the document of a body, and the bytes that are counted at the beginning of each turn in a thread."""
    turns, off_loop = [], request_body.off_loop

    async def noted(*args: object) -> object:
        turns.append(context.body_bytes.size if context.body_bytes else 0)
        return await off_loop(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(request_body, "off_loop", noted)
    return await read_object(context), turns


async def test_a_body_that_needs_no_more_than_its_bytes_is_parsed_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(PLAIN)
    document, turns = await turns_of(monkeypatch, context)
    assert (document, turns) == (json.loads(PLAIN), [len(PLAIN)])
    assert context.body_bytes is not None
    assert (context.body_bytes.size, context.body) == (len(PLAIN), b"")


@pytest.mark.parametrize(("body", "counted"), [(WIDE, 3 * LETTERS), (MANY, 1_000_000)])
async def test_memory_beyond_the_bytes_of_a_body_is_counted_before_it_is_parsed(
    monkeypatch: pytest.MonkeyPatch, body: bytes, counted: int
) -> None:
    context = context_of(body)
    document, (before, after) = await turns_of(monkeypatch, context)
    assert (document, before) == (json.loads(body), len(body))
    assert after >= counted
    assert context.body_bytes is not None
    assert context.body_bytes.size == after


@pytest.mark.parametrize("body", [WIDE, MANY])
async def test_a_body_is_refused_for_its_memory_before_it_is_parsed(body: bytes) -> None:
    malformed = body[:-1]
    with pytest.raises(GatewayBusy):
        await read_object(context_of(malformed, limit=len(body) + 100_000))
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        await read_object(context_of(malformed))


@pytest.mark.parametrize("end", [b'"', b'",', b"", b'","x":1}', b'\\"}', b'"}}'])
async def test_a_large_body_that_is_no_object_is_refused(end: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await read_object(context_of(PLAIN[:-2] + end))

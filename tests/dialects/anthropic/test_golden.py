"""Golden cases: a directory each.

request.json   what an Anthropic client sends
call.json      the Converse body that it becomes, for any model
invoke.json    the body that Claude Sonnet 5 and Claude 3 Haiku get of it instead, in their own format
reply.json     Converse's reply
message.json   the message that it becomes
events.json    the events of the same reply, streamed

To add a case, write request.json and reply.json, list it in tests/dialects/situations.py, run
`pytest tests/dialects --update-golden`, and read what it wrote.
"""

from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from app.adaptation.invoke import adapt_invoke
from app.converse.call import NativeCall
from app.converse.fold import unfold
from app.dialects.anthropic.request import to_call
from app.dialects.anthropic.response import from_reply
from app.dialects.anthropic.response_context import MessageResponseContext
from app.dialects.anthropic.schema_in import MessagesRequest
from app.dialects.anthropic.schema_out import MessageOut
from app.dialects.anthropic.stream import EventStream
from app.dialects.http.documents import validate
from app.models.capabilities import capabilities_of
from app.models.ids import parse_model_id
from app.wire import json
from tests.dialects.conftest import CheckGolden
from tests.dialects.situations import cases_of
from tests.dialects.streams import joined, named_events
from tests.dialects.validation import assert_adapted_for_every_family, described

HERE = Path(__file__).parent / "golden"
CASES = cases_of("anthropic")
RESPONSE_CONTEXT = MessageResponseContext("msg_1", "the-model", "request-1")
CLAUDES = ("anthropic.claude-sonnet-5", "anthropic.claude-3-haiku-20240307-v1:0")


def read(case: str, name: str) -> Any:
    return json.loads((HERE / case / name).read_bytes())


def call_of(case: str) -> Any:
    return to_call(validate(read(case, "request.json"), MessagesRequest), ["some-beta"])


def invoked(case: str) -> Any:
    betas = ["claude-code-20250219", "advanced-tool-use-2025-11-20", "interleaved-thinking-2025-05-14"]
    described = {}
    for model in CLAUDES:
        call = NativeCall(model, read(case, "request.json"), "2023-06-01", betas)
        adapted = adapt_invoke(call, capabilities_of(parse_model_id(model)))
        described[model] = {"body": adapted.body, "ignored": adapted.ignored, "adjusted": adapted.adjusted}
    return described


def streamed(case: str) -> list[Any]:
    translator = EventStream(RESPONSE_CONTEXT)
    data = joined(translator.from_event, unfold(read(case, "reply.json"))) + translator.finish()
    return named_events(data)


@pytest.mark.parametrize("case", CASES)
def test_request_becomes_the_call(case: str, check_golden: CheckGolden) -> None:
    check_golden(HERE / case / "call.json", described(call_of(case)))


@pytest.mark.parametrize("case", CASES)
def test_request_becomes_the_native_body_of_each_model(case: str, check_golden: CheckGolden) -> None:
    before = read(case, "request.json")
    check_golden(HERE / case / "invoke.json", invoked(case))
    assert read(case, "request.json") == before


@pytest.mark.parametrize("case", CASES)
def test_reply_becomes_the_response(case: str, check_golden: CheckGolden) -> None:
    message = from_reply(read(case, "reply.json"), RESPONSE_CONTEXT)
    check_golden(HERE / case / "message.json", message)
    MessageOut.model_validate(message, strict=True)
    Message.model_validate(message)


@pytest.mark.parametrize("case", CASES)
def test_reply_becomes_the_stream(case: str, check_golden: CheckGolden) -> None:
    events = streamed(case)
    check_golden(HERE / case / "events.json", events)
    for each in events:
        if each["type"] != "ping":
            TypeAdapter(RawMessageStreamEvent).validate_python(each)


@pytest.mark.parametrize("case", CASES)
def test_stream_holds_what_the_complete_response_holds(case: str) -> None:
    message = read(case, "message.json")
    blocks: list[Any] = []
    for event in read(case, "events.json"):
        match event:
            case {"type": "content_block_start", "index": index, "content_block": block}:
                assert index == len(blocks)
                blocks.append(block)
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                add(blocks[index], delta)
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                assert delta == {name: message[name] for name in ("stop_reason", "stop_sequence")}
                assert usage == message["usage"]
    for block in blocks:
        if "written" in block:
            block["input"] = json.loads(block.pop("written"))
    assert blocks == message["content"]
    assert read(case, "events.json")[-1] == {"type": "message_stop"}


def add(block: Any, delta: Any) -> None:
    match delta:
        case {"type": "text_delta", "text": text}:
            block["text"] += text
        case {"type": "thinking_delta", "thinking": text}:
            block["thinking"] += text
        case {"type": "signature_delta", "signature": signature}:
            block["signature"] += signature
        case {"type": "input_json_delta", "partial_json": piece}:
            block["written"] = block.get("written", "") + piece
        case {"type": "citations_delta", "citation": citation}:
            block.setdefault("citations", []).append(citation)
        case _:
            raise AssertionError(delta)


@pytest.mark.parametrize("case", CASES)
def test_adapted_requests_pass_botocores_validator_and_leave_the_call_unchanged(case: str) -> None:
    assert_adapted_for_every_family(lambda: call_of(case))

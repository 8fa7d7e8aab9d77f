"""Golden cases: a directory each.

request.json   what an OpenAI client sends
call.json      the Converse body that it becomes, before any model is known
reply.json     what Converse answers
response.json  the response that it becomes
events.json    the events of the same answer, streamed

Thoughts are sealed for `ada` and `the.model`. To add a case, write request.json and reply.json, run
`python -m tests.dialects.openai.responses.test_golden`, and read what it wrote before you believe it.
"""

from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from app.converse.fold import unfold
from app.dialects.http.documents import validate
from app.dialects.openai.responses.reasoning_signer import ReasoningSigner
from app.dialects.openai.responses.request import SIGNED, to_call
from app.dialects.openai.responses.response import from_reply
from app.dialects.openai.responses.response_context import ResponseContext
from app.dialects.openai.responses.schema_in import ResponseRequest
from app.dialects.openai.responses.schema_out import ResponseOut
from app.dialects.openai.responses.stream import ResponseStream
from app.dialects.openai.responses.tools import custom_names, namespaces
from app.wire import json
from tests.dialects.streams import joined
from tests.dialects.validation import assert_adapted_for_every_family

HERE = Path(__file__).parent / "golden"
CASES = sorted(path.name for path in HERE.iterdir())
SEAL = ReasoningSigner((b"golden",), "ada", "the.model")
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def read(case: str, name: str) -> Any:
    return json.loads((HERE / case / name).read_bytes())


def request_of(case: str) -> ResponseRequest:
    return validate(read(case, "request.json"), ResponseRequest)


def call_of(case: str) -> Any:
    request = request_of(case)
    text = {"input": [{"role": "user", "content": request.input}]}
    items = validate(text, ResponseRequest).input if isinstance(request.input, str) else request.input
    assert not isinstance(items, str)
    return to_call(request, SEAL, items)


def described_call(case: str) -> Any:
    call = call_of(case)
    intent = {name: getattr(call.intent, name) for name in call.intent.__slots__ if getattr(call.intent, name)}
    return {"converse": call.converse, "intent": intent, "ignored": call.ignored}


def facts_of(case: str) -> ResponseContext:
    request = request_of(case)
    is_signed = request.store is not False or SIGNED in (request.include or ())
    return ResponseContext(
        "resp_1",
        1764000000,
        request.model or "the-default",
        request,
        read(case, "request.json"),
        SEAL if is_signed else None,
        custom_names(request),
        namespaces(request),
    )


def numbered() -> Any:
    """Ids of items in the order in which they are made."""
    numbers = count(1)
    return mock.patch("app.dialects.http.identifiers.new_id", lambda prefix: f"{prefix}{next(numbers)}")


def whole(case: str) -> Any:
    with numbered():
        return from_reply(read(case, "reply.json"), facts_of(case))


def streamed(case: str) -> list[Any]:
    translator = ResponseStream(facts_of(case))
    with numbered():
        data = joined(translator.from_event, unfold(read(case, "reply.json")))
        data += translator.last(translator.ended())
    events = []
    for frame in data.decode().removesuffix("\n\n").split("\n\n"):
        name, payload = frame.split("\n")
        event = json.loads(payload.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


@pytest.mark.parametrize("case", CASES)
def test_request(case: str) -> None:
    assert described_call(case) == read(case, "call.json")


@pytest.mark.parametrize("case", CASES)
def test_reply(case: str) -> None:
    response = whole(case)
    assert response == read(case, "response.json")
    ResponseOut.model_validate(response, strict=True)
    Response.model_validate(response)


@pytest.mark.parametrize("case", CASES)
def test_stream(case: str) -> None:
    events = streamed(case)
    assert events == read(case, "events.json")
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        EVENT.validate_python(event)


@pytest.mark.parametrize("case", CASES)
def test_a_stream_says_what_the_whole_reply_says(case: str) -> None:
    events, response = read(case, "events.json"), read(case, "response.json")
    assert events[-1] == {
        "type": f"response.{response['status']}",
        "sequence_number": len(events) - 1,
        "response": response,
    }
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == response["output"]
    for index, item in enumerate(response["output"]):
        pieces = "".join(
            event["delta"]
            for event in events
            if event["type"].endswith(".delta") and event.get("output_index") == index
        )
        match item:
            case {"type": "message", "content": [{"text": text}]}:
                assert pieces == text
            case {"type": "function_call", "arguments": arguments}:
                assert pieces in (arguments, "" if arguments == "{}" else arguments)
            case {"type": "custom_tool_call", "input": given}:
                assert pieces == given
            case {"type": "reasoning", "summary": summary}:
                assert pieces == "".join(part["text"] for part in summary)


@pytest.mark.parametrize("case", CASES)
def test_adapted_requests_pass_botocore_s_validator_and_leave_the_call_alone(case: str) -> None:
    assert_adapted_for_every_family(lambda: call_of(case))


def write_expectations() -> None:
    """Write what the code does now, to be read by somebody."""
    import json as pretty

    for case in CASES:
        expected = {"call.json": described_call(case), "response.json": whole(case), "events.json": streamed(case)}
        for name, value in expected.items():
            (HERE / case / name).write_text(pretty.dumps(value, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_expectations()

"""Golden cases: a directory each.

request.json   what an OpenAI client sends
call.json      the Converse body that it becomes, for any model
reply.json     Converse's reply
response.json  the response that it becomes
events.json    the events of the same reply, streamed

Reasoning is signed for `ada` and `the.model`. To add a case, write request.json and reply.json, list it in
tests/dialects/situations.py, run `pytest tests/dialects --update-golden`, and read what it wrote.
"""

from collections.abc import Iterator
from contextlib import contextmanager
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
from tests.dialects.conftest import CheckGolden
from tests.dialects.situations import cases_of
from tests.dialects.streams import joined, named_events
from tests.dialects.validation import assert_adapted_for_every_family, described

HERE = Path(__file__).parent / "golden"
CASES = cases_of("openai/responses")
SIGNER = ReasoningSigner((b"golden",), "ada", "the.model")
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
    return to_call(request, SIGNER, items)


def response_context_of(case: str) -> ResponseContext:
    request = request_of(case)
    is_signed = request.store is not False or SIGNED in (request.include or ())
    return ResponseContext(
        "resp_1",
        1764000000,
        request.model or "the-default",
        request,
        read(case, "request.json"),
        SIGNER if is_signed else None,
        custom_names(request),
        namespaces(request),
    )


@contextmanager
def numbered() -> Iterator[None]:
    """Number the ids of items in the order in which they are made, and stop the clock."""
    numbers = count(1)
    with (
        mock.patch("app.dialects.http.identifiers.new_id", lambda prefix: f"{prefix}{next(numbers)}"),
        mock.patch("time.time", return_value=1764000001.5),
    ):
        yield


def complete(case: str) -> Any:
    with numbered():
        return from_reply(read(case, "reply.json"), response_context_of(case))


def streamed(case: str) -> list[Any]:
    translator = ResponseStream(response_context_of(case))
    with numbered():
        data = joined(translator.from_event, unfold(read(case, "reply.json")))
        data += translator.last(translator.ended())
    return named_events(data)


@pytest.mark.parametrize("case", CASES)
def test_request_becomes_the_call(case: str, check_golden: CheckGolden) -> None:
    check_golden(HERE / case / "call.json", described(call_of(case)))


@pytest.mark.parametrize("case", CASES)
def test_reply_becomes_the_response(case: str, check_golden: CheckGolden) -> None:
    response = complete(case)
    check_golden(HERE / case / "response.json", response)
    ResponseOut.model_validate(response, strict=True)
    Response.model_validate(response)


@pytest.mark.parametrize("case", CASES)
def test_reply_becomes_the_stream(case: str, check_golden: CheckGolden) -> None:
    events = streamed(case)
    check_golden(HERE / case / "events.json", events)
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        EVENT.validate_python(event)


@pytest.mark.parametrize("case", CASES)
def test_stream_holds_what_the_complete_response_holds(case: str) -> None:
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
def test_adapted_requests_pass_botocores_validator_and_leave_the_call_unchanged(case: str) -> None:
    assert_adapted_for_every_family(lambda: call_of(case))

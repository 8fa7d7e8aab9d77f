from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from msgspec.structs import replace

from app.converse.usage import Usage
from app.dialects.bedrock.errors import exception_frame
from app.dialects.bedrock.native import _forwarded_headers, forward
from app.dialects.bedrock.operations import OPERATIONS
from app.dialects.http.responses import StreamingResponse
from app.errors import GatewayError, InvalidRequest, NotFound, PermissionRefused, UpstreamTimeout
from app.execution.operations.passthrough import ForwardedResponse, read_usage_and_tier
from app.server.request_head import RequestHead
from app.wire import json
from app.wire.eventstream import FrameDecoder
from tests.bedrock.test_stream_decoding import STREAM, chunk, event_frame
from tests.execution.test_executor import CALL, REPLY, Memory, Response, complete, context, executor_over
from tests.stream_helpers import pieces_of

BY_NAME = {operation.name: operation for operation in OPERATIONS}


def test_only_what_bedrock_must_see_is_forwarded() -> None:
    headers = {"accept": "a", "authorization": "b", "x-amzn-bedrock-trace": "c", "cookie": "d"}
    assert _forwarded_headers(headers) == (("accept", "a"), ("x-amzn-bedrock-trace", "c"))
    with pytest.raises(InvalidRequest, match="ASCII"):
        _forwarded_headers({"x-amzn-bedrock-request-metadata": "\u00e9"})


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"usage":5}'])
def test_an_answer_that_tells_no_usage(body: bytes) -> None:
    assert read_usage_and_tier(BY_NAME["Converse"].usage_in, ForwardedResponse(200, (), body))[0] is None
    assert (
        read_usage_and_tier(
            BY_NAME["InvokeModel"].usage_in,
            ForwardedResponse(200, (("x-amzn-bedrock-input-token-count", "many"),), body),
        )[0]
        is None
    )
    assert read_usage_and_tier(BY_NAME["CountTokens"].usage_in, ForwardedResponse(200, (), body))[0] is None


def test_usage_in_headers_and_in_bodies() -> None:
    headers = tuple(
        (f"x-amzn-bedrock-{name}-token-count", count)
        for name, count in (("input", "1"), ("output", "2"), ("cache-read-input", "3"), ("cache-write-input", "4"))
    )
    assert read_usage_and_tier(BY_NAME["InvokeModel"].usage_in, ForwardedResponse(200, headers, b""))[0] == Usage(
        1, 2, 3, 4
    )
    # an hour costs more than five minutes, and only the body tells them apart
    body = b'{"usage":{"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":3}}}'
    assert read_usage_and_tier(BY_NAME["InvokeModel"].usage_in, ForwardedResponse(200, headers, body))[0] == Usage(
        1, 2, 3, 4, cache_write_1h=3
    )
    body = b'{"usage":{"iterations":[{"input_tokens":7,"output_tokens":8},{"input_tokens":9,"output_tokens":1}]}}'
    both = Usage(16, 9, rounds=(Usage(7, 8), Usage(9, 1)))
    assert read_usage_and_tier(BY_NAME["InvokeModel"].usage_in, ForwardedResponse(200, headers[:2], body))[0] == both
    body = b'{"usage":{"inputTokens":1,"outputTokens":2}}'
    assert read_usage_and_tier(BY_NAME["Converse"].usage_in, ForwardedResponse(200, (), body))[0] == Usage(1, 2)


def test_reasoning_are_counted_in_whole_answers_too() -> None:
    more = b'{"usage":{"output_tokens_details":{"thinking_tokens":12}}}'
    body = b'{"usage":{"outputTokens":20},"additionalModelResponseFields":' + more + b"}"
    assert read_usage_and_tier(BY_NAME["Converse"].usage_in, ForwardedResponse(200, (), body))[0] == Usage(
        output=20, reasoning=12
    )


@pytest.mark.parametrize("name", ["InvokeModel", "InvokeModelWithResponseStream"])
@pytest.mark.parametrize(
    ("told", "tier"),
    [
        ((), "flex"),
        ((("x-amzn-bedrock-service-tier", "default"),), "default"),
        ((("x-amzn-bedrock-performanceconfig-latency", "optimized"),), "optimized"),
        ((("x-amzn-bedrock-performanceconfig-latency", "standard"),), "default"),
    ],
)
async def test_the_tier_that_an_invocation_was_served_by_comes_before_the_one_asked_for(
    name: str, told: tuple[tuple[str, str], ...], tier: str
) -> None:
    answer = Response(200, [chunk({"type": "message_start"}) + chunk({"type": "message_stop"})])
    answer.headers = told  # type: ignore[assignment]
    made = context()
    head = RequestHead(
        "POST", BY_NAME[name].path.replace("{modelId:path}", "a.b"), "", {"x-amzn-bedrock-service-tier": "flex"}
    )
    made = replace(made, head=head, params={"modelId": "a.b"})
    forwarded = await forward(BY_NAME[name], await executor_over(Memory(answer)), made)
    if isinstance(forwarded, StreamingResponse):
        assert [piece async for piece in pieces_of(forwarded.relay)]
    assert made.record.tier == tier


@pytest.mark.parametrize("name", ["Converse", "ConverseStream"])
@pytest.mark.parametrize(
    ("asked", "told", "tier"),
    [
        (b"{}", {}, ""),
        (b'{"serviceTier":{"type":"flex"}}', {}, "flex"),
        (b'{"performanceConfig":{"latency":"optimized"}}', {}, "optimized"),
        (b'{"serviceTier":{"type":"flex"}}', {"serviceTier": {"type": "default"}}, "default"),
        (b'{"serviceTier":', {}, ""),
    ],
)
async def test_the_tier_that_converse_served_comes_before_the_one_asked_for(
    name: str, asked: bytes, told: dict[str, Any], tier: str
) -> None:
    if name == "Converse":
        answer = json.dumps({**REPLY, **told})
    else:
        answer = STREAM + event_frame("metadata", {"usage": REPLY["usage"], **told})
    head = RequestHead("POST", BY_NAME[name].path.replace("{modelId:path}", "a.b"), "", {})
    made = replace(context(), head=head, params={"modelId": "a.b"}, body=asked)
    forwarded = await forward(BY_NAME[name], await executor_over(Memory(Response(200, [answer]))), made)
    if isinstance(forwarded, StreamingResponse):
        assert [piece async for piece in pieces_of(forwarded.relay)]
    assert made.record.tier == tier


async def test_a_refusal_of_what_one_caller_says_does_not_move_the_others_elsewhere() -> None:
    refused = Response(403, [b'{"message":"this guardrail is not yours"}'])
    head = RequestHead("POST", "/model/a.b/converse", "", {})
    made = replace(context(), head=head, params={"modelId": "a.b"})
    executor = await executor_over(Memory(refused, refused))
    with pytest.raises(PermissionRefused):
        await forward(BY_NAME["Converse"], executor, made)
    (target,) = executor.planner.plan("a.b")
    assert not executor.failover.breakers[(target.model.raw, target.location, "converse")].is_paused()
    with pytest.raises(PermissionRefused):
        await complete(executor, context(), replace(CALL, model="a.b"))
    assert executor.failover.breakers[(target.model.raw, target.location, "converse")].is_paused()


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("/model/a.b//converse", InvalidRequest),
        ("/model/a.b/%2e%2e/converse", InvalidRequest),
        ("/model/a.b/invoke", NotFound),
    ],
)
async def test_a_path_that_leads_elsewhere_is_refused(path: str, refusal: type[GatewayError]) -> None:
    made = replace(context(), head=RequestHead("POST", path, "", {}), params={"modelId": "a.b"})
    with pytest.raises(refusal):
        await forward(BY_NAME["Converse"], await executor_over(Memory()), made)


def test_an_error_of_no_known_kind_is_internal() -> None:
    (frame,) = FrameDecoder().feed(exception_frame(GatewayError("odd"), is_invoked=False))
    assert frame.headers[":exception-type"] == "internalServerException"


@pytest.mark.parametrize(
    ("operation", "is_invoked"), [("ConverseStream", False), ("InvokeModelWithResponseStream", True)]
)
def test_a_stream_ends_with_a_word_that_its_operation_has(operation: str, is_invoked: bool) -> None:
    model = botocore.session.get_session().get_service_model("bedrock-runtime").operation_model(operation)
    stream = model.get_event_stream_output()
    exceptions = {name for name, shape in stream.members.items() if shape.metadata.get("exception")}
    for kind in _all_errors(GatewayError):
        (frame,) = FrameDecoder().feed(exception_frame(kind("x"), is_invoked=is_invoked))
        assert frame.headers[":exception-type"] in exceptions, kind
    (frame,) = FrameDecoder().feed(exception_frame(UpstreamTimeout("slow"), is_invoked=is_invoked))
    assert (frame.headers[":exception-type"] == "modelTimeoutException") is is_invoked


def _all_errors(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _all_errors(each)

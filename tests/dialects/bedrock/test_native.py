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
from app.process.off_loop import MAX_LOOP_BYTES
from app.server.request_head import RequestHead
from app.wire import json
from app.wire.eventstream import FrameDecoder
from tests.bedrock.test_stream_decoding import STREAM, chunk, event_frame
from tests.execution.test_executor import CALL, REPLY, Memory, Response, complete, context, executor_over
from tests.stream_helpers import pieces_of

BY_NAME = {operation.name: operation for operation in OPERATIONS}
LARGE = b"a" * (MAX_LOOP_BYTES + 1)


def test_only_headers_for_bedrock_are_forwarded() -> None:
    headers = {"accept": "a", "authorization": "b", "x-amzn-bedrock-trace": "c", "cookie": "d"}
    assert _forwarded_headers(headers) == (("accept", "a"), ("x-amzn-bedrock-trace", "c"))
    with pytest.raises(InvalidRequest, match="ASCII"):
        _forwarded_headers({"x-amzn-bedrock-request-metadata": "\u00e9"})


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"usage":5}'])
def test_response_without_usage_has_none(body: bytes) -> None:
    assert read_usage_and_tier(BY_NAME["Converse"].usage_in, ForwardedResponse(200, (), body))[0] is None
    assert (
        read_usage_and_tier(
            BY_NAME["InvokeModel"].usage_in,
            ForwardedResponse(200, (("x-amzn-bedrock-input-token-count", "many"),), body),
        )[0]
        is None
    )
    assert read_usage_and_tier(BY_NAME["CountTokens"].usage_in, ForwardedResponse(200, (), body))[0] is None


def test_usage_is_read_from_headers_or_body() -> None:
    headers = tuple(
        (f"x-amzn-bedrock-{name}-token-count", count)
        for name, count in (("input", "1"), ("output", "2"), ("cache-read-input", "3"), ("cache-write-input", "4"))
    )
    assert read_usage_and_tier(BY_NAME["InvokeModel"].usage_in, ForwardedResponse(200, headers, b""))[0] == Usage(
        1, 2, 3, 4
    )
    # an hour costs more than five minutes; only the body has both counts
    body = b'{"usage":{"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":3}}}'
    assert read_usage_and_tier(BY_NAME["InvokeModel"].usage_in, ForwardedResponse(200, headers, body))[0] == Usage(
        1, 2, 3, 4, cache_write_1h=3
    )
    body = b'{"usage":{"iterations":[{"input_tokens":7,"output_tokens":8},{"input_tokens":9,"output_tokens":1}]}}'
    both = Usage(16, 9, rounds=(Usage(7, 8), Usage(9, 1)))
    assert read_usage_and_tier(BY_NAME["InvokeModel"].usage_in, ForwardedResponse(200, headers[:2], body))[0] == both
    body = b'{"usage":{"inputTokens":1,"outputTokens":2}}'
    assert read_usage_and_tier(BY_NAME["Converse"].usage_in, ForwardedResponse(200, (), body))[0] == Usage(1, 2)


def test_reasoning_tokens_are_counted_in_complete_responses() -> None:
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
async def test_served_tier_of_an_invocation_precedes_the_requested_one(
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
        (rb'{"\u0073erviceTier":{"type":"flex"}}', {}, "flex"),
        (b'{"x":"%b","serviceTier":{"type":"flex"}}' % LARGE, {}, "flex"),
        (rb'{"x":"%b","\u0073erviceTier":{"type":"flex"}}' % LARGE, {}, "flex"),
        (b'{"x":"%b serviceTier"}' % LARGE, {}, ""),
        (b'{"x":"%b","serviceTier":{"type":"flex"}' % LARGE, {}, ""),
    ],
)
async def test_served_tier_of_converse_precedes_the_requested_one(
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


async def test_refusal_of_one_callers_header_does_not_move_other_callers() -> None:
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
        ("/model/a.b/../converse", InvalidRequest),
        ("/model/a.b/./converse", InvalidRequest),
        ("/model/a.b/converse/", InvalidRequest),
        ("/model/a.b/invoke", NotFound),
    ],
)
async def test_path_of_another_operation_is_refused(path: str, refusal: type[GatewayError]) -> None:
    made = replace(context(), head=RequestHead("POST", path, "", {}), params={"modelId": "a.b"})
    with pytest.raises(refusal):
        await forward(BY_NAME["Converse"], await executor_over(Memory()), made)


def test_unknown_error_class_is_internal() -> None:
    (frame,) = FrameDecoder().feed(exception_frame(GatewayError("odd"), is_invoked=False))
    assert frame.headers[":exception-type"] == "internalServerException"


@pytest.mark.parametrize(
    ("operation", "is_invoked"), [("ConverseStream", False), ("InvokeModelWithResponseStream", True)]
)
def test_stream_ends_with_an_exception_of_its_operation(operation: str, is_invoked: bool) -> None:
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

"""The executor over a transport in memory: requests, results, the log record, and the closing of responses."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from app import errors
from app.bedrock.client import BedrockClient, BedrockRequest
from app.bedrock.credentials import BearerToken, CredentialsProvider, Resolved
from app.bedrock.endpoints import DEFAULT_LOCATION, ServiceEndpoint
from app.bedrock.retry import RetryPolicy
from app.bedrock.signing import Signer
from app.bedrock.transport import MAX_BYTES, HttpRequest
from app.converse.call import Intent, ModelCall
from app.converse.events import Event
from app.converse.reply import Reply
from app.execution.executor import Executor
from app.execution.operations.converse import ConverseOperation, ConverseStreamOperation
from app.execution.operations.count_tokens import CountTokensOperation
from app.execution.operations.operation import Operation
from app.execution.operations.passthrough import PassthroughOperation
from app.execution.request_context import RequestContext
from app.governance.identity.caller import ANONYMOUS
from app.models.ids import parse_model_id
from app.observability.observer import RequestRecord
from app.process.deadline import Deadline
from app.routing.circuit_breakers import Breakers
from app.routing.failover import Failover
from app.routing.planner import Choice, Planner, Route, Target
from app.server.request_head import RequestHead
from app.wire import json
from tests.bedrock.test_stream_decoding import DECODED, STREAM, event_frame
from tests.stream_helpers import pieces_of
from tests.waiting import until

T = TypeVar("T")
REPLY: Any = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7},
    "metrics": {"latencyMs": 1},
}
CALL = ModelCall(
    "meta.llama3-8b-instruct-v1:0",
    {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
    Intent(effort="high"),
    ["seed"],
)


class Response:
    def __init__(self, status: int, pieces: list[bytes], breaks: bool = False) -> None:
        self.status = status
        self.headers = (("x-amzn-requestid", "up-1"),)
        self.left = iter(pieces)
        self.breaks = breaks
        self.is_closed = False

    async def read(self, limit: int = MAX_BYTES) -> bytes:
        body = bytearray()
        await self.deliver(lambda piece: not body.extend(piece))
        if len(body) > limit:
            raise errors.UpstreamFailed("too large")
        return bytes(body)

    async def deliver(self, take: Callable[[bytes], bool]) -> bool:
        for piece in self.left:
            if not take(piece):
                return False
        if self.breaks:
            raise errors.UpstreamFailed("broke")
        return True

    def close(self) -> None:
        self.is_closed = True


class Memory:
    """A transport that gives each of `answers` in turn."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[HttpRequest] = []

    async def open(self, request: HttpRequest) -> Any:
        self.sent.append(request)
        answer = self.answers[min(len(self.sent), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def probe(self, url: str) -> str:
        return ""

    async def close(self) -> None:
        pass


async def executor_over(transport: Memory, planner: Planner | None = None) -> Executor:
    async def bearer() -> Resolved:
        return Resolved(BearerToken("t"))

    provider = CredentialsProvider(bearer)
    await provider._resolve()
    endpoint = ServiceEndpoint.parse("http://bedrock/prefix")
    client = BedrockClient(
        {"bedrock-runtime": endpoint, "bedrock": endpoint},
        provider,
        Signer("us-east-1"),
        transport,
        RetryPolicy(3, first_wait=0),
    )
    return Executor.over({DEFAULT_LOCATION: client}, planner or Planner("a.b"), Failover(RetryPolicy(3, first_wait=0)))


async def complete(executor: Executor, made: RequestContext, call: ModelCall) -> Reply:
    return await executor.run(made, call.model, lambda target: ConverseOperation.of(call, target, as_it_is))


def as_it_is(parsed: T) -> T:
    return parsed


async def stream_over(transport: Memory, made: RequestContext) -> AsyncGenerator[list[Event], None]:
    executor = await executor_over(transport)
    relay = await executor.run(made, CALL.model, lambda target: ConverseStreamOperation.of(CALL, target, as_it_is))
    return pieces_of(relay)


def context() -> RequestContext:
    return RequestContext(
        RequestHead("POST", "/", "", {}), {}, b"", ANONYMOUS, Deadline.after(5), RequestRecord("r", "POST")
    )


async def test_a_call_is_adapted_sent_and_recorded() -> None:
    answer = Response(200, [json.dumps(REPLY)])
    transport = Memory(answer)
    made = context()
    assert await complete(await executor_over(transport), made, CALL) == REPLY
    (sent,) = transport.sent
    assert sent.url == "http://bedrock/prefix/model/meta.llama3-8b-instruct-v1%3A0/converse"
    assert json.loads(sent.body) == CALL.converse
    record = made.record
    assert (record.mode, record.surface, record.target, record.attempts) == ("translated", "converse", CALL.model, 1)
    assert record.ignored == ["seed", "reasoning_effort"]
    assert (record.usage.input, record.usage.output) == (3, 4)  # type: ignore[union-attr]
    assert record.upstream_request_id == "up-1"


@pytest.mark.parametrize(
    "first", [Response(503, [b"{}"]), Response(200, [b'{"outp'], breaks=True), errors.UpstreamUnreachable("no")]
)
async def test_a_failure_before_the_first_event_is_retried_and_one_within_a_body_is_not(first: Any) -> None:
    made = context()
    broken = isinstance(first, Response) and first.breaks
    transport = Memory(first, Response(200, [json.dumps(REPLY)]))
    executor = await executor_over(transport)
    if broken:
        with pytest.raises(errors.UpstreamFailed, match="broke"):
            await complete(executor, made, CALL)
    else:
        assert await complete(executor, made, CALL) == REPLY
        assert made.record.attempts == 2
    if isinstance(first, Response):
        assert first.is_closed


async def test_the_record_of_an_attempt_without_a_response_has_no_earlier_request_id() -> None:
    made = context()
    executor = await executor_over(Memory(Response(503, [b"{}"]), errors.UpstreamUnreachable("no")))
    with pytest.raises(errors.UpstreamUnreachable):
        await complete(executor, made, CALL)
    assert made.record.attempts == 3
    assert made.record.upstream_request_id == ""


async def test_the_record_of_a_failure_has_no_usage_of_another_target() -> None:
    def without_sense(_: Any) -> Any:
        raise errors.UpstreamFailed("made no sense")

    made = context()
    throttled = Response(429, [b"{}"])
    throttled.headers = (("retry-after", "100"), ("x-amzn-requestid", "up-0"))
    route = Route((Choice(CALL.model), Choice("openai.gpt-oss-20b-1:0")))
    planner = Planner("a.b", routes={"smart": route})
    executor = await executor_over(Memory(throttled, Response(200, [json.dumps(REPLY)])), planner)
    with pytest.raises(errors.RateLimited):
        await executor.run(made, "smart", lambda target: ConverseOperation.of(CALL, target, without_sense))
    record = made.record
    assert (record.attempts, record.target, record.upstream_request_id) == (2, CALL.model, "up-0")
    assert record.usage is None
    assert record.ignored == ["seed", "reasoning_effort"]


async def test_the_record_of_a_failure_has_nothing_of_a_concurrent_call() -> None:
    """The texts of one request for vectors are calls of their own, and have one record."""
    has_answered = asyncio.Event()

    class Slow(Memory):
        async def open(self, request: HttpRequest) -> Any:
            if "gpt" in request.url:
                return Response(200, [json.dumps(REPLY)])
            await has_answered.wait()
            raise errors.UpstreamUnreachable("no")

    made = context()
    executor = await executor_over(Slow())
    executor = replace(executor, failover=Failover(RetryPolicy(1, first_wait=0)))

    async def ask(model: str) -> None:
        targets = executor.planner.plan(model)
        await executor.run(made, "x", lambda target: ConverseOperation.of(CALL, target, as_it_is), targets)

    failing = asyncio.create_task(ask(CALL.model))
    await asyncio.sleep(0)
    await ask("openai.gpt-oss-20b-1:0")
    has_answered.set()
    with pytest.raises(errors.UpstreamUnreachable):
        await failing
    assert (made.record.target, made.record.upstream_request_id) == (CALL.model, "")


async def test_an_error_whose_body_is_too_large_is_mapped_by_its_status() -> None:
    executor = await executor_over(Memory(Response(400, [bytes(1_100_000)])))
    with pytest.raises(errors.InvalidRequest) as refused:
        await complete(executor, context(), CALL)
    assert refused.value.upstream is not None
    assert refused.value.upstream.body == b""


async def test_events_arrive_in_order_and_the_response_is_closed() -> None:
    answer = Response(200, [STREAM[:60], STREAM[60:]])
    made = context()
    stream = await stream_over(Memory(answer), made)
    assert [event async for batch in stream for event in batch] == DECODED
    assert answer.is_closed
    assert made.record.usage.output == 4  # type: ignore[union-attr]


async def test_an_abandoned_stream_is_closed() -> None:
    answer = Response(200, [STREAM[:120], STREAM[120:]])
    stream = await stream_over(Memory(answer), context())
    await anext(stream)
    await stream.aclose()
    assert answer.is_closed


async def test_the_stream_of_an_abandoned_probe_is_closed() -> None:
    arrived = asyncio.Event()

    class Late(Memory):
        async def open(self, request: HttpRequest) -> Any:
            await arrived.wait()
            return await super().open(request)

    answer, made = Response(200, [STREAM[:120], STREAM[120:]]), context()
    executor = await executor_over(Late(answer))
    breakers = Breakers(1, 0.0)
    executor = replace(executor, failover=replace(executor.failover, breakers=breakers))
    (target,) = executor.planner.plan(CALL.model)
    key = target.model.raw, target.location, "converse"
    breakers[key].note(errors.UpstreamUnreachable("no"), is_probe=False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await executor.run(made, CALL.model, lambda target: ConverseStreamOperation.of(CALL, target, as_it_is))
    arrived.set()
    await until(lambda: answer.is_closed)
    assert breakers.are_closed


def passthrough(request: BedrockRequest) -> PassthroughOperation:
    return PassthroughOperation(surface=request.service, request=request)


async def test_a_forwarded_response_is_unchanged() -> None:
    answer = Response(200, [b"any", b"thing"])
    transport = Memory(answer)
    request = BedrockRequest("bedrock", "GET", "/x", "q=1")
    executor = await executor_over(transport)
    forwarded = await executor.forward(context(), "", passthrough(request))
    assert (forwarded.status, forwarded.body, forwarded.headers) == (200, b"anything", answer.headers)
    assert transport.sent[0].url == "http://bedrock/prefix/x?q=1"
    made, request = context(), BedrockRequest("bedrock-runtime", "POST", "/x")
    executor = await executor_over(Memory(Response(200, [STREAM])))
    stream = await executor.forward(made, "", passthrough(request).streamed())
    assert b"".join([piece async for piece in pieces_of(stream.relay)]) == STREAM


async def test_the_model_behind_an_arn_is_looked_up_before_a_passthrough_call_is_sent() -> None:
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    planner, made, lookups = Planner("a.b"), context(), set()

    async def look_up() -> None:
        planner.behind[profile] = parse_model_id("amazon.nova-pro-v1:0")

    async def find_model(target: Target, seconds: float) -> None:
        lookups.add(asyncio.create_task(look_up()))

    executor = replace(await executor_over(Memory(Response(200, [b"x"])), planner), find_model=find_model)
    request = BedrockRequest("bedrock-runtime", "POST", f"/model/{profile}/converse")
    await executor.forward(made, profile, passthrough(request))
    assert made.record.model_behind == "amazon.nova-pro-v1:0"


async def test_the_whole_input_of_a_call_is_counted() -> None:
    transport, made = Memory(Response(200, [b'{"inputTokens":7}'])), context()
    executor = await executor_over(transport)
    claude = replace(CALL, model="anthropic.claude-sonnet-4-20250514-v1:0")
    assert await executor.run(made, claude.model, lambda target: CountTokensOperation.of(claude, target)) == 7
    counted = json.loads(transport.sent[0].body)["input"]["converse"]
    assert set(counted) == {"messages", "additionalModelRequestFields"}


async def test_metadata_without_usage_does_not_change_the_usage() -> None:
    odd = event_frame("metadata", {"metrics": {"latencyMs": 1}})
    for pieces in ([STREAM + odd], [STREAM, odd], [odd + STREAM]):
        made = context()
        stream = await stream_over(Memory(Response(200, pieces)), made)
        assert [event async for batch in stream for event in batch] == DECODED
        assert made.record.usage.output == 4  # type: ignore[union-attr]


async def test_usage_that_was_reported_before_a_stream_broke_is_recorded() -> None:
    told = {"usage": {"inputTokens": 1000, "outputTokens": 200, "totalTokens": 1200}, "serviceTier": {"type": "flex"}}
    begun = event_frame("messageStart", {"role": "assistant"})
    made = context()
    stream = await stream_over(Memory(Response(200, [begun, event_frame("metadata", told)])), made)
    with pytest.raises(errors.UpstreamFailed):
        [event async for batch in stream for event in batch]
    assert (made.record.usage.input, made.record.usage.output, made.record.tier) == (1000, 200, "flex")  # type: ignore[union-attr]


async def test_an_output_limit_in_a_refusal_applies_to_later_calls() -> None:
    words = "The maximum tokens you requested exceeds the model limit of 8192. Try again with a lower value."
    refusal = Response(400, [json.dumps({"message": words})])
    refusal.headers = (("x-amzn-errortype", "ValidationException"),)
    said = [Response(200, [json.dumps(REPLY)]) for _ in range(3)]
    transport = Memory(refusal, *said)
    executor = await executor_over(transport)
    made = [context() for _ in range(3)]
    for each, limit in zip(made, (128_000, 128_000, 100), strict=True):
        call = replace(CALL, converse={**CALL.converse, "inferenceConfig": {"maxTokens": limit}})
        assert await complete(executor, each, call) == REPLY
    asked = [json.loads(sent.body)["inferenceConfig"]["maxTokens"] for sent in transport.sent]
    assert asked == [128_000, 8192, 8192, 100]
    assert [each.record.adjusted for each in made] == [["max_tokens"], ["max_tokens"], []]
    assert [len(each.record.tries) for each in made] == [2, 1, 1]


async def test_a_lower_output_limit_leaves_tokens_beside_the_reasoning_budget() -> None:
    transport = Memory(Response(200, [json.dumps(REPLY)]))
    executor = await executor_over(transport)
    model = "anthropic.claude-sonnet-4-20250514-v1:0"
    executor.planner.overrides[model, DEFAULT_LOCATION] = time.monotonic() + 9, {"max_output": 8192}
    body: Any = {**CALL.converse, "inferenceConfig": {"maxTokens": 128_000}}
    await complete(executor, context(), replace(CALL, model=model, converse=body))
    sent = json.loads(transport.sent[0].body)
    assert sent["inferenceConfig"]["maxTokens"] == 8192
    assert sent["additionalModelRequestFields"]["thinking"]["budget_tokens"] < 8192


async def test_a_refusal_that_quotes_the_caller_records_no_override() -> None:
    words = "Value 'The maximum tokens you requested exceeds the model limit of 1' failed to satisfy constraint"
    refusal = Response(400, [json.dumps({"message": words})])
    refusal.headers = (("x-amzn-errortype", "ValidationException"),)
    executor = await executor_over(Memory(refusal))
    with pytest.raises(errors.InvalidRequest, match="failed to satisfy"):
        await complete(executor, context(), CALL)
    assert executor.planner.overrides == {}


async def test_an_override_is_recorded_only_once_the_adapted_call_has_succeeded() -> None:
    """Finding M6: a refusal changed later calls, though the adapted call failed too."""
    limit = "The maximum tokens you requested exceeds the model limit of 1."
    reply = Response(200, [json.dumps(REPLY)])
    transport = Memory(refusal(limit), refusal("another reason"), reply)
    executor = await executor_over(transport)
    call = replace(CALL, converse={**CALL.converse, "inferenceConfig": {"maxTokens": 100}})
    with pytest.raises(errors.InvalidRequest, match="another reason"):
        await complete(executor, context(), call)
    await complete(executor, context(), call)
    assert [json.loads(sent.body)["inferenceConfig"]["maxTokens"] for sent in transport.sent] == [100, 1, 100]
    assert executor.planner.overrides == {}


async def test_a_model_that_refuses_the_adapted_call_too_is_not_tried_again() -> None:
    refusal = b'{"message":"The maximum tokens you requested exceeds the model limit of 8192."}'
    answers = [Response(400, [refusal]) for _ in range(3)]
    for answer in answers:
        answer.headers = (("x-amzn-errortype", "ValidationException"),)
    transport, made = Memory(*answers), context()
    with pytest.raises(errors.ModelDiffers):
        await complete(await executor_over(transport), made, CALL)
    assert len(transport.sent) == 2


def refusal(words: str) -> Response:
    made = Response(400, [json.dumps({"message": words})])
    made.headers = (("x-amzn-errortype", "ValidationException"),)
    return made


async def test_several_refusals_of_a_model_are_all_recorded() -> None:
    told = (
        "`temperature` is deprecated for this model.",
        "The maximum tokens you requested exceeds the model limit of 9.",
    )
    transport = Memory(*map(refusal, told), *(Response(200, [json.dumps(REPLY)]) for _ in range(2)))
    executor = await executor_over(transport)
    call = replace(CALL, converse={**CALL.converse, "inferenceConfig": {"maxTokens": 10, "temperature": 0.5}})
    for made, attempts in ((context(), 3), (context(), 1)):
        assert await complete(executor, made, call) == REPLY
        assert sorted(made.record.adjusted) == ["max_tokens", "temperature"]
        assert (len(made.record.tries), made.record.has_moved) == (attempts, False)
    assert json.loads(transport.sent[-1].body)["inferenceConfig"] == {"maxTokens": 9}


async def test_a_refused_schema_changes_no_other_call() -> None:
    format_: Any = {"type": "json_schema", "structure": {"jsonSchema": {"schema": '{"type":"object","properties":{}}'}}}
    call = replace(
        CALL, model="anthropic.claude-sonnet-4-6", converse={**CALL.converse, "outputConfig": {"textFormat": format_}}
    )
    call = replace(call, intent=Intent())
    words = "The model returned the following errors: output_config.format.schema: Schema is too complex."
    transport = Memory(refusal(words), Response(200, [json.dumps(REPLY)]), Response(200, [json.dumps(REPLY)]))
    executor, made = await executor_over(transport), context()
    await complete(executor, made, call)
    await complete(executor, context(), call)
    asked = [set(json.loads(sent.body)) for sent in transport.sent]
    assert ["outputConfig" in each for each in asked] == [True, False, True]
    assert ["toolConfig" in each for each in asked] == [False, True, False]
    assert made.record.adjusted == ["response_format"]


async def test_capability_retries_are_limited() -> None:
    told = [
        refusal(f"The maximum tokens you requested exceeds the model limit of {limit}.") for limit in range(90, 80, -1)
    ]
    transport = Memory(*told)
    call = replace(CALL, converse={**CALL.converse, "inferenceConfig": {"maxTokens": 100}})
    with pytest.raises(errors.ModelDiffers, match="limit of 87"):
        await complete(await executor_over(transport), context(), call)
    assert len(transport.sent) == 4


async def test_a_later_attempt_keeps_the_capabilities_of_an_earlier_one() -> None:
    throttled = Response(429, [b'{"message":"slow down"}'])
    throttled.headers = (("x-amzn-errortype", "ThrottlingException"),)
    transport = Memory(
        refusal("The model returned the following errors: output_config.format.schema: Schema is too complex."),
        throttled,
        Response(200, [json.dumps(REPLY)]),
    )
    format_: Any = {"type": "json_schema", "structure": {"jsonSchema": {"schema": '{"type":"object","properties":{}}'}}}
    converse: Any = {**CALL.converse, "outputConfig": {"textFormat": format_}}
    call = replace(CALL, model="anthropic.claude-sonnet-4-6", converse=converse, intent=Intent())
    await complete(await executor_over(transport), context(), call)
    assert ["outputConfig" in json.loads(sent.body) for sent in transport.sent] == [True, False, False]


async def test_the_refusal_is_raised_if_the_adapted_call_cannot_be_carried() -> None:
    words = "output_config.format.schema: Schema is too complex for compilation."
    executor = await executor_over(Memory(refusal(words)))
    made = context()

    def operation_for(target: Target) -> Operation[Reply]:
        if target.capabilities.schemas.structured_output != "native":
            raise errors.InvalidRequest("only Anthropic's own models know this tool", param="tools[0]")
        return ConverseOperation.of(CALL, target, as_it_is)

    with pytest.raises(errors.ModelDiffers, match="too complex"):
        await executor.run(made, "anthropic.claude-sonnet-4-6", operation_for)


async def test_a_refused_count_records_an_override() -> None:
    transport = Memory(refusal("`temperature` is deprecated for this model."), Response(200, [b'{"inputTokens":7}']))
    executor, made = await executor_over(transport), context()
    claude = replace(CALL, model="anthropic.claude-sonnet-4-20250514-v1:0")
    assert await executor.run(made, claude.model, lambda target: CountTokensOperation.of(claude, target)) == 7
    assert [values for _, values in executor.planner.overrides.values()] == [{"sampling": {"accepted": False}}]


async def test_reasoning_of_another_conversation_is_dropped_in_one_more_attempt() -> None:
    """AWS user guide, preserved thinking: the error is permanent for a request without `drop_block`."""
    words = (
        "The model returned the following errors: messages.1.content.0: Invalid `signature` in `thinking` block. The "
        "block is bound to a different conversation. Remove the block, or set "
        '`thinking.block_binding.prefix_mismatch_behavior` to "drop_block".'
    )
    transport = Memory(refusal(words), *(Response(200, [json.dumps(REPLY)]) for _ in range(2)))
    executor, made = await executor_over(transport), context()
    call = replace(CALL, model="anthropic.claude-opus-5-5")
    assert await complete(executor, made, call) == REPLY
    await complete(executor, context(), call)
    fields = [json.loads(sent.body).get("additionalModelRequestFields", {}) for sent in transport.sent]
    assert fields[1]["thinking"]["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
    assert fields[1]["anthropic_beta"] == ["thinking-binding-controls-2026-08-01"]
    # the next conversation is none of this one's
    assert "anthropic_beta" not in fields[2]
    assert made.record.adjusted == ["reasoning"]

"""The service tier and the usage that operations read from responses."""

import asyncio
import threading
from typing import Any

import pytest
from msgspec import structs

from app import errors
from app.adaptation.embeddings import EmbeddingCall
from app.bedrock.transport import HttpRequest
from app.converse.call import ModelCall, NativeCall
from app.converse.openai_documents import usage_of_completion, usage_of_response
from app.converse.usage import Usage
from app.execution import embeddings as embed
from app.execution.executor import Executor
from app.execution.operations.converse import ConverseOperation, ConverseStreamOperation
from app.execution.operations.invoke import InvokeOperation, InvokeStreamOperation, usage_or_headers
from app.execution.operations.openai import OpenAIOperation, OpenAIStreamOperation
from app.execution.operations.operation import Operation, UsageReader
from app.execution.request_context import RequestContext
from app.observability.observer import AttemptContext
from app.routing.planner import Choice, Planner, Route, Target
from app.wire import json
from tests.bedrock.test_stream_decoding import EVENTS, chunk, event_frame
from tests.execution.test_executor import REPLY, Memory, Response, as_it_is, context, executor_over
from tests.stream_helpers import pieces_of

DEFAULT = "x-amzn-bedrock-service-tier: default"
FAST = "x-amzn-bedrock-performanceconfig-latency: optimized"


def call(**members: Any) -> ModelCall:
    return ModelCall("a.b", {"messages": [{"role": "user", "content": [{"text": "x"}]}], **members})  # type: ignore[typeddict-item]


def answer(*pieces: bytes, headers: tuple[str, ...] = ()) -> Response:
    response = Response(200, list(pieces))
    response.headers = tuple((name, value) for name, _, value in (header.partition(": ") for header in headers))  # type: ignore[assignment]
    return response


def frames(metadata: dict[str, Any]) -> bytes:
    return b"".join(
        event_frame(*event) for event in [*EVENTS[:-1], ("metadata", {**dict(EVENTS)["metadata"], **metadata})]
    )


def sse(*documents: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(document) + b"\n\n" for document in documents) + b"data: [DONE]\n\n"


MESSAGE = chunk({"type": "message_start"}) + chunk({"type": "message_stop"})
LAST = frozenset({"response.completed"})
CREATED = {"type": "response.created", "response": {"service_tier": "auto"}}


def target(model: str = "a.b") -> Target:
    return Planner("a.b").plan(model)[0]


def converse(**members: Any) -> ConverseOperation[Any]:
    return ConverseOperation.of(call(**members), target(), as_it_is)


def converse_stream(**members: Any) -> ConverseStreamOperation[Any]:
    return ConverseStreamOperation.of(call(**members), target(), as_it_is)


def invoke() -> InvokeOperation[Any]:
    return InvokeOperation(body=b"{}", usage_of=lambda *_: None, make=as_it_is)


def invoke_stream() -> InvokeStreamOperation[Any]:
    return InvokeStreamOperation(body=b"{}", usage_of=lambda _: None, last_event="message_stop", make=as_it_is)


def openai(usage_of: UsageReader) -> OpenAIOperation[Any]:
    native_call = NativeCall("openai.gpt-oss-20b-1:0", {})
    return OpenAIOperation.of("openai_responses", native_call, target(native_call.model), usage_of, as_it_is)


def openai_stream(usage_of: UsageReader) -> OpenAIStreamOperation[Any]:
    native_call = NativeCall("openai.gpt-oss-20b-1:0", {})
    return OpenAIStreamOperation.of(
        "openai_responses", native_call, target(native_call.model), usage_of, as_it_is, LAST
    )


TIERS: dict[str, tuple[Operation[Any], Response, str]] = {
    "converse": (converse(), answer(json.dumps({**REPLY, "serviceTier": {"type": "flex"}})), "flex"),
    "converse, silent": (converse(), answer(json.dumps(REPLY)), ""),
    "converse, streamed": (
        converse_stream(),
        answer(frames({"performanceConfig": {"latency": "optimized"}})),
        "optimized",
    ),
    "converse, streamed, silent": (converse_stream(), answer(frames({})), ""),
    "invoke": (invoke(), answer(b"{}", headers=(DEFAULT,)), "default"),
    "invoke, silent": (invoke(), answer(b"{}"), ""),
    "invoke, streamed": (invoke_stream(), answer(MESSAGE, headers=(DEFAULT, FAST)), "optimized"),
    "chat": (openai(usage_of_completion), answer(b'{"service_tier":"default"}'), "default"),
    "chat, odd": (openai(usage_of_completion), answer(b'{"service_tier":5,"response":5}'), ""),
    "chat, streamed": (
        openai_stream(usage_of_completion),
        answer(sse({"service_tier": "flex"}, {"service_tier": None})),
        "flex",
    ),
    "responses, streamed": (
        openai_stream(usage_of_response),
        answer(sse(CREATED, {"type": "response.completed", "response": {"service_tier": "priority"}})),
        "priority",
    ),
    "responses, streamed, silent": (openai_stream(usage_of_response), answer(sse(CREATED)), ""),
}


@pytest.mark.parametrize("name", TIERS)
async def test_the_tier_in_a_response_is_noted_in_the_attempt(name: str) -> None:
    operation, response, tier = TIERS[name]
    attempt = AttemptContext()
    parsed = await operation.parse(response, attempt)  # type: ignore[arg-type]
    if "streamed" in name:
        assert [batch async for batch in pieces_of(parsed)]
    assert attempt.tier == tier


@pytest.mark.parametrize(("reported", "tier"), [({"type": "priority"}, "priority"), (None, "flex")])
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_the_tier_in_a_response_replaces_the_requested_one_in_the_log_record(
    reported: Any, tier: str, is_streamed: bool
) -> None:
    members = {} if reported is None else {"serviceTier": reported}
    response = answer(frames(members) if is_streamed else json.dumps({**REPLY, **members}))
    executor, made = await executor_over(Memory(response)), context()
    make = converse_stream if is_streamed else converse
    parsed = await executor.run(made, "a.b", lambda _: make(serviceTier={"type": "flex"}))
    if is_streamed:
        assert [batch async for batch in pieces_of(parsed)]
    assert made.record.tier == tier


def test_the_tier_that_is_requested_by_converse() -> None:
    assert (converse(serviceTier={"type": "flex"}).tier, converse_stream().tier) == ("flex", "")


async def route(*models: str, over: Memory) -> Executor:
    return await executor_over(over, Planner("a.b", routes={"mine": Route(tuple(map(Choice, models)))}))


def tokens(count: int) -> tuple[str]:
    return (f"x-amzn-bedrock-input-token-count: {count}",)


def refused(_: Any) -> Any:
    raise errors.UpstreamFailed("no sense")


async def test_the_usage_of_a_failed_target_is_not_recorded_for_the_next() -> None:
    useless = answer(b"{}", headers=tokens(5))
    executor = await route("a.one", "a.two", over=Memory(useless, Response(400, [b'{"message":"no"}'])))
    made = context()

    def operation_for(_: Target) -> Operation[Any]:
        return InvokeOperation(body=b"{}", usage_of=usage_or_headers(lambda _: None), make=refused)

    with pytest.raises(errors.GatewayError):
        await executor.run(made, "mine", operation_for)
    assert (made.record.target, made.record.usage) == ("a.two", None)


TITAN = "amazon.titan-embed-text-v2:0"


@pytest.mark.parametrize(
    ("models", "answers", "usage"),
    [
        ((TITAN,), [tokens(2), tokens(3)], Usage(5)),
        # who answered what has a price of its own
        ((TITAN, f"us.{TITAN}"), [tokens(2), None, tokens(3)], Usage(5, is_final=False)),
        ((TITAN, f"us.{TITAN}"), [None, tokens(2), tokens(3)], Usage(5, is_final=False)),
        ((TITAN,), [tokens(2), ()], Usage(2, is_final=False)),
    ],
)
async def test_the_tokens_of_several_calls_are_added(models: tuple[str, ...], answers: list[Any], usage: Usage) -> None:
    vector = b'{"embedding":[1.0]}'
    told = [Response(503, [b"{}"]) if headers is None else answer(vector, headers=headers) for headers in answers]
    made: RequestContext = context()
    executor = await route(*models, over=Memory(*told))
    vectors = await embed.embed(executor, made, EmbeddingCall("mine", ["a", "b"]))
    assert [[*vector] for vector in vectors] == [[1.0], [1.0]]
    assert made.record.usage == usage


async def test_the_usage_before_a_failure_of_several_calls_is_not_final() -> None:
    over = Memory(answer(b'{"embedding":[1.0]}', headers=tokens(2)), Response(400, [b'{"message":"no"}']))
    made: RequestContext = context()
    with pytest.raises(errors.GatewayError):
        await embed.embed(await route(TITAN, over=over), made, EmbeddingCall("mine", ["a", "b"]))
    assert made.record.usage == Usage(2, is_final=False)


async def test_the_record_keeps_the_id_of_the_call_that_failed_when_the_others_are_cancelled() -> None:
    class OnlyFirstAnswers(Memory):
        has_two = asyncio.Event()

        async def open(self, request: HttpRequest) -> Any:
            if self.sent:
                self.has_two.set()
                await asyncio.Event().wait()
            response = await super().open(request)
            await self.has_two.wait()
            return response

    over = OnlyFirstAnswers(Response(400, [b'{"message":"no"}']))
    made: RequestContext = context()
    with pytest.raises(errors.GatewayError):
        await embed.embed(await route(TITAN, over=over), made, EmbeddingCall("mine", ["a", "b"]))
    assert made.record.upstream_request_id == "up-1"


@pytest.mark.parametrize(
    ("operation", "document"),
    [(converse(), REPLY), (invoke(), {}), (openai(usage_of_completion), {})],
    ids=["converse", "invoke", "openai"],
)
@pytest.mark.parametrize("size", [0, 100_000])
async def test_a_large_response_is_parsed_in_a_thread(operation: Any, document: Any, size: int) -> None:
    """The event loop serves other callers meanwhile."""
    threads: list[threading.Thread] = []
    operation = structs.replace(operation, make=lambda _: threads.append(threading.current_thread()))
    await operation.parse(answer(json.dumps({**document, "more": "x" * size})), AttemptContext())
    assert [thread is threading.current_thread() for thread in threads] == [not size]

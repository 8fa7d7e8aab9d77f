"""What is read of an answer beside what it says: what it was served by, and whose tokens are booked."""

from collections.abc import Callable
from typing import Any

import pytest

from app import errors
from app.adaptation import adapt
from app.adaptation.adapted_request import AdaptedRequest
from app.adaptation.embeddings import EmbeddingCall
from app.converse.call import ModelCall
from app.converse.usage import Usage
from app.dialects.openai.chat import native as chat
from app.dialects.openai.responses import native as responses
from app.execution import embeddings as embed
from app.execution.executor import Pipeline
from app.execution.operations import operation as operations
from app.execution.operations.operation import Operation
from app.execution.request_context import RequestContext
from app.observability.observer import RequestRecord
from app.routing.planner import Choice, Planner, Route, Target
from app.wire import json
from tests.bedrock.test_stream_decoding import EVENTS, chunk, event_frame
from tests.execution.test_executor import REPLY, Memory, Response, context, pipeline_over
from tests.stream_helpers import pieces_of

FLEX, DEFAULT = "x-amzn-bedrock-service-tier: flex", "x-amzn-bedrock-service-tier: default"
FAST = "x-amzn-bedrock-performanceconfig-latency: optimized"


def adapt_call(**members: Any) -> AdaptedRequest:
    call = ModelCall("a.b", {"messages": [{"role": "user", "content": [{"text": "x"}]}], **members})  # type: ignore[typeddict-item]
    return adapt(call, Planner("a.b").plan("a.b")[0].capabilities)


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


def ask(_: Any) -> Any:
    raise AssertionError


MESSAGE = chunk({"type": "message_start"}) + chunk({"type": "message_stop"})
LAST = frozenset({"response.completed"})
CREATED = {"type": "response.created", "response": {"service_tier": "auto"}}
WAYS: dict[str, tuple[Callable[[RequestRecord], Operation[Any]], Response, str]] = {
    "converse": (
        lambda record: operations.converse(adapt_call(), record),
        answer(json.dumps({**REPLY, "serviceTier": {"type": "flex"}})),
        "flex",
    ),
    "converse, silent": (lambda record: operations.converse(adapt_call(), record), answer(json.dumps(REPLY)), "asked"),
    "converse, streamed": (
        lambda record: operations.converse_stream(adapt_call(), record),
        answer(frames({"performanceConfig": {"latency": "optimized"}})),
        "optimized",
    ),
    "converse, streamed, silent": (
        lambda record: operations.converse_stream(adapt_call(), record),
        answer(frames({})),
        "asked",
    ),
    "invoke": (
        lambda record: operations.invoke({}, lambda *_: None, record),
        answer(b"{}", headers=(DEFAULT,)),
        "default",
    ),
    "invoke, silent": (lambda record: operations.invoke({}, lambda *_: None, record), answer(b"{}"), "asked"),
    "invoke, streamed": (
        lambda record: operations.invoke_stream({}, lambda _: None, "message_stop", record),
        answer(MESSAGE, headers=(DEFAULT, FAST)),
        "optimized",
    ),
    "chat": (
        lambda record: operations.openai("mantle", ask, chat.usage_of, record),
        answer(b'{"service_tier":"default"}'),
        "default",
    ),
    "chat, odd": (
        lambda record: operations.openai("mantle", ask, chat.usage_of, record),
        answer(b'{"service_tier":5,"response":5}'),
        "asked",
    ),
    "chat, streamed": (
        lambda record: operations.openai_stream("mantle", ask, chat.usage_of, LAST, record),
        answer(sse({"service_tier": "flex"}, {"service_tier": None})),
        "flex",
    ),
    "responses, streamed": (
        lambda record: operations.openai_stream("mantle", ask, responses.usage_of, LAST, record),
        answer(sse(CREATED, {"type": "response.completed", "response": {"service_tier": "priority"}})),
        "priority",
    ),
    "responses, streamed, silent": (
        lambda record: operations.openai_stream("mantle", ask, responses.usage_of, LAST, record),
        answer(sse(CREATED)),
        "asked",
    ),
}


@pytest.mark.parametrize("name", WAYS)
async def test_the_tier_that_the_answer_tells_comes_before_the_one_that_was_asked_for(name: str) -> None:
    make, response, tier = WAYS[name]
    record = RequestRecord("r", "POST", tier="asked")
    taken = await make(record).take(response)  # type: ignore[arg-type]
    if "streamed" in name:
        assert [batch async for batch in pieces_of(taken)]
    assert record.tier == tier


def test_the_tier_that_is_asked_for_by_converse() -> None:
    record = RequestRecord("r", "POST")
    assert operations.converse(adapt_call(serviceTier={"type": "flex"}), record).tier == "flex"
    assert operations.converse_stream(adapt_call(), record).tier == ""


async def route(*models: str, over: Memory) -> Pipeline:
    made = await pipeline_over(over)
    planner = Planner("a.b", routes={"mine": Route(tuple(map(Choice, models)))})
    return Pipeline(made.clients, planner, made.failover)


def tokens(count: int) -> tuple[str]:
    return (f"x-amzn-bedrock-input-token-count: {count}",)


def refused(_: Any) -> Any:
    raise errors.UpstreamFailed("no sense")


async def test_what_one_target_spent_is_not_booked_on_another() -> None:
    useless = answer(b"{}", headers=tokens(5))
    pipeline = await route("a.one", "a.two", over=Memory(useless, Response(400, [b'{"message":"no"}'])))
    made = context()

    def operation_for(target: Target) -> Operation[Any]:
        reads = operations.usage_or_headers(lambda _: None)
        return operations.invoke({}, reads, made.record).then(refused)

    with pytest.raises(errors.GatewayError):
        await pipeline.run(made, "mine", operation_for)
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
async def test_the_tokens_of_several_calls(models: tuple[str, ...], answers: list[Any], usage: Usage) -> None:
    vector = b'{"embedding":[1.0]}'
    told = [Response(503, [b"{}"]) if headers is None else answer(vector, headers=headers) for headers in answers]
    made: RequestContext = context()
    pipeline = await route(*models, over=Memory(*told))
    assert await embed.embed(pipeline, made, EmbeddingCall("mine", ["a", "b"])) == [[1.0], [1.0]]
    assert made.record.usage == usage


async def test_what_was_spent_before_one_of_several_calls_failed_is_told_but_is_not_all() -> None:
    over = Memory(answer(b'{"embedding":[1.0]}', headers=tokens(2)), Response(400, [b'{"message":"no"}']))
    made: RequestContext = context()
    with pytest.raises(errors.GatewayError):
        await embed.embed(await route(TITAN, over=over), made, EmbeddingCall("mine", ["a", "b"]))
    assert made.record.usage == Usage(2, is_final=False)

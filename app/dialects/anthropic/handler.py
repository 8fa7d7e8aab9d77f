"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from app.converse.call import ModelCall, NativeCall
from app.dialects.anthropic.errors import OVERLOADED, render_error
from app.dialects.anthropic.native import NativeStream, UsageOfMessages, from_document
from app.dialects.anthropic.normalization import OBSOLETE_BETAS, has_schema, normalize
from app.dialects.anthropic.request import to_call
from app.dialects.anthropic.response import from_reply
from app.dialects.anthropic.response_context import MessageFacts
from app.dialects.anthropic.schema_in import CountTokensRequest, MessagesRequest
from app.dialects.anthropic.schema_out import ErrorOut, MessageOut, TokenCount
from app.dialects.anthropic.stream import PING, EventStream
from app.dialects.http import identifiers as ids
from app.dialects.http.documents import is_streamed, name_of, read_object, validate
from app.dialects.http.endpoint import MEANINGS, Endpoint, IngressLimits, error_responses
from app.dialects.http.media_urls import fetch_media
from app.dialects.http.replies import SSE, at_once, in_batches, understood
from app.dialects.http.responses import JSON, Answer, CompleteResponse, StreamingResponse
from app.dialects.http.token_counting import counted
from app.execution.executor import Pipeline
from app.execution.operations.operation import Operation
from app.execution.relay import Relay
from app.execution.request_context import RequestContext
from app.routing.planner import Target
from app.wire import json

DIALECT = "anthropic_messages"
FORMAT = "anthropic"
_OWN_WORDS = {400: "The request cannot be carried out; the message begins with the field.", OVERLOADED: MEANINGS[503]}
ERRORS = error_responses(ErrorOut, {**{status: MEANINGS[status] for status in MEANINGS if status != 503}, **_OWN_WORDS})

_LAST = "message_stop"
_QUESTION = {"max_tokens": 256, "messages": [{"role": "user", "content": "Say hello."}]}
_EXAMPLES = {
    "plain": {"summary": "A question", "value": _QUESTION},
    "streamed": {"summary": "A stream", "value": {**_QUESTION, "stream": True}},
    "tools": {
        "summary": "A tool, with the embedded Bedrock's scripted model",
        "value": {
            **_QUESTION,
            "model": "scripted.tools-v1:0",
            "messages": [{"role": "user", "content": "What is the weather in Bern?"}],
            "tools": [
                {
                    "name": "get_weather",
                    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
                }
            ],
        },
    },
}


def message_routes(pipeline: Pipeline, ingress_limits: IngressLimits) -> Sequence[Endpoint]:
    """The routes of this dialect."""

    async def create(context: RequestContext) -> Answer:
        return await _create(pipeline, context)

    async def count(context: RequestContext) -> Answer:
        return await _count(pipeline, context)

    async def create_message(body: MessagesRequest) -> MessageOut:
        """Answer a conversation, in one piece or, with `stream`, as Anthropic's server-sent events."""
        raise AssertionError(body)

    async def count_tokens(body: CountTokensRequest) -> TokenCount:
        """Count the tokens of a request without sending it. Where Bedrock does not count for the model, the count is
        an estimate, and `x-outcrop-estimated` says so."""
        raise AssertionError(body)

    routes: tuple[tuple[str, Callable[..., Any], Any, str, dict[int | str, Any]], ...] = (
        (
            "/v1/messages",
            create_message,
            create,
            "Create a message",
            {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
        ),
        ("/v1/messages/count_tokens", count_tokens, count, "Count the tokens of a message", {}),
    )
    return [
        Endpoint(
            path,
            documented,
            dialect=DIALECT,
            handler=handler,
            render_error=render_error,
            ingress_limits=ingress_limits,
            methods=["POST"],
            tags=["Anthropic"],
            summary=summary,
            responses={**responses, **ERRORS},
            openapi_extra={"requestBody": {"content": {"application/json": {"examples": _EXAMPLES}}}},
        )
        for path, documented, handler, summary, responses in routes
    ]


async def _create(pipeline: Pipeline, context: RequestContext) -> Answer:
    document = normalize(await read_object(context.take_body()))
    await fetch_media(pipeline.media, document, context)
    name = name_of(document)
    facts = MessageFacts(ids.new_id("msg_"), pipeline.planner.known_as(name), context.record.request_id)
    answer_headers = (("request-id", context.record.request_id),)
    native_call = _native_call(pipeline, context, document)

    def call() -> ModelCall:
        return to_call(validate(document, MessagesRequest), _betas(context, pipeline.betas))

    def whole(answer: dict[str, Any]) -> Answer:
        return CompleteResponse(200, (*JSON, *answer_headers), json.dumps(answer))

    def complete_operation(target: Target) -> Operation[Answer]:
        if pipeline.takes_natively(target, FORMAT, with_schema=has_schema(document)):
            operation = pipeline.invoke(context, native_call, target, UsageOfMessages())
            return operation.then(understood(lambda answered: whole(from_document(answered, facts))))
        return pipeline.converse(context, call(), target).then(
            understood(lambda reply: whole(from_reply(reply, facts)))
        )

    def streaming_operation(target: Target) -> Operation[Answer]:
        if pipeline.takes_natively(target, FORMAT, with_schema=has_schema(document)):
            native = NativeStream(facts)
            events = pipeline.invoke_stream(context, native_call, target, UsageOfMessages(), _LAST)
            return events.then(partial(streamed, native))
        return pipeline.converse_stream(context, call(), target).then(partial(streamed, EventStream(facts)))

    def streamed(stream: NativeStream | EventStream, relay: Relay[Any]) -> Answer:
        finish = at_once(stream.finish)
        return StreamingResponse(
            200, (*SSE, *answer_headers), relay, in_batches(stream.from_event), finish, stream.fail, PING
        )

    context.record.streamed = is_streamed(document)
    return await pipeline.run(context, name, streaming_operation if context.record.streamed else complete_operation)


async def _count(pipeline: Pipeline, context: RequestContext) -> Answer:
    document = normalize(await read_object(context.take_body()))
    await fetch_media(pipeline.media, document, context)

    def operation_for(target: Target) -> Operation[int]:
        if pipeline.takes_natively(target, FORMAT, with_schema=has_schema(document)):
            # counted is what would be sent, and that needs room for the answer behind the thoughts
            room = {"max_tokens": _budget(document) + 1}
            return pipeline.count_natively(_native_call(pipeline, context, {**document, **room}), target)
        request = validate({**document, "max_tokens": 1}, CountTokensRequest)
        return pipeline.count(to_call(request, _betas(context, pipeline.betas)), target)

    tokens, estimated = await counted(pipeline, context, name_of(document), operation_for, document)
    headers = (*JSON, ("request-id", context.record.request_id), *estimated)
    return CompleteResponse(200, headers, json.dumps({"input_tokens": tokens}))


def _budget(document: dict[str, Any]) -> int:
    thinking = document.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return budget if isinstance(budget, int) else 0


def _native_call(pipeline: Pipeline, context: RequestContext, document: dict[str, Any]) -> NativeCall:
    betas = _betas(context, pipeline.betas)
    return NativeCall(name_of(document), document, context.head.headers.get("anthropic-version", ""), betas)


def _betas(context: RequestContext, passed: frozenset[str]) -> list[str]:
    asked = [beta.strip() for beta in context.head.headers.get("anthropic-beta", "").split(",")]
    return [beta for beta in asked if beta and (beta not in OBSOLETE_BETAS or beta in passed)]

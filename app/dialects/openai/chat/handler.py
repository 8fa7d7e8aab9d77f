"""`POST /v1/chat/completions`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from app.converse.call import ModelCall, NativeCall
from app.dialects.http import identifiers as ids
from app.dialects.http.documents import is_streamed, name_of, read_object, validate
from app.dialects.http.endpoint import Endpoint, IngressLimits
from app.dialects.http.media_urls import fetch_media
from app.dialects.http.replies import SSE, at_once, in_batches, understood
from app.dialects.http.responses import JSON, Answer, CompleteResponse, StreamingResponse
from app.dialects.openai.chat import native
from app.dialects.openai.chat.request import to_call
from app.dialects.openai.chat.response import from_reply
from app.dialects.openai.chat.response_context import ChatFacts
from app.dialects.openai.chat.schema_in import ChatRequest
from app.dialects.openai.chat.schema_out import ChatCompletion, ChatCompletionChunk
from app.dialects.openai.chat.stream import ChunkStream
from app.dialects.openai.chat.tools import custom_names
from app.dialects.openai.common.errors import render_error
from app.dialects.openai.common.schemas import ERRORS
from app.execution.executor import Pipeline
from app.execution.operations import openai
from app.execution.operations.operation import Operation
from app.execution.relay import Relay
from app.execution.request_context import RequestContext
from app.process.lazy import Lazy
from app.routing.planner import Target
from app.wire import json, sse

DIALECT = "openai_chat"
FORMAT: Final = "openai_chat"
_EXAMPLES = {
    "plain": {"summary": "A question", "value": {"messages": [{"role": "user", "content": "Say hello."}]}},
    "streamed": {
        "summary": "A stream with its usage",
        "value": {
            "messages": [{"role": "user", "content": "Say hello."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    },
    "tools": {
        "summary": "A tool, with the embedded Bedrock's scripted model",
        "value": {
            "model": "scripted.tools-v1:0",
            "messages": [{"role": "user", "content": "What is the weather in Bern?"}],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "get_weather",
                        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                    },
                }
            ],
        },
    },
}


def chat_routes(pipeline: Pipeline, ingress_limits: IngressLimits, prefix: str = "/v1") -> Sequence[Endpoint]:
    """The routes of this dialect."""

    async def chat(context: RequestContext) -> Answer:
        return await _chat(pipeline, context)

    async def create_chat_completion(body: ChatRequest) -> ChatCompletion:
        """Answer a conversation, in one piece or, with `stream`, as server-sent events that end with `[DONE]`."""
        raise AssertionError(body)

    return [
        Endpoint(
            f"{prefix}/chat/completions",
            create_chat_completion,
            dialect=DIALECT,
            handler=chat,
            render_error=render_error,
            ingress_limits=ingress_limits,
            methods=["POST"],
            tags=["OpenAI"],
            summary="Create a chat completion",
            responses={200: {"content": {"text/event-stream": {"schema": _chunk_schema()}}}, **ERRORS},
            include_in_schema=prefix == "/v1",
            openapi_extra={"requestBody": {"content": {"application/json": {"examples": _EXAMPLES}}}},
        )
    ]


def _chunk_schema() -> dict[str, Any]:
    """The schema of a chunk with its definitions inside: FastAPI collects only those of whole answers."""
    schema = ChatCompletionChunk.model_json_schema()
    definitions = schema.pop("$defs")

    def inlined(value: Any) -> Any:
        if isinstance(value, list):
            return [inlined(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return inlined(definitions[value["$ref"].rpartition("/")[2]])
        return {name: inlined(item) for name, item in value.items()}

    return {name: inlined(value) for name, value in schema.items()}


async def _chat(pipeline: Pipeline, context: RequestContext) -> Answer:
    document = await read_object(context.take_body())
    await fetch_media(pipeline.media, document, context)
    name = name_of(document)
    known_as = pipeline.planner.known_as(name)
    native_call = NativeCall(name, document)

    @Lazy
    def prepared() -> tuple[ModelCall, ChatFacts]:
        request = validate(document, ChatRequest)
        facts = ChatFacts(
            ids.new_id("chatcmpl-"),
            int(time.time()),
            known_as,
            custom_names(request),
            include_usage=bool(request.stream_options and request.stream_options.include_usage),
        )
        return to_call(request), facts

    def whole(answer: dict[str, Any]) -> Answer:
        return CompleteResponse(200, JSON, json.dumps(answer))

    def complete_operation(target: Target) -> Operation[Answer]:
        if pipeline.takes_natively(target, FORMAT):
            operation = openai.ask(context, FORMAT, native_call, target, native.usage_of)
            return operation.then(understood(lambda answered: whole(native.from_document(answered, known_as))))
        call, facts = prepared()
        return pipeline.converse(context, call, target).then(understood(lambda reply: whole(from_reply(reply, facts))))

    def streaming_operation(target: Target) -> Operation[Answer]:
        if pipeline.takes_natively(target, FORMAT):
            passing = native.NativeChunks(known_as, include_usage=_wants_usage(document))
            documents = openai.ask_for_stream(context, FORMAT, native_call, target, native.usage_of, frozenset())
            return documents.then(partial(streamed, passing, passing.from_document))
        call, facts = prepared()
        made = ChunkStream(facts)
        return pipeline.converse_stream(context, call, target).then(partial(streamed, made, made.from_event))

    def streamed(
        stream: native.NativeChunks | ChunkStream, translate: Callable[[Any], bytes], relay: Relay[Any]
    ) -> Answer:
        return StreamingResponse(
            200, SSE, relay, in_batches(translate), at_once(stream.finish), stream.fail, sse.COMMENT
        )

    context.record.streamed = is_streamed(document)
    return await pipeline.run(context, name, streaming_operation if context.record.streamed else complete_operation)


def _wants_usage(document: dict[str, Any]) -> bool:
    options = document.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True

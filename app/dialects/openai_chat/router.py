"""`POST /v1/chat/completions`."""

import time
from collections.abc import Sequence
from typing import Any

from app.dialects.documents import load_document, validate
from app.dialects.envelopes import JSON, Answer, Streamed, Whole
from app.dialects.openai_chat.facts import ChatFacts
from app.dialects.openai_chat.request import to_call
from app.dialects.openai_chat.response import from_reply
from app.dialects.openai_chat.schema_in import ChatRequest
from app.dialects.openai_chat.schema_out import ChatCompletion, ChatCompletionChunk
from app.dialects.openai_chat.stream import ChunkStream
from app.dialects.openai_chat.tools import custom_names
from app.dialects.openai_errors import render_error
from app.dialects.openai_shapes import ERRORS
from app.dialects.replies import SSE, frames, understanding
from app.dialects.route import Door, Threshold
from app.kit import ids, json, sse
from app.pipeline.exchange import Exchange
from app.pipeline.run import Pipeline

DIALECT = "openai_chat"
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


def chat_routes(pipeline: Pipeline, threshold: Threshold, prefix: str = "/v1") -> Sequence[Door]:
    """The routes of this dialect."""

    async def chat(exchange: Exchange) -> Answer:
        return await _chat(pipeline, exchange)

    async def create_chat_completion(body: ChatRequest) -> ChatCompletion:
        """Answer a conversation, in one piece or, with `stream`, as server-sent events that end with `[DONE]`."""
        raise AssertionError(body)

    return [
        Door(
            f"{prefix}/chat/completions",
            create_chat_completion,
            dialect=DIALECT,
            handler=chat,
            render_error=render_error,
            threshold=threshold,
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


async def _chat(pipeline: Pipeline, exchange: Exchange) -> Answer:
    request = parse_chat_request(exchange.body)
    call = to_call(request)
    facts = ChatFacts(
        id=ids.new_id("chatcmpl-"),
        created=int(time.time()),
        model=request.model or pipeline.planner.default_model,
        custom_tools=custom_names(request),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
    )
    if not request.stream:
        reply = await pipeline.complete(exchange, call)
        with understanding():
            return Whole(200, JSON, json.dumps(from_reply(reply, facts)))
    events = await pipeline.stream(exchange, call)
    translator = ChunkStream(facts)
    chunks = frames(events, translator.from_events, translator.finish)
    return Streamed(200, SSE, chunks, translator.fail, sse.COMMENT)


def parse_chat_request(body: bytes) -> ChatRequest:
    """Validate a body.

    Raises:
        InvalidRequest: it is not JSON, or not a chat request, with the path of the first field that is wrong.
    """
    return validate(load_document(body), ChatRequest)

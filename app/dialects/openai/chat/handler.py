"""`POST /v1/chat/completions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.dialects.http.endpoint import Endpoint, IngressLimits
from app.dialects.http.handler import DialectHandler
from app.dialects.openai.chat.adapter import ChatAdapter
from app.dialects.openai.chat.schema_in import ChatRequest
from app.dialects.openai.chat.schema_out import ChatCompletion, ChatCompletionChunk
from app.dialects.openai.common.errors import render_error
from app.dialects.openai.common.schemas import ERRORS
from app.execution.executor import Pipeline
from app.execution.request_context import RequestContext

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


def chat_routes(pipeline: Pipeline, ingress_limits: IngressLimits, prefix: str = "/v1") -> Sequence[Endpoint]:
    """The routes of this dialect."""

    async def open_adapter(_: RequestContext, document: dict[str, Any]) -> ChatAdapter:
        return ChatAdapter(pipeline.planner, document)

    async def create_chat_completion(body: ChatRequest) -> ChatCompletion:
        """Answer a conversation, in one piece or, with `stream`, as server-sent events that end with `[DONE]`."""
        raise AssertionError(body)

    return [
        Endpoint(
            f"{prefix}/chat/completions",
            create_chat_completion,
            dialect=DIALECT,
            handler=DialectHandler(pipeline, open_adapter).handle,
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

"""The endpoint `POST /v1/chat/completions`."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from app.dialects.http.endpoint_spec import EndpointSpec
from app.dialects.http.handler import DialectHandler
from app.dialects.openai.chat.adapter import ChatAdapter
from app.dialects.openai.chat.schema_in import ChatRequest
from app.dialects.openai.chat.schema_out import ChatCompletion, ChatCompletionChunk
from app.dialects.openai.common.errors import render_error
from app.dialects.openai.common.limit_headers import limit_headers
from app.dialects.openai.common.schemas import ERRORS
from app.execution.executor import Executor

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


def chat_endpoints(executor: Executor, prefix: str = "/v1") -> Sequence[EndpointSpec]:
    """Return the endpoints of this dialect under a prefix."""
    return [
        EndpointSpec(
            method="POST",
            path=f"{prefix}/chat/completions",
            dialect=DIALECT,
            handler=DialectHandler(executor, partial(ChatAdapter.for_request, executor.planner)).handle,
            render_error=render_error,
            limit_headers=limit_headers,
            name="create_chat_completion",
            summary="Create a chat completion",
            description="Answer a conversation, in one piece or, with `stream`, as server-sent events that end with "
            "`[DONE]`.",
            tags=("OpenAI",),
            request=ChatRequest,
            response=ChatCompletion,
            responses={200: {"content": {"text/event-stream": {"schema": _chunk_schema()}}}, **ERRORS},
            body_examples={"examples": _EXAMPLES},
            in_schema=prefix == "/v1",
        )
    ]


def _chunk_schema() -> dict[str, Any]:
    """Return the schema of a chunk with its definitions inlined: FastAPI collects only those of complete responses."""
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

"""The endpoint `POST /v1/chat/completions`."""

from collections.abc import Sequence
from functools import partial

from pydantic import BaseModel

from app.dialects.http.endpoint_spec import EndpointSpec, LazyType
from app.dialects.http.handler import DialectHandler
from app.dialects.openai.chat.adapter import ChatAdapter
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
            request=LazyType(_request_type),
            response=LazyType(_response_type),
            chunk=_chunk_type,
            responses=ERRORS,
            body_examples={"examples": _EXAMPLES},
            in_schema=prefix == "/v1",
        )
    ]


def _request_type() -> object:
    from app.dialects.openai.chat.schema_in import ChatRequest

    return ChatRequest


def _response_type() -> object:
    from app.dialects.openai.chat.schema_out import ChatCompletion

    return ChatCompletion


def _chunk_type() -> type[BaseModel]:
    from app.dialects.openai.chat.schema_out import ChatCompletionChunk

    return ChatCompletionChunk

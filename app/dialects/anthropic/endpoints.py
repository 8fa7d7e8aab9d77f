"""The endpoints `POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from app.dialects.anthropic.adapter import CountedMessagesAdapter, MessagesAdapter
from app.dialects.anthropic.errors import OVERLOADED, render_error
from app.dialects.anthropic.limit_headers import limit_headers
from app.dialects.anthropic.normalization import normalize
from app.dialects.anthropic.schema_out import ErrorOut, MessageOut, TokenCount
from app.dialects.http.endpoint_spec import ERROR_DESCRIPTIONS, EVENT_STREAM, EndpointSpec, LazyType, error_responses
from app.dialects.http.handler import DialectHandler
from app.execution.executor import Executor

DIALECT = "anthropic_messages"
_DESCRIPTIONS = {
    **{status: text for status, text in ERROR_DESCRIPTIONS.items() if status != 503},
    400: "The request cannot be carried out; the message begins with the field.",
    OVERLOADED: ERROR_DESCRIPTIONS[503],
}
ERRORS = error_responses(ErrorOut, _DESCRIPTIONS)

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


def message_endpoints(executor: Executor) -> Sequence[EndpointSpec]:
    """Return the endpoints of this dialect."""
    create = EndpointSpec(
        method="POST",
        path="/v1/messages",
        dialect=DIALECT,
        handler=DialectHandler(executor, partial(MessagesAdapter.for_request, executor), normalize).handle,
        render_error=render_error,
        limit_headers=limit_headers,
        name="create_message",
        summary="Create a message",
        description="Answer a conversation, in one piece or, with `stream`, as Anthropic's server-sent events.",
        tags=("Anthropic",),
        request=LazyType(_request_type),
        response=MessageOut,
        responses={**EVENT_STREAM, **ERRORS},
        body_examples={"examples": _EXAMPLES},
    )
    count = replace(
        create,
        path="/v1/messages/count_tokens",
        handler=DialectHandler(executor, partial(CountedMessagesAdapter.for_request, executor), normalize).count,
        name="count_tokens",
        summary="Count the tokens of a message",
        description="Count the tokens of a request without sending it. If Bedrock does not count for the model, the "
        "count is an estimate, and the response has the header `x-outcrop-estimated`.",
        request=LazyType(_count_request_type),
        response=TokenCount,
        responses=ERRORS,
    )
    return [create, count]


def _request_type() -> object:
    from app.dialects.anthropic.schema_in import MessagesRequest

    return MessagesRequest


def _count_request_type() -> object:
    from app.dialects.anthropic.schema_in import CountTokensRequest

    return CountTokensRequest

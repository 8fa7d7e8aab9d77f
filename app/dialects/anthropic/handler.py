"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from app.dialects.anthropic.adapter import CountedMessagesAdapter, MessagesAdapter
from app.dialects.anthropic.errors import OVERLOADED, render_error
from app.dialects.anthropic.normalization import normalize
from app.dialects.anthropic.schema_in import CountTokensRequest, MessagesRequest
from app.dialects.anthropic.schema_out import ErrorOut, MessageOut, TokenCount
from app.dialects.http.endpoint import MEANINGS, Endpoint, IngressLimits, error_responses
from app.dialects.http.handler import DialectHandler
from app.execution.executor import Pipeline
from app.execution.request_context import RequestContext

DIALECT = "anthropic_messages"
_OWN_WORDS = {400: "The request cannot be carried out; the message begins with the field.", OVERLOADED: MEANINGS[503]}
ERRORS = error_responses(ErrorOut, {**{status: MEANINGS[status] for status in MEANINGS if status != 503}, **_OWN_WORDS})

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

    async def open_adapter(context: RequestContext, document: dict[str, Any]) -> MessagesAdapter:
        return MessagesAdapter(pipeline, context, document)

    async def open_counted(context: RequestContext, document: dict[str, Any]) -> MessagesAdapter:
        return CountedMessagesAdapter(pipeline, context, document)

    create = DialectHandler(pipeline, open_adapter, normalize).handle
    count = DialectHandler(pipeline, open_counted, normalize).count

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

"""`POST /v1/responses`, and the answers that are kept: `GET` and `DELETE /v1/responses/{id}`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal
from urllib.parse import parse_qs

from app.dialects.http.endpoint import Endpoint, Handler, IngressLimits
from app.dialects.http.handler import DialectHandler
from app.dialects.http.responses import JSON, Answer, CompleteResponse
from app.dialects.openai.common.errors import render_error
from app.dialects.openai.common.schemas import ERRORS
from app.dialects.openai.responses.adapter import ResponsesAdapter
from app.dialects.openai.responses.listing import page_of
from app.dialects.openai.responses.schema_in import ResponseRequest
from app.dialects.openai.responses.schema_out import DeletedOut, ItemsOut, ResponseOut, TokensOut
from app.dialects.openai.responses.stored import KeptResponses
from app.errors import InvalidRequest, NotFound
from app.execution.executor import Pipeline
from app.execution.request_context import RequestContext
from app.storage.responses import ResponseStore
from app.wire import json

DIALECT = "openai_responses"
_EXAMPLES = {
    "plain": {"summary": "A question", "value": {"input": "Say hello."}},
    "streamed": {"summary": "A stream", "value": {"input": "Say hello.", "stream": True}},
}


def response_routes(
    pipeline: Pipeline, ingress_limits: IngressLimits, store: ResponseStore, secret_of: Callable[[str], bytes]
) -> Sequence[Endpoint]:
    """The routes of this dialect."""
    open_adapter = partial(ResponsesAdapter.open, pipeline.planner, store, secret_of)
    handler = DialectHandler(pipeline, open_adapter, count_members={"object": "response.input_tokens"})

    async def retrieve(context: RequestContext) -> Answer:
        wanted = context.params["response_id"]
        if "true" in parse_qs(context.head.query).get("stream", ()):
            raise InvalidRequest("a kept response is not streamed again", param="stream")
        response = await KeptResponses(store, context).response(wanted)
        if response is None:
            raise _unknown(wanted)
        return CompleteResponse(200, JSON, json.dumps(response))

    async def delete(context: RequestContext) -> Answer:
        wanted = context.params["response_id"]
        if not await KeptResponses(store, context).forget(wanted):
            raise _unknown(wanted)
        return CompleteResponse(200, JSON, json.dumps({"id": wanted, "object": "response", "deleted": True}))

    async def list_items(context: RequestContext) -> Answer:
        wanted = context.params["response_id"]
        items = await KeptResponses(store, context).led_to(wanted)
        if items is None:
            raise _unknown(wanted)
        return CompleteResponse(200, JSON, json.dumps(page_of(items, wanted, context.head.query)))

    async def create_response(body: ResponseRequest) -> ResponseOut:
        """Answer a conversation, in one piece or, with `stream`, as the events of a response."""
        raise AssertionError(body)

    async def retrieve_response(response_id: str) -> ResponseOut:
        """An answer that is kept, by the caller who got it."""
        raise AssertionError(response_id)

    async def delete_response(response_id: str) -> DeletedOut:
        """Forget an answer."""
        raise AssertionError(response_id)

    async def list_input_items(
        response_id: str, limit: int = 20, order: Literal["desc", "asc"] = "desc", after: str | None = None
    ) -> ItemsOut:
        """The items that led to an answer that is kept, a page of them, the newest first unless asked otherwise."""
        raise AssertionError(response_id, limit, order, after)

    async def count_input_tokens(body: ResponseRequest) -> TokensOut:
        """Count the tokens of a request without sending it. Where Bedrock does not count for the model, the count is
        an estimate, and `x-outcrop-estimated` says so."""
        raise AssertionError(body)

    stream = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
    examples = {"requestBody": {"content": {"application/json": {"examples": _EXAMPLES}}}}
    one = "/v1/responses/{response_id}"
    routes: tuple[tuple[str, str, Callable[..., Any], Handler, str, Any, Any], ...] = (
        ("POST", "/v1/responses", create_response, handler.handle, "Create a response", stream, examples),
        ("GET", one, retrieve_response, retrieve, "Retrieve a response", {}, None),
        ("DELETE", one, delete_response, delete, "Delete a response", {}, None),
        ("GET", f"{one}/input_items", list_input_items, list_items, "List the items that led to a response", {}, None),
        (
            "POST",
            "/v1/responses/input_tokens",
            count_input_tokens,
            handler.count,
            "Count the tokens of a request",
            {},
            None,
        ),
    )
    return [
        Endpoint(
            path,
            documented,
            dialect=DIALECT,
            handler=handler,
            render_error=render_error,
            ingress_limits=ingress_limits,
            methods=[method],
            tags=["OpenAI"],
            summary=summary,
            responses={**responses, **ERRORS},
            openapi_extra=extra,
        )
        for method, path, documented, handler, summary, responses, extra in routes
    ]


def _unknown(response_id: str) -> NotFound:
    return NotFound(f"the response {response_id!r} is not kept here", param="response_id")

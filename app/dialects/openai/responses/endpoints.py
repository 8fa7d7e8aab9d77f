"""The endpoints `/v1/responses`: create and count, and the responses that are stored."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal
from urllib.parse import parse_qs

from msgspec import Struct
from msgspec.structs import replace

from app.dialects.http.endpoint_spec import EVENT_STREAM, EndpointSpec, WebSocketHandler
from app.dialects.http.handler import DialectHandler
from app.dialects.http.responses import JSON, Answer, CompleteResponse
from app.dialects.openai.common.errors import render_error
from app.dialects.openai.common.limit_headers import limit_headers
from app.dialects.openai.common.schemas import ERRORS
from app.dialects.openai.responses.adapter import CompactionAdapter, ResponsesAdapter
from app.dialects.openai.responses.background import BackgroundResponses
from app.dialects.openai.responses.connection_responses import AdapterOfMessage
from app.dialects.openai.responses.listing import page_of
from app.dialects.openai.responses.schema_in import ResponseRequest
from app.dialects.openai.responses.schema_out import CompactionOut, DeletedOut, ItemsOut, ResponseOut, TokensOut
from app.dialects.openai.responses.stored import CallersResponses
from app.errors import InvalidRequest, NotFound, UpgradeRequired
from app.execution.executor import Executor
from app.execution.request_context import RequestContext
from app.storage.responses import MemoryResponses, ResponseStore
from app.wire import json

DIALECT = "openai_responses"
_EXAMPLES = {
    "plain": {"summary": "A question", "value": {"input": "Say hello."}},
    "streamed": {"summary": "A stream", "value": {"input": "Say hello.", "stream": True}},
}
# of the last response of a WebSocket; a connection without a message is closed after an hour
_CONNECTION_SECONDS = 3600.0
_ONE = "/v1/responses/{response_id}"


class _StoredResponseHandler(Struct, frozen=True):
    """Handles the requests for stored responses. background: runs some of them."""

    store: ResponseStore
    background: BackgroundResponses

    async def retrieve(self, context: RequestContext) -> Answer:
        response_id = context.params["response_id"]
        if "true" in parse_qs(context.head.query).get("stream", ()):
            raise InvalidRequest("a kept response is not streamed again", param="stream")
        response = await CallersResponses(self.store, context).response(response_id)
        if response is None:
            raise _unknown(response_id)
        return CompleteResponse(200, JSON, json.dumps(response))

    async def delete(self, context: RequestContext) -> Answer:
        response_id = context.params["response_id"]
        if not await CallersResponses(self.store, context).delete(response_id):
            raise _unknown(response_id)
        self.background.end(response_id)
        return CompleteResponse(200, JSON, json.dumps({"id": response_id, "object": "response", "deleted": True}))

    async def list_items(self, context: RequestContext) -> Answer:
        response_id = context.params["response_id"]
        items = await CallersResponses(self.store, context).input_items(response_id)
        if items is None:
            raise _unknown(response_id)
        return CompleteResponse(200, JSON, json.dumps(page_of(items, response_id, context.head.query)))


def _unknown(response_id: str) -> NotFound:
    return NotFound(f"the response {response_id!r} is not kept here", param="response_id")


def response_endpoints(
    executor: Executor,
    store: ResponseStore,
    secrets_of: Callable[[str], tuple[bytes, ...]],
    background: BackgroundResponses,
) -> Sequence[EndpointSpec]:
    """Return the endpoints of this dialect.

    Args:
        secrets_of: the secrets that sign a caller's reasoning, by name. background: runs responses in this process.
    """
    adapter_for = partial(ResponsesAdapter.for_request, executor.planner, store, secrets_of)
    handler = DialectHandler(executor, adapter_for, count_members={"object": "response.input_tokens"})
    create = EndpointSpec(
        method="POST",
        path="/v1/responses",
        dialect=DIALECT,
        handler=partial(background.handle, handler, adapter_for),
        render_error=render_error,
        limit_headers=limit_headers,
        name="create_response",
        summary="Create a response",
        description="Answer a conversation, in one piece or, with `stream`, as the events of a response. A WebSocket "
        "at this path takes the same requests as messages.",
        tags=("OpenAI",),
        request=ResponseRequest,
        response=ResponseOut,
        responses={**EVENT_STREAM, **ERRORS},
        body_examples={"examples": _EXAMPLES},
        websocket=partial(_open_websocket, executor, MemoryResponses(_CONNECTION_SECONDS), adapter_for),
    )
    count = replace(
        create,
        path="/v1/responses/input_tokens",
        handler=handler.count,
        name="count_input_tokens",
        summary="Count the tokens of a request",
        description="Count the tokens of a request without sending it. If Bedrock does not count for the model, the "
        "count is an estimate, and the response has the header `x-outcrop-estimated`.",
        response=TokensOut,
        responses=ERRORS,
        body_examples=None,
        websocket=None,
    )
    cancel = replace(
        count,
        path=f"{_ONE}/cancel",
        handler=background.cancel,
        name="cancel_response",
        summary="Cancel a response",
        description="Cancel a response that runs in the background.",
        request=None,
        response=ResponseOut,
    )
    compacting = partial(CompactionAdapter.for_request, executor.planner, store, secrets_of)
    compact = _compact_endpoint(count, DialectHandler(executor, compacting))
    return [create, _upgrade_endpoint(create), compact, *_stored_endpoints(create, store, background), cancel, count]


def _open_websocket(executor: Executor, memory: MemoryResponses, adapter_for: AdapterOfMessage) -> WebSocketHandler:
    from app.dialects.openai.responses.websocket import ResponsesWebSocket

    return ResponsesWebSocket.of(executor, memory, adapter_for)


def _compact_endpoint(count: EndpointSpec, handler: DialectHandler) -> EndpointSpec:
    return replace(
        count,
        path="/v1/responses/compact",
        handler=handler.handle,
        name="compact_conversation",
        summary="Compact a conversation",
        description="Have the model summarize a conversation. Sent back as input, the output stands for all of it.",
        response=CompactionOut,
    )


def _upgrade_endpoint(create: EndpointSpec) -> EndpointSpec:
    """Return what answers a GET without an upgrade. OpenAPI has no way to describe a WebSocket."""
    return replace(
        create, method="GET", handler=_require_upgrade, name="open_websocket", in_schema=False, websocket=None
    )


async def _require_upgrade(_: RequestContext) -> Answer:
    # Codex then falls back to POST at once: openai/codex#43353
    headers = {"upgrade": "websocket", "connection": "Upgrade"}
    raise UpgradeRequired("GET opens a WebSocket: send an upgrade, or use POST", headers=headers)


def _stored_endpoints(
    create: EndpointSpec, store: ResponseStore, background: BackgroundResponses
) -> Sequence[EndpointSpec]:
    stored = _StoredResponseHandler(store, background)
    retrieve = replace(
        create,
        method="GET",
        path=_ONE,
        handler=stored.retrieve,
        name="retrieve_response",
        summary="Retrieve a response",
        description="Return a stored response to the caller that created it.",
        request=None,
        responses=ERRORS,
        body_examples=None,
        websocket=None,
    )
    delete = replace(
        retrieve,
        method="DELETE",
        handler=stored.delete,
        name="delete_response",
        summary="Delete a response",
        description="Delete a stored response.",
        response=DeletedOut,
    )
    list_items = replace(
        retrieve,
        path=f"{_ONE}/input_items",
        handler=stored.list_items,
        name="list_input_items",
        summary="List the input items of a response",
        description="Return a page of the input items of a stored response, by default the newest first.",
        response=ItemsOut,
        query={"limit": (int, 20), "order": (Literal["desc", "asc"], "desc"), "after": (str | None, None)},
    )
    return [retrieve, delete, list_items]

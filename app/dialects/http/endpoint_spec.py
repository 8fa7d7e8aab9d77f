"""Describes an endpoint: what serves it, and what the OpenAPI page shows of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel

from app.dialects.http.responses import Answer, CompleteResponse, ErrorRenderer, LimitHeaders
from app.errors import GatewayError
from app.execution.request_context import RequestContext
from app.server.request_head import RequestHead
from app.wire.json import JsonObject

Handler = Callable[[RequestContext], Awaitable[Answer]]

# the description of each status of an error, for dialects without a text of their own
ERROR_DESCRIPTIONS = {
    400: "The request cannot be carried out; `param` names the field.",
    401: "The key is missing or unknown.",
    403: "AWS denies access to the gateway's identity.",
    404: "The model does not exist.",
    405: "The path does not have this method.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    429: "Throttled, or the gateway is busy; `retry-after` holds the seconds to wait, if known.",
    500: "A defect of the gateway, or Bedrock's InternalServerException.",
    502: "Bedrock could not be reached, or its response is malformed.",
    503: "Bedrock has no capacity.",
    504: "Bedrock did not respond within the limits.",
}
EVENT_STREAM: Mapping[int | str, JsonObject] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


class WebSocketHandler(Protocol):
    """Handles the messages of one WebSocket, one at a time."""

    async def handle(self, context: RequestContext) -> Answer:
        """Handle a message, which is the body of the context. Raises GatewayError."""
        ...

    def render_error(self, error: GatewayError, request_id: str) -> CompleteResponse:
        """Return the message for an error."""
        ...

    async def close(self) -> None:
        """Forget the connection."""
        ...


class LazyType(Struct, frozen=True):
    """The type of a body that is loaded when the OpenAPI page is requested."""

    load: Callable[[], object]


class EndpointSpec(Struct, frozen=True, kw_only=True):
    """One endpoint.

    path: a template, with parameters as `{name}`, or `{name:path}` for one that may hold slashes. name: in
    `operationId`, unless `operation_id` is set. request, response: types of the bodies, or LazyType; None for none.
    chunk: returns the type of each event of a stream; None if it is not described. query: type and default of each
    query parameter. responses: further responses by status, as OpenAPI has them. body_examples: members of the media
    type of the request body. render_by_head: chooses the renderer of errors, for a path that several dialects share.
    in_schema: the OpenAPI page shows the endpoint.
    websocket: makes the handler of a WebSocket at the path; None if there is none.
    limit_headers: returns lines of headers for what is left of the caller's limits and budgets.
    """

    method: str
    path: str
    dialect: str
    handler: Handler
    render_error: ErrorRenderer
    name: str
    summary: str
    description: str
    tags: tuple[str, ...]
    request: object = None
    response: object = None
    chunk: Callable[[], type[BaseModel]] | None = None
    query: Mapping[str, tuple[object, object]] = {}
    responses: Mapping[int | str, JsonObject] = {}
    body_examples: Mapping[str, object] | None = None
    operation_id: str | None = None
    render_by_head: Callable[[RequestHead], ErrorRenderer] | None = None
    in_schema: bool = True
    websocket: Callable[[], WebSocketHandler] | None = None
    limit_headers: LimitHeaders | None = None


def aliases_of(specs: Iterable[EndpointSpec], prefix: str) -> list[EndpointSpec]:
    """Return the endpoints below `/v1` under a further prefix too. The OpenAPI page does not list them again."""
    return [replace(spec, path=prefix + spec.path, in_schema=False) for spec in specs if spec.path.startswith("/v1/")]


def error_responses(model: type[BaseModel], descriptions: Mapping[int, str]) -> dict[int | str, JsonObject]:
    """Return the OpenAPI responses for a dialect's errors, by status.

    Args:
        model: the body of an error. descriptions: by status.
    """
    return {status: {"model": model, "description": text} for status, text in descriptions.items()}

"""Answers unknown paths in the dialect of the caller."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.dialects.anthropic import errors as anthropic_messages
from app.dialects.bedrock import errors as bedrock
from app.dialects.http.endpoint import RECORD
from app.dialects.http.loggable import loggable_path
from app.dialects.http.responses import ErrorRenderer
from app.dialects.openai.common import errors as openai_errors
from app.errors import GatewayError, MethodNotAllowed, NotFound

_BEDROCK_PATHS = (
    "/model/",
    "/foundation-model",
    "/inference-profile",
    "/guardrail",
    "/async-invoke",
    "/imported-models",
    "/prompt-routers",
    "/provisioned-model",
)
_MESSAGES_PATHS = ("/v1/messages", "/anthropic/")
_PATHS_OF_V1 = ("/chat/completions", "/embeddings", "/messages", "/models", "/rerank", "/responses")


def renderer_for(path: str, authorization: str, version: str = "") -> ErrorRenderer:
    """Choose the renderer of an error for a path without an endpoint, by the path and the headers.

    Args:
        version: the header `anthropic-version`.
    """
    if version or path.startswith(_MESSAGES_PATHS):
        return anthropic_messages.render_error
    if path.startswith(_BEDROCK_PATHS) or authorization.startswith("AWS4-"):
        return bedrock.render_error
    return openai_errors.render_error


def _advice(path: str) -> str:
    if "/v1/v1/" in f"{path}/":
        return "the base URL has /v1 twice, since the client adds it: leave /v1 out of the base URL"
    if path.startswith(_PATHS_OF_V1):
        return "the base URL lacks /v1: add it"
    return "/docs lists what there is"


async def answer_unknown_route(request: Request, exception: Exception) -> Response:
    """Return the response for an unknown path, or a method that a route of Starlette does not have."""
    path = request.url.path
    error: GatewayError
    if isinstance(exception, HTTPException) and exception.status_code == MethodNotAllowed.status:
        error = MethodNotAllowed(f"{path} does not take {request.method}")
    else:
        error = NotFound(f"there is no {request.method} {path}: {_advice(path)}")
    record = request.scope[RECORD]
    record.error, record.detail = error.kind, loggable_path(path)
    render = renderer_for(path, request.headers.get("authorization", ""), request.headers.get("anthropic-version", ""))
    response = render(error, record.request_id)
    return Response(response.body, response.status, dict(response.headers))

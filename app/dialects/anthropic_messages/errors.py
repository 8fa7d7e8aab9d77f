"""Errors as Anthropic's clients read them. Contracts 3.3 and 5.6."""

from app.dialects.envelopes import JSON, Whole, retry_after
from app.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    ContextTooLong,
    GatewayError,
    InternalFailure,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PermissionRefused,
    RateLimited,
    UpstreamFailed,
    UpstreamTimeout,
)
from app.kit import json

OVERLOADED = 529  # Anthropic's own number, which its clients know
_TOO_LONG = "prompt is too long"
_WRAPPING = "The model returned the following errors: "

# the type, the most special class first
_WORDS: tuple[tuple[type[GatewayError], str], ...] = (
    (AuthenticationFailed, "authentication_error"),
    (PermissionRefused, "permission_error"),
    (BodyTooLarge, "request_too_large"),
    (InvalidRequest, "invalid_request_error"),
    (NotFound, "not_found_error"),
    (MethodNotAllowed, "invalid_request_error"),
    (RateLimited, "rate_limit_error"),
    (Overloaded, "overloaded_error"),
    (UpstreamTimeout, "timeout_error"),
    (UpstreamFailed, "api_error"),
    (InternalFailure, "api_error"),
)


def error_body(error: GatewayError, request_id: str) -> bytes:
    """The JSON body: `{"type": "error", "error": {type, message}, "request_id"}`."""
    kind = next((kind for cls, kind in _WORDS if isinstance(error, cls)), "api_error")
    detail = {"type": kind, "message": _message(error)}
    return json.dumps({"type": "error", "error": detail, "request_id": request_id})


def render_error(error: GatewayError, request_id: str) -> Whole:
    """The whole answer for an error."""
    status = OVERLOADED if isinstance(error, Overloaded) else error.status
    headers = (*JSON, ("request-id", request_id), *retry_after(error))
    return Whole(status, headers, error_body(error, request_id))


def _message(error: GatewayError) -> str:
    """Anthropic's messages begin with the path of the field, and clients know a context that is too long by its words.

    What Bedrock wraps around a model's own words is taken off: Claude Code mends requests by those.
    """
    if error.message.startswith(_WRAPPING):
        return _unwrapped(error.message.removeprefix(_WRAPPING))
    if isinstance(error, ContextTooLong) and not error.message.lower().startswith(_TOO_LONG):
        return f"{_TOO_LONG}: {error.message}"
    if error.param and not error.message.startswith(error.param):
        return f"{error.param}: {error.message}"
    return error.message


def _unwrapped(inside: str) -> str:
    try:
        return str(json.loads(inside)["error"]["message"])
    except (json.JsonError, LookupError, TypeError):
        return inside

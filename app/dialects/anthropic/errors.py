"""Renders errors for Anthropic's clients.

Sources:
- docs/reference/contracts/errors.md#anthropic-error-body
- docs/reference/errors.md#by-dialect
"""

import re

from app.converse.model_errors import words_of_error, words_of_model
from app.dialects.http.responses import JSON, CompleteResponse, retry_after
from app.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    BudgetSpent,
    ContextTooLong,
    CredentialsMissing,
    GatewayError,
    InternalFailure,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PermissionRefused,
    RateLimited,
    ThreadRefused,
    UpstreamFailed,
    UpstreamTimeout,
)
from app.wire import json
from app.wire.json import JsonObject

OVERLOADED = 529  # Anthropic's own status for an overload
_INDEX = re.compile(r"\[(\d+)\]")
_TOO_LONG = "prompt is too long"

# after this type the tool runners of Anthropic's SDKs (2.14) send the whole conversation, without a thread
_WITHOUT_THREADS = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}

# the type by class, subclasses first
_TYPES: tuple[tuple[type[GatewayError], str], ...] = (
    (AuthenticationFailed, "authentication_error"),
    (PermissionRefused, "permission_error"),
    (BodyTooLarge, "request_too_large"),
    (InvalidRequest, "invalid_request_error"),
    (NotFound, "not_found_error"),
    (MethodNotAllowed, "invalid_request_error"),
    (BudgetSpent, "billing_error"),
    (RateLimited, "rate_limit_error"),
    (Overloaded, "overloaded_error"),
    (CredentialsMissing, "api_error"),
    (UpstreamTimeout, "timeout_error"),
    (UpstreamFailed, "api_error"),
    (InternalFailure, "api_error"),
)


def error_body(error: GatewayError, request_id: str) -> bytes:
    """Return the JSON body: `{"type": "error", "error": {type, message}, "request_id"}`."""
    kind, message = _type_and_message(error)
    detail: JsonObject = {"type": kind, "message": message}
    if isinstance(error, ThreadRefused):
        detail["details"] = _WITHOUT_THREADS
    return json.dumps({"type": "error", "error": detail, "request_id": request_id})


def render_error(error: GatewayError, request_id: str) -> CompleteResponse:
    """Return the response for an error."""
    status = OVERLOADED if isinstance(error, Overloaded) else error.status
    headers = (*JSON, ("request-id", request_id), *retry_after(error))
    return CompleteResponse(status, headers, error_body(error, request_id))


def error_of(document: JsonObject) -> GatewayError:
    """Return the error for an event `error` in a stream of Bedrock's."""
    kind, message = words_of_error(document)
    cls = next((cls for cls, known in _TYPES if known == kind), UpstreamFailed)
    return cls(message or "the model's stream failed")


def _type_and_message(error: GatewayError) -> tuple[str, str]:
    """Return the type and the message.

    Text that Bedrock adds to the model's own message is removed, because Claude Code parses that message. Anthropic's
    messages begin with the path of the field; clients recognise a context that is too long by its message.
    """
    own_kind, message = words_of_model(error.message)
    is_known = any(own_kind == known for _, known in _TYPES)
    kind = own_kind if is_known else next((kind for cls, kind in _TYPES if isinstance(error, cls)), "api_error")
    if isinstance(error, ContextTooLong) and not message.lower().startswith(_TOO_LONG):
        return kind, f"{_TOO_LONG}: {message}"
    if error.param:
        dotted = _INDEX.sub(r".\1", error.param)
        return kind, f"{dotted}: {message.removeprefix(f'{error.param}: ')}"
    return kind, message

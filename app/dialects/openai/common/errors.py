"""Renders errors for OpenAI's clients.

Sources:
- docs/reference/contracts/errors.md#openai-error-body
- docs/reference/errors.md#by-dialect
"""

from app.dialects.http.responses import JSON, CompleteResponse, retry_after
from app.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    CallerTooSlow,
    ContextTooLong,
    CredentialsMissing,
    GatewayBusy,
    GatewayError,
    GuardrailIntervened,
    InternalFailure,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
    Overloaded,
    PermissionRefused,
    QuotaExceeded,
    RateLimited,
    ResponseNotStored,
    UpstreamFailed,
    UpstreamTimeout,
)
from app.wire import json

# type and code by class, subclasses first
_TYPES_AND_CODES: tuple[tuple[type[GatewayError], str, str | None], ...] = (
    (AuthenticationFailed, "authentication_error", "invalid_api_key"),
    (PermissionRefused, "permission_error", None),
    (ContextTooLong, "invalid_request_error", "context_length_exceeded"),
    (BodyTooLarge, "invalid_request_error", "request_too_large"),
    (GuardrailIntervened, "invalid_request_error", "content_filter"),
    (CallerTooSlow, "invalid_request_error", "request_timeout"),
    (ResponseNotStored, "invalid_request_error", "previous_response_not_found"),
    (InvalidRequest, "invalid_request_error", None),
    (ModelNotFound, "invalid_request_error", "model_not_found"),
    (NotFound, "invalid_request_error", "not_found"),
    (MethodNotAllowed, "invalid_request_error", "method_not_allowed"),
    (QuotaExceeded, "insufficient_quota", "insufficient_quota"),
    (RateLimited, "rate_limit_error", "rate_limit_exceeded"),
    (GatewayBusy, "rate_limit_error", "overloaded"),
    (Overloaded, "server_error", "overloaded"),
    (CredentialsMissing, "server_error", "credentials_missing"),
    (UpstreamTimeout, "server_error", "timeout"),
    (UpstreamFailed, "api_error", None),
    (InternalFailure, "server_error", None),
)


def type_and_code_of(error: GatewayError) -> tuple[str, str | None]:
    """Return OpenAI's type and code for an error."""
    return next(
        ((kind, code) for cls, kind, code in _TYPES_AND_CODES if isinstance(error, cls)), ("server_error", None)
    )


def message_of(error: GatewayError) -> str:
    """Return the message with the path of the field, since SDKs show nothing else."""
    names_it = error.param is None or error.param in error.message
    return error.message if names_it else f"{error.param}: {error.message}"


def error_body(error: GatewayError) -> bytes:
    """Return the JSON body: `{"error": {message, type, param, code}}`."""
    kind, code = type_and_code_of(error)
    return json.dumps({"error": {"message": message_of(error), "type": kind, "param": error.param, "code": code}})


def render_error(error: GatewayError, _request_id: str) -> CompleteResponse:
    """Return the response for an error."""
    return CompleteResponse(error.status, (*JSON, *retry_after(error)), error_body(error))

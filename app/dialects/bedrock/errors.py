"""Renders errors for AWS's SDKs: Bedrock's own unchanged, ours in its format.

Sources:
- docs/reference/contracts/bedrock-wire.md#error-replies
- docs/reference/contracts/errors.md#bedrock-exceptions
"""

from app.dialects.http.responses import CompleteResponse, retry_after
from app.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    BudgetSpent,
    CallerTooSlow,
    ConnectTimeout,
    CredentialsMissing,
    GatewayBusy,
    GatewayError,
    InternalFailure,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PermissionRefused,
    QuotaExceeded,
    RateLimited,
    SignatureRefused,
    UpstreamFailed,
    UpstreamTimeout,
)
from app.wire import json
from app.wire.eventstream import encode_frame

# exception and status by class, subclasses first
_EXCEPTIONS: tuple[tuple[type[GatewayError], str, int], ...] = (
    # 401, unlike AWS: Claude Code repeats a 403 for minutes, since a session of AWS's may have expired
    (SignatureRefused, "InvalidSignatureException", 401),
    (AuthenticationFailed, "UnrecognizedClientException", 401),
    (PermissionRefused, "AccessDeniedException", 403),
    (BodyTooLarge, "ValidationException", 413),
    (CallerTooSlow, "RequestTimeoutException", 408),
    (InvalidRequest, "ValidationException", 400),
    (NotFound, "ResourceNotFoundException", 404),
    (MethodNotAllowed, "UnknownOperationException", 405),
    # SDKs do not send a call again that got 400
    (BudgetSpent, "ServiceQuotaExceededException", 400),
    (QuotaExceeded, "ServiceQuotaExceededException", 429),
    (RateLimited, "ThrottlingException", 429),
    (GatewayBusy, "ThrottlingException", 429),
    (Overloaded, "ServiceUnavailableException", 503),
    (CredentialsMissing, "ServiceUnavailableException", 503),
    (ConnectTimeout, "ServiceUnavailableException", 504),
    # Bedrock's own status: after another one AWS's SDKs retry, and the model is charged again
    (UpstreamTimeout, "ModelTimeoutException", 408),
    (UpstreamFailed, "ServiceUnavailableException", 502),
    (InternalFailure, "InternalServerException", 500),
)
# headers that belong to the connection, or are set by the gateway
_CONNECTION = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "server",
        "set-cookie",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    }
)
# browsers obey the gateway's own, and Bedrock's limits are not the caller's
_OF_THE_GATEWAY = ("access-control-", "anthropic-ratelimit-", "x-ratelimit-")


def render_error(error: GatewayError, request_id: str) -> CompleteResponse:
    """Return the response for an error."""
    if error.upstream is not None:
        return CompleteResponse(error.upstream.status, end_to_end(error.upstream.headers), error.upstream.body)
    name, status = _exception_of(error)
    headers = (
        ("content-type", "application/json"),
        ("x-amzn-errortype", name),
        ("x-amzn-requestid", request_id),
        *retry_after(error),
    )
    return CompleteResponse(status, headers, json.dumps({"message": error.message}))


# the exceptions of botocore's ConverseStreamOutput; any other becomes ModelStreamErrorException
_IN_STREAMS = frozenset(
    {
        "InternalServerException",
        "ModelStreamErrorException",
        "ServiceUnavailableException",
        "ThrottlingException",
        "ValidationException",
    }
)


def exception_frame(error: GatewayError, *, is_invoked: bool) -> bytes:
    """Return the frame that ends a stream that failed.

    Args:
        is_invoked: the stream is InvokeModel's, which has an exception of its own for a timeout.
    """
    name, _ = _exception_of(error)
    if name not in _IN_STREAMS and not (is_invoked and name == "ModelTimeoutException"):
        name = "ModelStreamErrorException"
    kind = name[:1].lower() + name[1:]
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encode_frame(headers, json.dumps({"message": error.message}))


def end_to_end(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the headers that are meant for the caller: neither of the connection, nor cookies, nor for browsers."""
    nominated = [value for name, value in headers if name == "connection"]
    own = _CONNECTION
    if nominated:
        own = own.union(option.strip().lower() for value in nominated for option in value.split(","))
    return tuple([each for each in headers if each[0] not in own and not each[0].startswith(_OF_THE_GATEWAY)])


def _exception_of(error: GatewayError) -> tuple[str, int]:
    for kind, name, status in _EXCEPTIONS:
        if isinstance(error, kind):
            return name, status
    return "InternalServerException", error.status

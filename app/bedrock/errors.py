"""Maps AWS's errors to the gateway's, by one table.

Sources: docs/reference/contracts/errors.md#bedrock-exceptions for statuses; public issue threads for wording
(langchain-aws, litellm, agentgateway and others). The name of an error is in `x-amzn-ErrorType` before a colon, in a
body's `__type` after a `#`, or in a stream's `:exception-type`, in camelCase.
"""

import re
from collections.abc import Callable, Mapping
from itertools import takewhile

from app.bedrock.transport import Headers
from app.errors import (
    BodyTooLarge,
    ContextTooLong,
    DayQuotaSpent,
    GatewayError,
    IdentityRefused,
    InternalFailure,
    InvalidRequest,
    ModelDiffers,
    ModelNotFound,
    NotFound,
    Overloaded,
    PermissionRefused,
    ProfileRequired,
    QuotaExceeded,
    RateLimited,
    UpstreamFailed,
    UpstreamReply,
    UpstreamTimeout,
)
from app.models.refusals import override_from_message
from app.process.deadline import seconds_until
from app.wire import json

_TOO_LONG = (
    "input is too long",
    "prompt is too long",
    "too many tokens",
    "too many input tokens",
    "expected maxlength:",
)
_PROFILE_REQUIRED = "on-demand throughput isn"
_NO_SUCH_MODEL = ("model identifier is invalid", "at 'modelid' failed to satisfy", "isn't supported on this route")
# "Too many tokens per day, please wait before trying again."
_PER_DAY = "tokens per day"
_PRINCIPAL = re.compile(r"User: \S+ is")
# a refused bearer token; under another name, the message may quote the caller's own text
_DENIED = "AccessDeniedException"
_MAX_WORDS, _MAX_WORD_LENGTH = 30, 20
_BAD_API_KEY = "Please make sure your API Key is valid"
_OUR_IDENTITY = frozenset(
    {
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)

_Document = Mapping[str, object]
_MakeError = Callable[[str, _Document], GatewayError]


def error_of_reply(status: int, headers: Headers, body: bytes) -> GatewayError:
    """Make the error for a response with a status of 300 or more."""
    fields = dict(headers)
    document = _document(body)
    if "error" in document:
        return error_of_openai(
            document["error"],
            status,
            UpstreamReply(status, headers, body),
            seconds_until(fields.get("retry-after", "")),
        )
    name = error_name(fields, document)
    message = (
        document.get("message")
        or document.get("Message")
        or document.get("detail")
        or f"Bedrock answered with status {status}"
    )
    upstream = UpstreamReply(status, headers, body)
    retry_after = seconds_until(fields.get("retry-after", ""))
    return error_of_name(name, str(message), status=status, upstream=upstream, retry_after=retry_after, extra=document)


def error_of_openai(
    error: object, status: int = 0, upstream: UpstreamReply | None = None, retry_after: float | None = None
) -> GatewayError:
    """Make the error for an error of the OpenAI-compatible surfaces.

    Args:
        error: `{"message", "type", "code", "param"}`, or a text. status: of the response; 0 within a stream.
    """
    fields: _Document = error if isinstance(error, dict) else {"message": error}
    codes = [str(fields.get(name) or "").lower() for name in ("code", "type")]
    make = next((_BY_OPENAI_CODE[code] for code in codes if code in _BY_OPENAI_CODE), None)
    numbers = [int(code) for code in codes if code.isdigit()]
    make = make or _BY_STATUS.get(next(iter(numbers), status)) or _unknown
    made = make(str(fields.get("message") or "Bedrock gave no reason"), {})
    if isinstance(param := fields.get("param"), str) and isinstance(made, InvalidRequest | NotFound):
        made.param = param
    made.upstream, made.retry_after = upstream, retry_after
    made.detail = next(filter(None, codes), f"status {status}")
    return made


def error_name(headers: dict[str, str], document: _Document) -> str:
    """Return the error's name without its namespace: `ThrottlingException`; empty if the response has none."""
    raw = headers.get("x-amzn-errortype") or document.get("__type") or document.get("code") or ""
    return str(raw).partition(":")[0].rpartition("#")[2]


def error_of_name(
    name: str,
    message: str,
    *,
    status: int = 0,
    upstream: UpstreamReply | None = None,
    retry_after: float | None = None,
    extra: _Document | None = None,
) -> GatewayError:
    """Make the error for one of AWS's names, of a response or of a stream (`throttlingException`)."""
    if name in _OUR_IDENTITY or (name == _DENIED and _BAD_API_KEY in message):
        return IdentityRefused(
            "Bedrock refused the gateway's AWS credentials", detail=f"{name}: {_plain_words(message)}"
        )
    make = _BY_NAME.get(name[:1].upper() + name[1:]) or _BY_STATUS.get(status) or _unknown
    error = make(message, extra or {})
    error.upstream = upstream
    error.retry_after = retry_after
    error.detail = name or f"status {status}"
    return error


def _plain_words(message: str) -> str:
    """Return the beginning of a message, up to what may be a header or a key that it quotes."""
    words = takewhile(
        lambda word: len(word) <= _MAX_WORD_LENGTH and word.strip("().,:").isalpha(), message.split()[:_MAX_WORDS]
    )
    return " ".join(words)


def _document(body: bytes) -> _Document:
    try:
        document = json.loads(body) if body else {}
    except json.JsonError:
        return {}
    return document if isinstance(document, dict) else {}


def _validation(message: str, _: _Document) -> GatewayError:
    text = message.lower()
    if any(phrase in text for phrase in _TOO_LONG):
        return ContextTooLong(message)
    if override := override_from_message(message):
        return ModelDiffers(message, override.values, is_lasting=override.is_lasting)
    if _PROFILE_REQUIRED in text:
        return ProfileRequired(message)
    if any(phrase in text for phrase in _NO_SUCH_MODEL):
        return ModelNotFound(message)
    return InvalidRequest(message)


def _model_error(message: str, extra: _Document) -> GatewayError:
    original = extra.get("originalStatusCode")
    if not isinstance(original, int):
        return UpstreamFailed(message)
    if 400 <= original < 500 and original != 429:
        return InvalidRequest(message)
    return UpstreamFailed(message, retry_here=original >= 429)


def _permission(message: str, _: _Document) -> GatewayError:
    """Hide the gateway's role and account, which AWS names in the message."""
    return PermissionRefused(_PRINCIPAL.sub("the gateway's identity is", message), retry_elsewhere=True)


def _internal(message: str, _: _Document) -> GatewayError:
    return InternalFailure(message, retry_here=True, retry_elsewhere=True)


def _throttled(message: str, _: _Document) -> GatewayError:
    return DayQuotaSpent(message) if _PER_DAY in message.lower() else RateLimited(message)


def _refused(_: str, __: _Document) -> GatewayError:
    return IdentityRefused("Bedrock refused the gateway's AWS credentials")


def _unknown(message: str, _: _Document) -> GatewayError:
    return UpstreamFailed(message)


def _plain(kind: type[GatewayError]) -> _MakeError:
    return lambda message, _: kind(message)


_BY_NAME: dict[str, _MakeError] = {
    "AccessDeniedException": _permission,
    "InternalServerException": _internal,
    "ModelErrorException": _model_error,
    "ModelNotReadyException": _plain(Overloaded),
    "ModelStreamErrorException": _model_error,
    "ModelTimeoutException": _plain(UpstreamTimeout),
    "ResourceNotFoundException": _plain(ModelNotFound),
    "SerializationException": _plain(InvalidRequest),
    "ServiceQuotaExceededException": _plain(QuotaExceeded),
    "ServiceUnavailableException": _plain(Overloaded),
    "ThrottlingException": _throttled,
    "ValidationException": _validation,
}

_BY_STATUS: dict[int, _MakeError] = {
    400: _validation,
    401: _refused,
    409: _plain(UpstreamFailed),
    422: _validation,
    403: _permission,
    404: _plain(NotFound),
    408: _plain(UpstreamTimeout),
    413: _plain(BodyTooLarge),
    424: _model_error,
    429: _throttled,
    500: _internal,
    502: _plain(UpstreamFailed),
    503: _plain(Overloaded),
    504: _plain(UpstreamTimeout),
    529: _plain(Overloaded),
}

# codes and types of OpenAI's errors: docs/reference/contracts/errors.md#openai-error-body and
# docs/reference/contracts/openai-responses.md#event-order; mantle's own, seen by litellm#33027 and others
_BY_OPENAI_CODE: dict[str, _MakeError] = {
    "access_denied": _permission,
    "context_length_exceeded": _plain(ContextTooLong),
    "insufficient_quota": _plain(QuotaExceeded),
    "invalid_api_key": _refused,
    "invalid_prompt": _validation,
    "invalid_request_error": _validation,
    "model_not_found": _plain(ModelNotFound),
    "not_found_error": _plain(ModelNotFound),
    "overloaded": _plain(Overloaded),
    "overloaded_error": _plain(Overloaded),
    "permission_denied_error": _permission,
    "rate_limit_error": _throttled,
    "rate_limit_exceeded": _throttled,
    "server_error": _internal,
    "validation_error": _validation,
}

"""AWS's errors become ours here, by one table, and nowhere else.

Sources: docs/reference/contracts/errors.md#bedrock-exceptions for statuses; public issue threads for wording
(langchain-aws, litellm, agentgateway and others, collected 2026-11). The name of an error stands in
`x-amzn-ErrorType` before a colon, in a body's `__type` after a `#`, or in a stream's `:exception-type`, camelCase.
"""

import re
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from app.bedrock.transport import Headers
from app.errors import (
    BodyTooLarge,
    ContextTooLong,
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
_ONLY_BY_PROFILE = "on-demand throughput isn"
_NO_SUCH_MODEL = ("model identifier is invalid", "at 'modelid' failed to satisfy")
_PRINCIPAL = re.compile(r"User: \S+ is")
# how Bedrock refuses a bearer token; under another name the words may be its caller's own, which it repeats
_DENIED = "AccessDeniedException"
_MAX_WORDS, _LONGEST_WORD = 30, 20
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


def error_of_reply(status: int, headers: Headers, body: bytes) -> GatewayError:
    """The error that Bedrock's answer with a status of 300 or more means."""
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
    error: Any, status: int = 0, upstream: UpstreamReply | None = None, retry_after: float | None = None
) -> GatewayError:
    """The error that OpenAI's own words mean, as the surfaces that speak them use them.

    Args:
        error: `{"message", "type", "code", "param"}`, or a text. status: of the answer; 0 within a stream.
    """
    words = error if isinstance(error, dict) else {"message": error}
    said = [str(words.get(name) or "").lower() for name in ("code", "type")]
    make = next((_BY_OPENAI_WORD[word] for word in said if word in _BY_OPENAI_WORD), None)
    numbers = [int(word) for word in said if word.isdigit()]
    make = make or _BY_STATUS.get(next(iter(numbers), status)) or _unknown
    made = make(str(words.get("message") or "Bedrock gave no reason"), {})
    if isinstance(words.get("param"), str) and isinstance(made, InvalidRequest | NotFound):
        made.param = words["param"]
    made.upstream, made.retry_after = upstream, retry_after
    made.detail = next(filter(None, said), f"status {status}")
    return made


def error_name(headers: dict[str, str], document: dict[str, Any]) -> str:
    """The error's name without its namespace: `ThrottlingException`; empty if the answer has none."""
    raw = headers.get("x-amzn-errortype") or document.get("__type") or document.get("code") or ""
    return str(raw).partition(":")[0].rpartition("#")[2]


def error_of_name(
    name: str,
    message: str,
    *,
    status: int = 0,
    upstream: UpstreamReply | None = None,
    retry_after: float | None = None,
    extra: dict[str, Any] | None = None,
) -> GatewayError:
    """The error for a name of AWS's, in a reply or in a stream (`throttlingException`)."""
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
    """How a message begins, up to what may be a header or a key that it repeats."""
    words = takewhile(
        lambda word: len(word) <= _LONGEST_WORD and word.strip("().,:").isalpha(), message.split()[:_MAX_WORDS]
    )
    return " ".join(words)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body) if body else {}
    except json.JsonError:
        return {}
    return document if isinstance(document, dict) else {}


def _validation(message: str, _: dict[str, Any]) -> GatewayError:
    text = message.lower()
    if any(phrase in text for phrase in _TOO_LONG):
        return ContextTooLong(message)
    if lesson := override_from_message(message):
        return ModelDiffers(message, lesson.values, is_lasting=lesson.is_lasting)
    if _ONLY_BY_PROFILE in text:
        return ProfileRequired(message)
    if any(phrase in text for phrase in _NO_SUCH_MODEL):
        return ModelNotFound(message)
    return InvalidRequest(message)


def _model_error(message: str, extra: dict[str, Any]) -> GatewayError:
    original = extra.get("originalStatusCode")
    if not isinstance(original, int):
        return UpstreamFailed(message)
    if 400 <= original < 500 and original != 429:
        return InvalidRequest(message)
    return UpstreamFailed(message, retry_here=original >= 429)


def _permission(message: str, _: dict[str, Any]) -> GatewayError:
    """AWS names the role and the account of whoever was refused; callers need not know the gateway's."""
    return PermissionRefused(_PRINCIPAL.sub("the gateway's identity is", message), retry_elsewhere=True)


def _internal(message: str, _: dict[str, Any]) -> GatewayError:
    return InternalFailure(message, retry_here=True, retry_elsewhere=True)


def _refused(_: str, __: dict[str, Any]) -> GatewayError:
    return IdentityRefused("Bedrock refused the gateway's AWS credentials")


def _unknown(message: str, _: dict[str, Any]) -> GatewayError:
    return UpstreamFailed(message)


def _plain(kind: type[GatewayError]) -> Callable[[str, dict[str, Any]], GatewayError]:
    return lambda message, _: kind(message)


_BY_NAME: dict[str, Callable[[str, dict[str, Any]], GatewayError]] = {
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
    "ThrottlingException": _plain(RateLimited),
    "ValidationException": _validation,
}

_BY_STATUS: dict[int, Callable[[str, dict[str, Any]], GatewayError]] = {
    400: _validation,
    401: _refused,
    409: _plain(UpstreamFailed),
    422: _validation,
    403: _permission,
    404: _plain(NotFound),
    408: _plain(UpstreamTimeout),
    413: _plain(BodyTooLarge),
    424: _model_error,
    429: _plain(RateLimited),
    500: _internal,
    502: _plain(UpstreamFailed),
    503: _plain(Overloaded),
    504: _plain(UpstreamTimeout),
    529: _plain(Overloaded),
}

# codes and types of OpenAI's errors: docs/reference/contracts/errors.md#openai-error-body and
# docs/reference/contracts/openai-responses.md#event-order; mantle's own, seen by litellm#33027 and others
_BY_OPENAI_WORD: dict[str, Callable[[str, dict[str, Any]], GatewayError]] = {
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
    "rate_limit_error": _plain(RateLimited),
    "rate_limit_exceeded": _plain(RateLimited),
    "server_error": _internal,
    "validation_error": _validation,
}

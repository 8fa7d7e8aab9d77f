"""AWS's errors are mapped by name first, then by status."""

import json

import pytest

from app import errors
from app.bedrock.errors import error_of_name, error_of_reply


@pytest.mark.parametrize(
    ("status", "name", "message", "expected", "retry_here", "retry_elsewhere"),
    [
        (400, "ValidationException", "bad", errors.InvalidRequest, False, False),
        (400, "ValidationException", "Input is too long for requested model.", errors.ContextTooLong, False, False),
        (400, "ValidationException", "prompt is too long: 9 tokens > 8", errors.ContextTooLong, False, False),
        (400, "ValidationException", "The provided model identifier is invalid.", errors.ModelNotFound, False, True),
        (
            400,
            "ValidationException",
            "… with on-demand throughput isn\u2019t supported.",
            errors.ProfileRequired,
            False,
            True,
        ),
        (400, "SerializationException", "x", errors.InvalidRequest, False, False),
        (403, "AccessDeniedException", "no access", errors.PermissionRefused, False, True),
        (403, "ExpiredTokenException", "expired", errors.IdentityRefused, True, True),
        (
            403,
            "AccessDeniedException",
            "Authentication failed: Please make sure your API Key is valid.",
            errors.IdentityRefused,
            True,
            True,
        ),
        (
            400,
            "ValidationException",
            "Value 'Please make sure your API Key is valid' at 'toolConfig' failed to satisfy constraint",
            errors.InvalidRequest,
            False,
            False,
        ),
        (403, "UnrecognizedClientException", "invalid token", errors.IdentityRefused, True, True),
        (404, "ResourceNotFoundException", "gone", errors.ModelNotFound, False, True),
        (429, "ThrottlingException", "slow down", errors.RateLimited, True, True),
        (429, "ThrottlingException", "Too many tokens per day, please wait…", errors.DayQuotaSpent, False, True),
        (429, "ModelNotReadyException", "warming", errors.Overloaded, True, True),
        (400, "ServiceQuotaExceededException", "quota", errors.QuotaExceeded, False, True),
        (408, "ModelTimeoutException", "slow", errors.UpstreamTimeout, False, True),
        (424, "ModelErrorException", "broke", errors.UpstreamFailed, False, True),
        (500, "InternalServerException", "oops", errors.InternalFailure, True, True),
        (503, "ServiceUnavailableException", "busy", errors.Overloaded, True, True),
        (400, "", "bad", errors.InvalidRequest, False, False),
        (403, "", "no", errors.PermissionRefused, False, True),
        (404, "", "gone", errors.NotFound, False, False),
        (413, "", "big", errors.BodyTooLarge, False, False),
        (429, "", "slow", errors.RateLimited, True, True),
        (502, "", "proxy", errors.UpstreamFailed, False, True),
        (504, "", "proxy", errors.UpstreamTimeout, False, True),
        (529, "", "busy", errors.Overloaded, True, True),
        (418, "TeapotException", "short and stout", errors.UpstreamFailed, False, True),
        (301, "", "moved", errors.UpstreamFailed, False, True),
    ],
)
def test_name_and_status_select_the_error(
    status: int, name: str, message: str, expected: type[errors.GatewayError], retry_here: bool, retry_elsewhere: bool
) -> None:
    headers = (("x-amzn-errortype", f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"),) if name else ()
    body = b'{"message": "%s"}' % message.encode()
    error = error_of_reply(status, headers, body)
    assert type(error) is expected
    assert (error.retry_here, error.retry_elsewhere) == (retry_here, retry_elsewhere)
    if not isinstance(error, errors.IdentityRefused):
        assert error.message == message
        assert error.upstream == errors.UpstreamReply(status, headers, body)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "The security token included in the request is expired",
            "The security token included in the request is expired",
        ),
        ("Signature expired: 20261126T1Z is now earlier than", "Signature expired:"),
        ("Invalid key=value pair (missing equal-sign) in Authorization header: 'Bearer ABSKc2VjcmV0='.", "Invalid"),
        ("Bearer ABSKQmVkcm9ja0FQSUtleS1zZWNyZXQ is not known", "Bearer"),
        ("word " * 50, "word " * 29 + "word"),
    ],
)
def test_refused_identity_quotes_no_secret(message: str, told: str) -> None:
    error = error_of_name("IncompleteSignatureException", message)
    assert isinstance(error, errors.IdentityRefused)
    assert error.detail == f"IncompleteSignatureException: {told}"


@pytest.mark.parametrize(
    ("original", "expected", "retried"),
    [(400, errors.InvalidRequest, False), (429, errors.UpstreamFailed, True), (500, errors.UpstreamFailed, True)],
)
def test_model_error_follows_the_original_status(
    original: int, expected: type[errors.GatewayError], retried: bool
) -> None:
    body = b'{"message": "m", "originalStatusCode": %d}' % original
    error = error_of_reply(424, (("x-amzn-errortype", "ModelErrorException"),), body)
    assert type(error) is expected
    assert error.retry_here is retried


def test_error_name_is_read_from_the_body() -> None:
    error = error_of_reply(400, (), b'{"__type": "com.amazon#ThrottlingException", "Message": "m"}')
    assert isinstance(error, errors.RateLimited)
    assert error.message == "m"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"'])
def test_body_without_a_message_is_accepted(body: bytes) -> None:
    error = error_of_reply(503, (("retry-after", "3"),), body)
    assert isinstance(error, errors.Overloaded)
    assert (error.retry_after, error.message) == (3.0, "Bedrock answered with status 503")


def test_error_names_of_streams_are_camel_case() -> None:
    assert isinstance(error_of_name("throttlingException", "m"), errors.RateLimited)


def test_refused_gateway_credentials_are_502() -> None:
    error = error_of_reply(403, (("x-amzn-errortype", "InvalidSignatureException"),), b'{"message":"secret detail"}')
    assert (error.status, error.upstream) == (502, None)
    assert "secret detail" not in error.message


def test_role_of_the_gateway_is_hidden() -> None:
    said = "User: arn:aws:sts::123456789012:assumed-role/gw/i-1 is not authorized to perform: bedrock:InvokeModel"
    error = error_of_reply(403, (("x-amzn-errortype", "AccessDeniedException"),), b'{"Message":"%s"}' % said.encode())
    assert error.message == "the gateway's identity is not authorized to perform: bedrock:InvokeModel"
    assert error.upstream is not None
    assert said.encode() in error.upstream.body


@pytest.mark.parametrize(
    ("status", "error", "kind", "param"),
    [
        (400, {"code": "context_length_exceeded", "param": "input"}, errors.ContextTooLong, "input"),
        (400, {"code": "unsupported_parameter", "param": "temperature"}, errors.InvalidRequest, "temperature"),
        (429, {"code": "insufficient_quota"}, errors.QuotaExceeded, None),
        (429, {"code": None, "type": None}, errors.RateLimited, None),
        (404, {"code": "model_not_found", "param": "model"}, errors.ModelNotFound, "model"),
        (401, {"code": "access_denied", "type": "permission_denied_error"}, errors.PermissionRefused, None),
        (401, {"code": "invalid_api_key"}, errors.IdentityRefused, None),
        (401, {}, errors.IdentityRefused, None),
        (422, {}, errors.InvalidRequest, None),
        (500, {"code": "server_error"}, errors.InternalFailure, None),
        (400, "a text", errors.InvalidRequest, None),
    ],
)
def test_openai_error_codes_select_the_error(
    status: int, error: object, kind: type[errors.GatewayError], param: str | None
) -> None:
    body = json.dumps({"error": {"message": "why", **error} if isinstance(error, dict) else error}).encode()
    made = error_of_reply(status, (("retry-after", "3"),), body)
    assert type(made) is kind
    assert (made.param, made.retry_after) == (param, 3.0)
    if kind is not errors.IdentityRefused:
        assert made.message == ("why" if isinstance(error, dict) else error)
    assert made.upstream is not None


def test_detail_is_used_as_the_message() -> None:
    assert error_of_reply(400, (), b'{"detail":"no such field"}').message == "no such field"

"""The answers of the admin API, and its one shape of errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from app.admin.api.documents.words import path_of, words_of
from app.admin.api.operations.failures import Conflict, Fault, Invalid, NotFound, OperationRefused, Outdated
from app.errors import AuthenticationFailed, BodyTooLarge, GatewayError, Overloaded, PermissionRefused, RateLimited
from app.wire import json

# the part of a request that a path begins with, in the reports of the validation
_PARTS = {"body", "query", "path", "header"}
_REFUSALS: tuple[tuple[type[OperationRefused], int, str], ...] = (
    (NotFound, 404, "not_found"),
    (Conflict, 409, "conflict"),
    (Outdated, 412, "outdated"),
    (Invalid, 422, "invalid_request"),
)
_FAILURES: tuple[tuple[type[GatewayError], str], ...] = (
    (AuthenticationFailed, "authentication"),
    (PermissionRefused, "permission"),
    (RateLimited, "rate_limited"),
    (Overloaded, "unavailable"),
    (BodyTooLarge, "body_too_large"),
)


class FaultDocument(BaseModel):
    """What is wrong with one member of a request."""

    param: str = Field(description="The path of the member, such as `budgets[0].amount_usd`.")
    message: str


class ErrorContent(BaseModel):
    """Why a request was refused."""

    type: str = Field(description="Such as `not_found`, `conflict`, `outdated` or `invalid_request`.")
    message: str
    param: str | None = Field(None, description="The member of the first fault.")
    faults: list[FaultDocument] = []


class ErrorDocument(BaseModel):
    """The body of every error."""

    error: ErrorContent
    request_id: str


class Failure(Exception):
    """Why a request gets no other answer.

    Args:
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.faults = faults
        self.headers = headers or {}


def failure_of(error: OperationRefused | GatewayError | RequestValidationError) -> Failure:
    """Return how an error is answered."""
    if isinstance(error, RequestValidationError):
        faults = _faults_of(error.errors())
        return Failure(422, "invalid_request", _message_of(faults), faults)
    if isinstance(error, Invalid):
        return Failure(422, "invalid_request", error.message, error.faults)
    if isinstance(error, OperationRefused):
        status, kind = next((status, kind) for cls, status, kind in _REFUSALS if isinstance(error, cls))
        return Failure(status, kind, error.message)
    kind = next((kind for cls, kind in _FAILURES if isinstance(error, cls)), "invalid_request")
    headers = {"www-authenticate": "Bearer"} if isinstance(error, AuthenticationFailed) else {}
    if error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after))
    return Failure(error.status, kind, error.message, headers=headers)


def render_failure(failure: Failure, request_id: str) -> Response:
    """Return the answer to a request that failed."""
    faults = [{"param": each.param, "message": each.message} for each in failure.faults]
    error = {
        "type": failure.kind,
        "message": failure.message,
        "param": faults[0]["param"] if faults else None,
        "faults": faults,
    }
    body = json.dumps({"error": error, "request_id": request_id})
    return Response(body, failure.status, dict(failure.headers), "application/json")


def render(
    document: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None, *, only_set: bool = False
) -> Response:
    """Return a successful answer. It is never stored by caches, since it may show a secret.

    Args:
        only_set: leave out members that were not given a value.
    """
    body = document.model_dump_json(exclude_unset=only_set)
    return Response(body, status, {"cache-control": "no-store", **(headers or {})}, "application/json")


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of errors."""
    return {status: {"model": ErrorDocument, "description": _DESCRIPTIONS[status]} for status in statuses}


_DESCRIPTIONS = {
    400: "The body is not JSON.",
    401: "The key is not an administrator's.",
    403: "The token does not give the role `admin`.",
    404: "The object does not exist.",
    408: "The body did not arrive in time.",
    409: "The state of the objects does not allow it.",
    412: "The object has another revision than `If-Match` names.",
    413: "The body is too large.",
    415: "The body is not `application/json`.",
    422: "Members of the request are invalid; `faults` names each.",
    429: "Too many failed authentications from the address.",
    500: "A defect of the gateway.",
    503: "The database does not answer in time, or a token cannot be verified now.",
}


def _faults_of(errors: Iterable[Mapping[str, Any]]) -> list[Fault]:
    return [Fault(_path_of(each), words_of(each)) for each in errors]


def _path_of(error: Mapping[str, Any]) -> str:
    # the position of a fault of JSON is not a member
    parts = [] if error["type"] == "json_invalid" else [*error["loc"]]
    if parts and parts[0] in _PARTS:
        del parts[0]
    return path_of(parts) or "body"


def _message_of(faults: Sequence[Fault]) -> str:
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{first.param}: {first.message}{more}"

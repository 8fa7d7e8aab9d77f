"""The endpoints `/v1/organizations/spend_limits`, for clients of Anthropic's Admin API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from msgspec import Struct
from pydantic import BaseModel

from app.admin.api.documents.spend_limits import (
    ChangesQuery,
    EffectiveQuery,
    SpendLimit,
    SpendLimitAudit,
    SpendLimitCreate,
    SpendLimitDeleted,
    SpendLimitList,
    SpendLimitQuery,
    SpendSummaryList,
)
from app.admin.api.operations import spend_limits
from app.admin.api.operations.actor import Actor
from app.admin.api.routes.answers import Failure, render
from app.admin.api.routes.gate import Gate
from app.admin.api.routes.parameters import IdempotencyKey, QueryOf
from app.admin.api.routes.transactions import Transactions
from app.storage.database import AsyncConnection
from app.wire import json

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
}
_DESCRIPTIONS: Mapping[int | str, str] = {
    400: "The request is invalid.",
    401: "The key is not an administrator's.",
    403: "The token does not give the role `admin`.",
    404: "There is no such limit.",
    413: "The body is too large.",
    429: "Too many failed authentications from the address.",
    500: "A defect of the gateway.",
    503: "The database does not answer.",
}

LimitId = Annotated[str, Path(max_length=64)]


class ErrorContent(BaseModel):
    """Why a request was refused."""

    type: str
    message: str


class AnthropicError(BaseModel):
    """The body of every error."""

    type: str = "error"
    error: ErrorContent
    request_id: str


def render_for_anthropic(failure: Failure, request_id: str) -> Response:
    """Return the answer to a request that failed, in Anthropic's shape. Invalid requests are 400 there."""
    status = 400 if failure.status in (408, 409, 412, 415, 422) else failure.status
    kind = _TYPES.get(status, "invalid_request_error")
    error = {"type": kind, "message": failure.message}
    body = json.dumps({"type": "error", "error": error, "request_id": request_id})
    return Response(body, status, {**failure.headers, "request-id": request_id}, "application/json")


class SpendLimitEndpoints(Struct, frozen=True):
    """What is served below `/v1/organizations/spend_limits`."""

    transactions: Transactions

    async def set_limit(self, request: Request, body: SpendLimitCreate, _: IdempotencyKey = None) -> Response:
        """Create the limit of a user, or of each user of a team; or replace the one of the same scope and period."""
        return await self.transactions.change(request, lambda c, actor: spend_limits.set_limit(c, actor, body))

    async def list_limits(self, query: QueryOf[SpendLimitQuery]) -> Response:
        """List the limits in the order of their creation."""
        if query.after_id and query.before_id:
            raise Failure(400, "invalid_request", "name only one of after_id and before_id")
        return render(await self.transactions.read(lambda c: spend_limits.list_limits(c, **query.model_dump())))

    async def effective(self, query: QueryOf[EffectiveQuery]) -> Response:
        """List the limit of each user who has called in the period, and what the user has spent of it."""
        return render(
            await self.transactions.report(
                lambda c: spend_limits.effective_limits(
                    c, users=query.user_ids, periods=query.period, limit=query.limit, page=query.page
                )
            )
        )

    async def audit(self, query: QueryOf[ChangesQuery]) -> Response:
        """List the newest changes."""
        return render(await self.transactions.read(lambda c: spend_limits.audit_of_limits(c, limit=query.limit)))

    async def get_limit(self, spend_limit_id: LimitId) -> Response:
        """Read a limit by its id."""
        return render(await self.transactions.read(lambda c: spend_limits.get_limit(c, spend_limit_id)))

    async def delete_limit(self, request: Request, spend_limit_id: LimitId, _: IdempotencyKey = None) -> Response:
        """Delete a limit by its id."""

        async def delete(connection: AsyncConnection, actor: Actor) -> SpendLimitDeleted:
            await spend_limits.delete_limit(connection, actor, spend_limit_id)
            return SpendLimitDeleted(id=spend_limit_id)

        return await self.transactions.change(request, delete)


def spend_limit_router(transactions: Transactions, gate: Gate) -> APIRouter:
    """Return the endpoints. gate: with `render_for_anthropic`."""
    router = APIRouter(
        prefix="/v1/organizations/spend_limits",
        tags=["Administration"],
        route_class=gate.route_class(),
        responses={status: {"model": AnthropicError, "description": text} for status, text in _DESCRIPTIONS.items()},
    )
    serve = SpendLimitEndpoints(transactions)
    router.post("", summary="Set a spend limit", response_model=SpendLimit)(serve.set_limit)
    router.get("", summary="List spend limits", response_model=SpendLimitList)(serve.list_limits)
    router.get("/effective", summary="List the limits that apply to users", response_model=SpendSummaryList)(
        serve.effective
    )
    router.get("/audit", summary="List changes of spend limits", response_model=SpendLimitAudit)(serve.audit)
    router.get("/{spend_limit_id}", summary="Read a spend limit", response_model=SpendLimit)(serve.get_limit)
    router.delete("/{spend_limit_id}", summary="Delete a spend limit", response_model=SpendLimitDeleted)(
        serve.delete_limit
    )
    return router

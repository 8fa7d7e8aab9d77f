"""The endpoints of keys."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from msgspec import Struct
from pydantic import Field

from app.admin.api.documents.fields import Choice, Document, Text
from app.admin.api.documents.pages import DEFAULT_LIMIT, Cursor, Limit, Page
from app.admin.api.documents.teams_and_keys import CreatedKey, KeyChange, KeyCreate, KeyView, Rotation
from app.admin.api.operations import keys
from app.admin.api.routes.answers import error_responses, render
from app.admin.api.routes.parameters import CHANGE_ERRORS, IdempotencyKey, IfMatch, ObjectId, QueryOf
from app.admin.api.routes.transactions import Transactions, answer_of, revision_of

_NO_ROTATION = Rotation()


class KeyQuery(Document):
    """Which keys are listed."""

    team_id: Choice = Field("", description="The team that has them.")
    person: Choice = Field("", description="Who holds them.")
    search: Text = Field("", description="A part of their names, in any case.")
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = ""


class KeyEndpoints(Struct, frozen=True):
    """What is served below `/keys`. pepper: KEY_PEPPER."""

    transactions: Transactions
    pepper: bytes

    async def create_key(self, request: Request, body: KeyCreate, _: IdempotencyKey = None) -> Response:
        """Create a key of a team. The answer shows the `secret`, which cannot be read again."""
        return await self.transactions.change(
            request, lambda c, actor: keys.create_key(c, actor, body, self.pepper), 201
        )

    async def list_keys(self, query: QueryOf[KeyQuery]) -> Response:
        """List keys in the order of their creation, without secrets."""
        return render(await self.transactions.report(lambda c: keys.list_keys(c, **query.model_dump())))

    async def get_key(self, key_id: ObjectId) -> Response:
        """Read a key without its secret. Its `ETag` is for `If-Match` of a change."""
        return answer_of(await self.transactions.read(lambda c: keys.get_key(c, key_id)), 200)

    async def change_key(
        self, request: Request, key_id: ObjectId, body: KeyChange, if_match: IfMatch = None, _: IdempotencyKey = None
    ) -> Response:
        """Change the members that the body has. Limits, budgets and lists are replaced as a whole."""
        revision = revision_of(if_match)
        return await self.transactions.change(
            request, lambda c, actor: keys.change_key(c, actor, key_id, body, revision=revision)
        )

    async def rotate_key(
        self, request: Request, key_id: ObjectId, body: Rotation = _NO_ROTATION, _: IdempotencyKey = None
    ) -> Response:
        """Make a new `secret`, which cannot be read again. The one before is valid for `grace_seconds`."""
        return await self.transactions.change(
            request, lambda c, actor: keys.rotate_key(c, actor, key_id, self.pepper, body.grace_seconds)
        )

    async def revoke_key(self, request: Request, key_id: ObjectId, _: IdempotencyKey = None) -> Response:
        """End a key for good. Every replica refuses it within two seconds."""
        return await self.transactions.change(request, lambda c, actor: keys.revoke_key(c, actor, key_id))

    async def delete_key(
        self, request: Request, key_id: ObjectId, if_match: IfMatch = None, _: IdempotencyKey = None
    ) -> Response:
        """Delete a key; every replica refuses it within two seconds. Its usage and its entries in the ledger stay."""
        revision = revision_of(if_match)
        return await self.transactions.change(
            request, lambda c, actor: keys.delete_key(c, actor, key_id, revision=revision), 204
        )


def add_key_routes(router: APIRouter, transactions: Transactions, pepper: bytes) -> None:
    """Add the endpoints of keys. pepper: KEY_PEPPER."""
    serve = KeyEndpoints(transactions, pepper)
    router.post(
        "/keys",
        status_code=201,
        summary="Create a key",
        response_model=CreatedKey,
        responses=error_responses(*CHANGE_ERRORS),
    )(serve.create_key)
    router.get("/keys", summary="List keys", response_model=Page[KeyView])(serve.list_keys)
    router.get("/keys/{key_id}", summary="Read a key", response_model=KeyView, responses=error_responses(404))(
        serve.get_key
    )
    router.patch(
        "/keys/{key_id}",
        summary="Change a key",
        response_model=KeyView,
        responses=error_responses(*CHANGE_ERRORS, 404, 409, 412),
    )(serve.change_key)
    router.post(
        "/keys/{key_id}/rotate",
        summary="Replace the secret of a key",
        response_model=CreatedKey,
        responses=error_responses(*CHANGE_ERRORS, 404, 409),
    )(serve.rotate_key)
    router.post(
        "/keys/{key_id}/revoke",
        summary="Revoke a key",
        response_model=KeyView,
        responses=error_responses(404, 408, 413, 415),
    )(serve.revoke_key)
    router.delete(
        "/keys/{key_id}",
        status_code=204,
        summary="Delete a key",
        response_class=Response,
        responses=error_responses(404, 412),
    )(serve.delete_key)

"""The endpoints of teams."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from msgspec import Struct
from pydantic import Field

from app.admin.api.documents.fields import Choice, Document
from app.admin.api.documents.pages import DEFAULT_LIMIT, Cursor, Limit, Page
from app.admin.api.documents.teams_and_keys import TeamChange, TeamCreate, TeamView
from app.admin.api.operations import teams
from app.admin.api.routes.answers import error_responses, render
from app.admin.api.routes.parameters import CHANGE_ERRORS, IdempotencyKey, IfMatch, ObjectId, QueryOf
from app.admin.api.routes.transactions import Transactions, answer_of, revision_of


class TeamQuery(Document):
    """Which teams are listed."""

    name: Choice = Field("", description="The name of the only one that is wanted.")
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor = ""


class TeamEndpoints(Struct, frozen=True):
    """What is served below `/teams`."""

    transactions: Transactions

    async def create_team(self, request: Request, body: TeamCreate, _: IdempotencyKey = None) -> Response:
        """Create a team with its models, limits and budgets."""
        return await self.transactions.change(request, lambda c, actor: teams.create_team(c, actor, body), 201)

    async def list_teams(self, query: QueryOf[TeamQuery]) -> Response:
        """List teams in the order of their creation."""
        return render(await self.transactions.report(lambda c: teams.list_teams(c, **query.model_dump())))

    async def get_team(self, team_id: ObjectId) -> Response:
        """Read a team. Its `ETag` is for `If-Match` of a change."""
        return answer_of(await self.transactions.read(lambda c: teams.get_team(c, team_id)), 200)

    async def change_team(
        self,
        request: Request,
        team_id: ObjectId,
        body: TeamChange,
        if_match: IfMatch = None,
        _: IdempotencyKey = None,
    ) -> Response:
        """Change the members that the body has. Limits, budgets and lists are replaced as a whole."""
        revision = revision_of(if_match)
        return await self.transactions.change(
            request, lambda c, actor: teams.change_team(c, actor, team_id, body, revision=revision)
        )

    async def delete_team(
        self, request: Request, team_id: ObjectId, if_match: IfMatch = None, _: IdempotencyKey = None
    ) -> Response:
        """Delete a team without keys. Its usage and its entries in the ledger stay."""
        revision = revision_of(if_match)
        return await self.transactions.change(
            request, lambda c, actor: teams.delete_team(c, actor, team_id, revision=revision), 204
        )


def add_team_routes(router: APIRouter, transactions: Transactions) -> None:
    """Add the endpoints of teams."""
    serve = TeamEndpoints(transactions)
    router.post(
        "/teams",
        status_code=201,
        summary="Create a team",
        response_model=TeamView,
        responses=error_responses(*CHANGE_ERRORS, 409),
    )(serve.create_team)
    router.get("/teams", summary="List teams", response_model=Page[TeamView])(serve.list_teams)
    router.get("/teams/{team_id}", summary="Read a team", response_model=TeamView, responses=error_responses(404))(
        serve.get_team
    )
    router.patch(
        "/teams/{team_id}",
        summary="Change a team",
        response_model=TeamView,
        responses=error_responses(*CHANGE_ERRORS, 404, 409, 412),
    )(serve.change_team)
    router.delete(
        "/teams/{team_id}",
        status_code=204,
        summary="Delete a team",
        response_class=Response,
        responses=error_responses(404, 409, 412),
    )(serve.delete_team)

"""The pages of teams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.responses import Response

from app.admin.api.documents.teams_and_keys import TeamChange, TeamCreate
from app.admin.api.operations import teams
from app.admin.api.operations.failures import OperationRefused
from app.console.database import change, read
from app.console.page_spec import PageSpec
from app.console.pages.spend import budgets_of
from app.console.rule_fields import (
    LIMITS,
    FormFault,
    document_of,
    fault_of,
    fields_of,
    rules_of_form,
    value_of,
)
from app.console.saved_rules import save_rules
from app.console.visit import Form, Visit

if TYPE_CHECKING:
    from app.storage.database import AsyncConnection

TITLE = "Teams"
_PER_PAGE = 50
_FIELDS = ("name", "models", "amount_usd", "period", "action")


async def show_teams(visit: Visit) -> Response:
    """List teams, those with a part of their names if it is named."""
    search, cursor = visit.query("search").strip(), visit.query("cursor")
    page = await read(
        visit, lambda connection: teams.list_teams(connection, search=search, limit=_PER_PAGE, cursor=cursor)
    )
    query = urlencode({"search": search} if search else {})
    return visit.page("teams.html", TITLE, page=page, search=search, query=query, cursor=cursor)


async def show_form(visit: Visit) -> Response:
    """Show the form of a new team."""
    return _form(visit, {})


async def create(visit: Visit) -> Response:
    """Create a team."""
    form = await visit.form()
    try:
        body = document_of(TeamCreate, {**rules_of_form(form), "name": value_of(form, "name")})
        team = await change(visit, lambda connection, actor: teams.create_team(connection, actor, body))
    except FormFault as fault:
        return _form(visit, form, str(fault))
    except OperationRefused as error:
        return _form(visit, form, fault_of(error))
    return visit.redirect(f"/teams/{team.id}")


def _form(visit: Visit, form: Form, error: str = "") -> Response:
    values = {name: value_of(form, name) for name in (*LIMITS, *_FIELDS)}
    return visit.page("team_form.html", TITLE, 400 if error else 200, error=error, values=values, limits=LIMITS)


async def show_team(visit: Visit) -> Response:
    """Show one team."""
    return await _show(visit)


async def _show(visit: Visit, error: str = "", form: Form | None = None) -> Response:
    team_id = visit.request.path_params["id"]

    async def operation(connection: AsyncConnection) -> dict[str, Any]:
        team = await teams.get_team(connection, team_id)
        return {"team": team, **fields_of(team, form or {}), "budgets": await budgets_of(connection, team_id=team_id)}

    found = await read(visit, operation)
    return visit.page("team.html", TITLE, 400 if error else 200, error=error, limits=LIMITS, **found)


async def save(visit: Visit) -> Response:
    """Change limits, budget and models of a team."""
    return await save_rules(visit, TeamChange, teams.get_team, teams.change_team, _show)


async def delete(visit: Visit) -> Response:
    """Delete a team without keys."""
    await visit.form()
    team_id = visit.request.path_params["id"]
    try:
        await change(visit, lambda connection, actor: teams.delete_team(connection, actor, team_id))
    except OperationRefused as error:
        return await _show(visit, fault_of(error))
    return visit.redirect("/teams")


PAGES = (
    PageSpec("GET", "/teams", show_teams, TITLE),
    PageSpec("GET", "/teams/new", show_form, TITLE),
    PageSpec("POST", "/teams/new", create, TITLE),
    PageSpec("GET", "/teams/{id}", show_team, TITLE),
    PageSpec("POST", "/teams/{id}", save, TITLE),
    PageSpec("POST", "/teams/{id}/delete", delete, TITLE),
)

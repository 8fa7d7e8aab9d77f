"""The pages of keys."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.responses import Response

from app.admin.api.documents.teams_and_keys import CreatedKey, KeyChange, KeyCreate, TeamCreate
from app.admin.api.operations import keys, teams
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.failures import OperationRefused
from app.admin.api.operations.names import names_of_teams, teams_to_choose
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
from app.console.visit import Form, Refused, Visit

if TYPE_CHECKING:
    from app.storage.database import AsyncConnection

TITLE = "Keys"
_PER_PAGE = 50
_GRACES = ((0, "none"), (3600, "an hour"), (86_400, "a day"), (604_800, "a week"))
# the team of the first key, where there is none yet
FIRST_TEAM = "default"


async def show_keys(visit: Visit) -> Response:
    """List keys, those of one team or with a part of their names if it is named."""
    filters: dict[str, Any] = {"team_id": visit.query("team_id"), "search": visit.query("search").strip()}
    cursor = visit.query("cursor")

    async def operation(connection: AsyncConnection) -> dict[str, Any]:
        page = await keys.list_keys(connection, **filters, limit=_PER_PAGE, cursor=cursor)
        of_teams = await names_of_teams(connection, {key.team_id for key in page.data} | ({filters["team_id"]} - {""}))
        return {"page": page, "team_names": of_teams}

    found = await read(visit, operation)
    query = urlencode({name: value for name, value in filters.items() if value})
    return visit.page("keys.html", TITLE, **filters, query=query, cursor=cursor, **found)


async def show_form(visit: Visit) -> Response:
    """Show the form of a new key."""
    return await _form(visit, {"team_id": [visit.query("team_id")]})


async def create(visit: Visit) -> Response:
    """Create a key, and show its secret."""
    form = await visit.form()
    try:
        members = {
            **rules_of_form(form),
            "name": value_of(form, "name"),
            "team_id": value_of(form, "team_id"),
            "person": value_of(form, "person"),
            "expires_at": value_of(form, "expires_at") or None,
        }
        body = document_of(KeyCreate, members)
        created = await change(visit, partial(_create, body=body, pepper=visit.parts.settings.pepper()))
    except FormFault as fault:
        return await _form(visit, form, str(fault))
    except OperationRefused as error:
        return await _form(visit, form, fault_of(error))
    return _secret(visit, created)


async def _create(connection: AsyncConnection, actor: Actor, body: KeyCreate, pepper: bytes) -> CreatedKey:
    """Create a key, and its team if that is the first one."""
    if body.team_id == FIRST_TEAM:
        named = (await teams.list_teams(connection, name=FIRST_TEAM)).data
        team = named[0] if named else await teams.create_team(connection, actor, TeamCreate(name=FIRST_TEAM))
        body = body.model_copy(update={"team_id": team.id})
    return await keys.create_key(connection, actor, body, pepper)


async def _form(visit: Visit, form: Form, error: str = "") -> Response:
    values = {name: value_of(form, name) for name in (*LIMITS, *_FIELDS)}
    choices = await read(visit, lambda connection: teams_to_choose(connection, values["team_id"]))
    return visit.page(
        "key_form.html",
        TITLE,
        400 if error else 200,
        error=error,
        values=values,
        choices=choices or [(FIRST_TEAM, f"{FIRST_TEAM} (new)")],
        limits=LIMITS,
    )


_FIELDS = ("name", "team_id", "person", "expires_at", "models", "amount_usd", "period", "action")


def _secret(visit: Visit, created: CreatedKey) -> Response:
    return visit.page(
        "key_secret.html",
        TITLE,
        key=created,
        base=visit.base,
        model=visit.parts.gateway.executor.planner.known_as(""),
        region=visit.parts.settings.aws_region,
    )


async def show_key(visit: Visit) -> Response:
    """Show one key."""
    return await _show(visit)


async def _show(visit: Visit, error: str = "", form: Form | None = None) -> Response:
    key_id = visit.request.path_params["id"]

    async def operation(connection: AsyncConnection) -> dict[str, Any]:
        key = await keys.get_key(connection, key_id)
        names = await names_of_teams(connection, {key.team_id})
        return {
            "key": key,
            **fields_of(key, form or {}),
            "team": names.get(key.team_id, key.team_id),
            "budgets": await budgets_of(connection, key_id=key_id),
        }

    found = await read(visit, operation)
    return visit.page("key.html", TITLE, 400 if error else 200, error=error, graces=_GRACES, limits=LIMITS, **found)


async def save(visit: Visit) -> Response:
    """Change limits, budget and models of a key."""
    return await save_rules(visit, KeyChange, keys.get_key, keys.change_key, _show)


async def rotate(visit: Visit) -> Response:
    """Replace the secret of a key, and show the new one."""
    form = await visit.form()
    grace = value_of(form, "grace_seconds")
    if grace not in {str(seconds) for seconds, _ in _GRACES}:
        raise Refused(400, "The time of grace is none of those that the form offers.")
    key_id, pepper = visit.request.path_params["id"], visit.parts.settings.pepper()
    try:
        created = await change(
            visit, lambda connection, actor: keys.rotate_key(connection, actor, key_id, pepper, int(grace))
        )
    except OperationRefused as error:
        return await _show(visit, fault_of(error))
    return _secret(visit, created)


async def revoke(visit: Visit) -> Response:
    """End a key for good."""
    await visit.form()
    key_id = visit.request.path_params["id"]
    await change(visit, lambda connection, actor: keys.revoke_key(connection, actor, key_id))
    return visit.redirect(f"/keys/{key_id}")


PAGES = (
    PageSpec("GET", "/keys", show_keys, TITLE),
    PageSpec("GET", "/keys/new", show_form, TITLE),
    PageSpec("POST", "/keys/new", create, TITLE),
    PageSpec("GET", "/keys/{id}", show_key, TITLE),
    PageSpec("POST", "/keys/{id}", save, TITLE),
    PageSpec("POST", "/keys/{id}/rotate", rotate, TITLE),
    PageSpec("POST", "/keys/{id}/revoke", revoke, TITLE),
)

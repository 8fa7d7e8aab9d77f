"""Operations on teams."""

from __future__ import annotations

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.pages import DEFAULT_LIMIT, Page
from app.admin.api.documents.teams_and_keys import TeamChange, TeamCreate, TeamView
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.audit import record_change
from app.admin.api.operations.failures import Conflict
from app.admin.api.operations.paging import page_of, read_cursor
from app.admin.api.operations.rules import Rules, remove_rules, rules_of
from app.admin.api.operations.scoped import (
    apply_change,
    check_tokens,
    columns_of,
    find,
    name_taken,
    rules_of_one,
    store_rules,
    view_of,
)
from app.storage import repository
from app.storage.key_changes import touched
from app.storage.records import Team


async def create_team(connection: AsyncConnection, actor: Actor, body: TeamCreate) -> TeamView:
    """Add a team.

    Raises:
        Conflict: the name is taken. Invalid: members contradict each other.
    """
    team = Team(**columns_of(body))
    check_tokens(team)
    try:
        await repository.teams.add(connection, team)
    except repository.Conflict:
        raise name_taken(team.name) from None
    await store_rules(connection, team, body)
    # tokens may name it already
    await touched(connection, team)
    after = await get_team(connection, team.id)
    await record_change(connection, actor, "team.create", team.id, after=after)
    return after


async def get_team(connection: AsyncConnection, team_id: str) -> TeamView:
    """Return a team. Raises NotFound."""
    team = await find(connection, repository.teams, team_id)
    return _view(team, await rules_of_one(connection, "team", team_id))


async def list_teams(
    connection: AsyncConnection, *, name: str = "", search: str = "", limit: int = DEFAULT_LIMIT, cursor: str = ""
) -> Page[TeamView]:
    """List teams in the order of their creation.

    Args:
        name: of the only one that is wanted. search: a part of the name, in any case.

    Raises:
        Invalid: the cursor is of no page.
    """
    after = str(read_cursor(cursor, str)[0]) if cursor else ""
    columns = repository.teams.table.c
    conditions = [columns.name == name] if name else []
    conditions += [func.lower(columns.name).contains(search.lower(), autoescape=True)] if search else []
    found = await repository.teams.find(connection, *conditions, after=after, limit=limit + 1)
    page, next_cursor = page_of(found, limit, lambda last: [last.id])
    rules = await rules_of(connection, "team", [each.id for each in page])
    return Page(data=[_view(each, rules[each.id]) for each in page], next_cursor=next_cursor)


async def change_team(
    connection: AsyncConnection, actor: Actor, team_id: str, body: TeamChange, *, revision: int | None = None
) -> TeamView:
    """Change the members of a team that the body has. revision: that the administrator has read, if any.

    Raises:
        NotFound, Outdated, Conflict or Invalid: see `create_team`.
    """
    before = await find(connection, repository.teams, team_id, revision=revision, lock=True)
    rules = await rules_of_one(connection, "team", team_id)
    changed = await apply_change(connection, repository.teams, before, columns_of(body))
    await store_rules(connection, changed, body, rules)
    await touched(connection, changed)
    after = await get_team(connection, team_id)
    await record_change(connection, actor, "team.change", team_id, before=_view(before, rules), after=after)
    return after


async def delete_team(connection: AsyncConnection, actor: Actor, team_id: str, *, revision: int | None = None) -> None:
    """Delete a team with its limits and budgets. Its usage and its entries in the ledger stay.

    Raises:
        NotFound or Outdated: see `change_team`. Conflict: it has keys.
    """
    team = await find(connection, repository.teams, team_id, revision=revision, lock=True)
    before = _view(team, await rules_of_one(connection, "team", team_id))
    if await repository.keys.find(connection, repository.keys.table.c.team_id == team_id, limit=1):
        raise Conflict("the team has keys: delete them first")
    await remove_rules(connection, team)
    try:
        await repository.teams.remove(connection, team_id)
    except repository.Conflict:
        raise Conflict("the team has keys: delete them first") from None
    await touched(connection, team)
    await record_change(connection, actor, "team.delete", team_id, before=before)


def _view(team: Team, rules: Rules) -> TeamView:
    return TeamView(**view_of(team, rules), status=team.status)

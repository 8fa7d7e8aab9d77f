"""Teams that the rules of the configuration name: found by name or id, and by another name after a change."""

import asyncio

from app.admin.api.documents.teams_and_keys import TeamChange, TeamCreate
from app.admin.api.operations import teams
from app.admin.api.operations.actor import Actor
from app.errors import AuthenticationFailed, PermissionRefused
from app.governance.identity.claim_rules import Identity
from app.governance.identity.team_policies import TeamPolicies
from app.storage.database import Database
from tests.governance.test_virtual_keys import directory_of
from tests.waiting import SECONDS

ACTOR = Actor("key:ops")


async def team_of(policies: TeamPolicies, name: str) -> str:
    """Return the id of the team that a caller gets; empty if it is refused."""
    identity = Identity("oidc/corp/alice", "alice", name)
    try:
        caller = policies.find(identity) or await policies.load(identity)
    except (AuthenticationFailed, PermissionRefused):
        return ""
    assert caller.policy is not None
    return caller.policy.team_id


async def until_team(policies: TeamPolicies, name: str, team_id: str) -> None:
    async with asyncio.timeout(SECONDS):
        while await team_of(policies, name) != team_id:
            await asyncio.sleep(0.01)


async def create(database: Database, name: str) -> str:
    async with database.begin() as connection:
        return (await teams.create_team(connection, ACTOR, TeamCreate(name=name))).id


async def test_changes_of_names_are_heard_of(database: Database) -> None:
    async with directory_of(database) as directory:
        # by its clock, a name is believed for ever
        policies = TeamPolicies(database, directory, clock=lambda: 0.0)
        assert await team_of(policies, "research") == ""
        first = await create(database, "research")
        await until_team(policies, "research", first)
        assert await team_of(policies, first) == first
        async with database.begin() as connection:
            await teams.change_team(connection, ACTOR, first, TeamChange(name="former"))
        second = await create(database, "research")
        await until_team(policies, "research", second)
        await until_team(policies, "former", first)
        async with database.begin() as connection:
            await teams.delete_team(connection, ACTOR, second)
        await until_team(policies, "research", "")

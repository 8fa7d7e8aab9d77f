"""Finds what the team of a verified identity allows. The rules of the configuration name teams by name or by id."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

from app.errors import Overloaded, PermissionRefused
from app.governance.identity.caller import Caller, Policy
from app.governance.identity.claim_rules import Identity
from app.storage import tables
from app.storage.database import Database, DatabaseDown
from app.storage.repository import teams

# how long the id of a name is believed, in case a change was not heard of
_NAME_SECONDS = 10.0
_MAX_NAMES = 10_000
_READ_SECONDS = 1.5


class Teams(Protocol):
    """What `KeyDirectory` knows of teams."""

    @property
    def team_changes(self) -> int:
        """How often a team was made, changed or deleted, as far as this process has heard."""
        ...

    def policy_of_team(self, team_id: str, person: str = "", labels: Mapping[str, str] = {}) -> Policy | None:
        """Return a policy from memory; None if the team has to be loaded. Raises AuthenticationFailed."""
        ...

    async def load_policy_of_team(self, team_id: str, person: str = "", labels: Mapping[str, str] = {}) -> Policy:
        """Return a policy; reads the team. Raises AuthenticationFailed, Overloaded."""
        ...


class TeamPolicies:
    """Makes callers of identities. clock: seconds that never go back."""

    def __init__(self, database: Database, directory: Teams, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock
        # the id of each name, empty if there is none, until when that is believed, and how often teams had changed;
        # the least recent first
        self._ids: OrderedDict[str, tuple[str, float, int]] = OrderedDict()

    def find(self, identity: Identity) -> Caller | None:
        """Return the caller, from memory. None if it has to be loaded.

        Raises:
            AuthenticationFailed: the team is blocked or does not exist. PermissionRefused: there is no team.
        """
        team_id = self._known_id(identity)
        policy = self._directory.policy_of_team(team_id, identity.person, identity.labels) if team_id else None
        return Caller(identity.name, policy) if policy is not None else None

    async def load(self, identity: Identity) -> Caller:
        """Return the caller.

        Raises:
            AuthenticationFailed, PermissionRefused: as `find`. Overloaded: the database does not answer.
        """
        team_id = self._known_id(identity) or await self._read_id(identity.team)
        policy = await self._directory.load_policy_of_team(team_id, identity.person, identity.labels)
        return Caller(identity.name, policy)

    def _known_id(self, identity: Identity) -> str:
        """Return the id of a team if it is known, else an empty string."""
        if not identity.team:
            raise PermissionRefused("no rule of this deployment gives you a team: ask its operator")
        team_id, ends, changes = self._ids.get(identity.team, ("", 0.0, 0))
        if self._clock() >= ends or changes != self._directory.team_changes:
            return ""
        if not team_id:
            raise _no_team(identity.team)
        return team_id

    async def _read_id(self, team: str) -> str:
        is_it = (tables.teams.c.id == team) | (tables.teams.c.name == team)
        # of before the read, which may miss what is heard of during it
        changes = self._directory.team_changes
        try:
            async with asyncio.timeout(_READ_SECONDS), self._database.begin(reads=True) as connection:
                found = await teams.find(connection, is_it)
        except (DatabaseDown, TimeoutError):
            raise Overloaded("teams cannot be read now: the database does not answer", detail="database") from None
        # the name of one team may be the id of another
        by_id = sorted(found, key=lambda each: each.id != team)
        team_id = by_id[0].id if by_id else ""
        self._ids[team] = team_id, self._clock() + _NAME_SECONDS, changes
        self._ids.move_to_end(team)
        if len(self._ids) > _MAX_NAMES:
            self._ids.popitem(last=False)
        if not team_id:
            raise _no_team(team)
        return team_id


def _no_team(team: str) -> PermissionRefused:
    return PermissionRefused(f"you belong to the team {team}, which does not exist here: ask the operator to create it")

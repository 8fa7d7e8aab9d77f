"""Reads keys and teams with all that applies to their calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import Column, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.records import Budget, Key, KeySecret, Limit, Team
from app.storage.tables import budgets, key_secrets, keys, limits, teams

Record = TypeVar("Record", bound=Struct)


class TeamRows(Struct, frozen=True):
    """A team with its limits and budgets."""

    team: Team
    limits: tuple[Limit, ...]
    budgets: tuple[Budget, ...]


class KeyRows(Struct, frozen=True):
    """A key with its secrets, its own limits and budgets, and its team."""

    key: Key
    secrets: tuple[KeySecret, ...]
    limits: tuple[Limit, ...]
    budgets: tuple[Budget, ...]
    of_team: TeamRows


async def read_keys(connection: AsyncConnection, identifiers: Collection[str]) -> Mapping[str, KeyRows]:
    """Return the keys that exist, by id."""
    found = [Key(**row) for row in await _rows(connection, keys, keys.c.id, identifiers)]
    if not found:
        return {}
    of_teams = await read_teams(connection, {key.team_id for key in found})
    ids = [key.id for key in found]
    secrets = _grouped(KeySecret, "key_id", await _rows(connection, key_secrets, key_secrets.c.key_id, ids))
    own_limits, own_budgets = await _rules(connection, "key", ids)
    return {
        key.id: KeyRows(
            key,
            tuple(secrets.get(key.id, ())),
            tuple(own_limits.get(key.id, ())),
            tuple(own_budgets.get(key.id, ())),
            of_teams[key.team_id],
        )
        for key in found
        if key.team_id in of_teams
    }


async def read_teams(connection: AsyncConnection, identifiers: Collection[str]) -> Mapping[str, TeamRows]:
    """Return the teams that exist, by id."""
    found = [Team(**row) for row in await _rows(connection, teams, teams.c.id, identifiers)]
    own_limits, own_budgets = await _rules(connection, "team", [team.id for team in found])
    return {
        team.id: TeamRows(team, tuple(own_limits.get(team.id, ())), tuple(own_budgets.get(team.id, ())))
        for team in found
    }


async def _rules(
    connection: AsyncConnection, scope: str, identifiers: Collection[str]
) -> tuple[dict[str, list[Limit]], dict[str, list[Budget]]]:
    """Return the limits and the budgets of teams or of keys, by their ids."""
    of_limits = await _rows(connection, limits, limits.c.scope_id, identifiers, scope)
    of_budgets = await _rows(connection, budgets, budgets.c.scope_id, identifiers, scope)
    return _grouped(Limit, "scope_id", of_limits), _grouped(Budget, "scope_id", of_budgets)


async def _rows(
    connection: AsyncConnection, table: Table, column: Column[Any], values: Collection[str], scope: str = ""
) -> Sequence[Mapping[str, Any]]:
    if not values:
        return ()
    query = select(table).where(column.in_(values)).order_by(table.c.id)
    rows = await connection.execute(query.where(table.c.scope == scope) if scope else query)
    return [row._asdict() for row in rows]


def _grouped(record: type[Record], column: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Record]]:
    grouped: dict[str, list[Record]] = {}
    for row in rows:
        grouped.setdefault(row[column], []).append(record(**row))
    return grouped

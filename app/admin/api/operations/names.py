"""The names of teams and keys, for lists that hold their ids."""

from collections.abc import Collection, Mapping

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage import tables

# people cannot choose from a longer list
_MAX_TEAMS = 500


async def names_of_teams(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, str]:
    """Return the names of teams by their ids. Those that were deleted have none."""
    return await _names(connection, tables.teams, ids)


async def names_of_keys(connection: AsyncConnection, ids: Collection[str]) -> Mapping[str, str]:
    """Return the names of keys by their ids. Those that were deleted have none."""
    return await _names(connection, tables.keys, ids)


async def teams_to_choose(connection: AsyncConnection, chosen: str) -> list[tuple[str, str]]:
    """Return the ids and names of the oldest teams and the chosen one, sorted by name."""
    query = select(tables.teams.c.id, tables.teams.c.name).order_by(tables.teams.c.id).limit(_MAX_TEAMS)
    found = {row.id: row.name for row in await connection.execute(query)}
    found |= await names_of_teams(connection, {chosen} - {"", *found})
    return sorted(found.items(), key=lambda each: each[1].lower())


async def _names(connection: AsyncConnection, table: Table, ids: Collection[str]) -> Mapping[str, str]:
    if not ids:
        return {}
    query = select(table.c.id, table.c.name).where(table.c.id.in_(ids))
    return {row.id: row.name for row in await connection.execute(query)}

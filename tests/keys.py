"""Teams and virtual keys for tests, written as the admin API writes them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from app.config.database_url import parse_database_url
from app.governance.identity.key_secrets import new_secret
from app.storage.database import Database
from app.storage.key_changes import touched
from app.storage.records import Key, Team, new_id
from app.storage.repository import key_secrets, keys, teams
from app.storage.schema import prepare_schema

T = TypeVar("T")

PEPPER = "a pepper of at least thirty-two letters"


async def add_team(database: Database, **more: Any) -> Team:
    team = Team(**{"name": f"team {new_id()}", **more})
    async with database.begin() as connection:
        await teams.add(connection, team)
        await touched(connection, team)
    return team


async def add_key(database: Database, team: Team, **more: Any) -> tuple[str, Key]:
    """Add a key; return its secret, too."""
    key = Key(name="ci", team_id=team.id, **more)
    text, secret = new_secret(key.id, PEPPER.encode())
    async with database.begin() as connection:
        await keys.add(connection, key)
        await key_secrets.add(connection, secret)
        await touched(connection, key)
    return text, key


async def change_key(database: Database, key: Key, **changes: Any) -> Key:
    async with database.begin() as connection:
        changed = await keys.change(connection, key, **changes)
        assert changed is not None
        await touched(connection, changed)
    return changed


async def change_team(database: Database, team: Team, **changes: Any) -> Team:
    async with database.begin() as connection:
        changed = await teams.change(connection, team, **changes)
        assert changed is not None
        await touched(connection, changed)
    return changed


@contextlib.asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(parse_database_url(url))
    try:
        await prepare_schema(database, migrate=False)
        yield database
    finally:
        await database.close()


def within(url: str, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """Run work on a database whose schema is set up, for tests whose gateway runs elsewhere."""

    async def run() -> T:
        async with _opened(url) as database:
            return await work(database)

    return asyncio.run(run())


def new_key(url: str, *, of_team: dict[str, Any] | None = None, **more: Any) -> tuple[str, Key]:
    """Add a team with one key; return the secret and the key."""

    async def add(database: Database) -> tuple[str, Key]:
        return await add_key(database, await add_team(database, **(of_team or {})), **more)

    return within(url, add)

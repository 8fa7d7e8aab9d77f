"""Runs operations of the admin API for pages: each in one transaction, and within a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from app.admin.api.operations.actor import Actor
from app.console.visit import Refused, Visit
from app.storage.bounded import Result, report, soon

if TYPE_CHECKING:
    from app.storage.database import AsyncConnection, Database


async def read(visit: Visit, operation: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    """Run an operation that only reads.

    Raises:
        DatabaseDown: the database cannot be reached, or does not answer in time.
    """
    return await report(_database(visit), operation)


async def change(visit: Visit, operation: Callable[[AsyncConnection, Actor], Awaitable[Result]]) -> Result:
    """Run an operation that changes something, in the name of the administrator. Raises as `read` does."""
    actor, database = Actor(visit.who.actor, visit.client, visit.request_id), _database(visit)

    async def run() -> Result:
        async with database.begin() as connection:
            return await operation(connection, actor)

    return await soon(run())


def _database(visit: Visit) -> Database:
    database = visit.parts.database
    if database is None:
        raise Refused(404, "This gateway has no database: set DATABASE_URL.")
    return database

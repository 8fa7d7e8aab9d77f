"""Runs operations of the admin API for pages: each in one transaction, and within a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from app.admin.api.operations.actor import Actor
from app.console.visit import Refused, Visit
from app.storage.database_down import DatabaseDown

if TYPE_CHECKING:
    from app.storage.database import AsyncConnection, Database

# a form must not hang, and a report may read many rows
_CHANGE_SECONDS = 2.0
_READ_SECONDS = 15.0
Result = TypeVar("Result")


async def read(visit: Visit, operation: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    """Run an operation that only reads.

    Raises:
        DatabaseDown: the database cannot be reached, or does not answer in time.
    """
    return await _within(_READ_SECONDS, _run(_database(visit), operation, reads=True))


async def change(visit: Visit, operation: Callable[[AsyncConnection, Actor], Awaitable[Result]]) -> Result:
    """Run an operation that changes something, in the name of the administrator. Raises as `read` does."""
    actor = Actor(visit.who.actor, visit.client, visit.request_id)
    return await _within(_CHANGE_SECONDS, _run(_database(visit), lambda opened: operation(opened, actor)))


def _database(visit: Visit) -> Database:
    database = visit.parts.database
    if database is None:
        raise Refused(404, "This gateway has no database: set DATABASE_URL.")
    return database


async def _run(
    database: Database, operation: Callable[[AsyncConnection], Awaitable[Result]], *, reads: bool = False
) -> Result:
    async with database.begin(reads=reads) as connection:
        return await operation(connection)


async def _within(seconds: float, running: Awaitable[Result]) -> Result:
    try:
        async with asyncio.timeout(seconds):
            return await running
    except TimeoutError:
        raise DatabaseDown(f"no answer within {seconds:g} seconds") from None

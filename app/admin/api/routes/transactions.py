"""Runs operations in transactions, within a time, and once for each idempotency key."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from fastapi import Request, Response
from msgspec import Struct
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from app.admin.api.documents.teams_and_keys import KeyView, TeamView
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.failures import Fault, Invalid, Outdated
from app.admin.api.routes.answers import render
from app.admin.api.routes.gate import actor_of
from app.admin.api.routes.idempotency import StoredAnswers
from app.storage.database import Database, DatabaseDown

_WAIT_SECONDS = 1.8
# a report reads more rows; its database has answered within the shorter time before
_REPORT_SECONDS = 15.0
_REVISION = re.compile(r'"([0-9]{1,9})"\Z')

Result = TypeVar("Result")
Change = Callable[[AsyncConnection, Actor], Awaitable[BaseModel | None]]


class Transactions(Struct, frozen=True):
    """Runs operations.

    database: for administrators only, so that their reports take no connection from requests. stored: answers of
    requests that may be sent again.
    """

    database: Database
    stored: StoredAnswers

    async def read(self, operation: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Run an operation that only reads. Raises DatabaseDown."""
        async with _within(_WAIT_SECONDS), self.database.begin(reads=True) as connection:
            return await operation(connection)

    async def report(self, operation: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Run an operation that may read many rows. Raises DatabaseDown: soon, if the database does not answer."""
        async with contextlib.AsyncExitStack() as opened:
            async with _within(_WAIT_SECONDS):
                connection = await opened.enter_async_context(self.database.begin(reads=True))
                await connection.exec_driver_sql("select 1")
            async with _within(_REPORT_SECONDS):
                return await operation(connection)

    async def change(self, request: Request, operation: Change, status: int = 200) -> Response:
        """Run an operation that changes something, and return its answer once it is committed.

        Raises:
            DatabaseDown: it is not known whether it was committed, if the connection was lost at the end.
        """
        actor = actor_of(request)

        async def change(connection: AsyncConnection) -> Response:
            return answer_of(await operation(connection, actor), status)

        async with _within(_WAIT_SECONDS):
            if "idempotency-key" in request.headers:
                return await self.stored.once(self.database, actor, request, change)
            async with self.database.begin() as connection:
                return await change(connection)


def answer_of(document: BaseModel | None, status: int) -> Response:
    """Return the answer with a document, with the ETag of a team or a key."""
    if document is None:
        return Response(status_code=204)
    headers = {"etag": f'"{document.revision}"'} if isinstance(document, TeamView | KeyView) else {}
    return render(document, status, headers)


def revision_of(if_match: str | None) -> int | None:
    """Return the revision that `If-Match` names; None if any will do.

    Raises:
        Invalid: it is no ETag. Outdated: it is one that no revision has.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = [each.strip() for each in if_match.split(",")]
    if len(tags) != 1 or not tags[0].strip('W/"'):
        raise Invalid(Fault("If-Match", 'must be one ETag, such as "3"'))
    match = _REVISION.match(tags[0])
    if match is None:
        raise Outdated("If-Match is the ETag of no revision")
    return int(match[1])


@contextlib.asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DatabaseDown(f"the database did not answer within {seconds:g} seconds") from None

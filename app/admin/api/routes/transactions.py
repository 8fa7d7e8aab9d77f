"""Runs operations in transactions, within a time, and once for each idempotency key."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from msgspec import Struct
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.admin.api.documents.teams_and_keys import KeyView, TeamView
from app.admin.api.operations.actor import Actor
from app.admin.api.operations.failures import Fault, Invalid, Outdated
from app.admin.api.routes.answers import render
from app.admin.api.routes.gate import actor_of
from app.admin.api.routes.idempotency import StoredAnswers
from app.storage.bounded import Result, report, soon
from app.storage.database import Database

_REVISION = re.compile(r'"([0-9]{1,9})"\Z')

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

        async def run() -> Result:
            async with self.database.begin(reads=True) as connection:
                return await operation(connection)

        return await soon(run())

    async def report(self, operation: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Run an operation that may read many rows. Raises DatabaseDown: soon, if the database does not answer."""
        return await report(self.database, operation)

    async def change(self, request: Request, operation: Change, status: int = 200) -> Response:
        """Run an operation that changes something, and return its answer once it is committed.

        Raises:
            DatabaseDown: it is not known whether it was committed, if the connection was lost at the end.
        """
        actor = actor_of(request)

        async def change(connection: AsyncConnection) -> Response:
            return answer_of(await operation(connection, actor), status)

        async def run() -> Response:
            if "idempotency-key" in request.headers:
                return await self.stored.once(self.database, actor, request, change)
            async with self.database.begin() as connection:
                return await change(connection)

        return await soon(run())


def answer_of(document: BaseModel | None, status: int) -> Response:
    """Return the answer with a document, with the ETag of a team or a key."""
    if document is None:
        return Response(status_code=204)
    headers = {"etag": f'"{document.revision}"'} if isinstance(document, TeamView | KeyView) else {}
    return render(document, status, headers)


def revision_of(if_match: str | None) -> int | None:
    """Return the revision that `If-Match` names; None if any will do.

    Raises:
        Invalid: it is not an ETag. Outdated: it is one that no revision has.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = [each.strip() for each in if_match.split(",")]
    if len(tags) != 1 or not tags[0].strip('W/"'):
        raise Invalid(Fault("If-Match", 'must be one ETag, such as "3"'))
    match = _REVISION.match(tags[0])
    if match is None:
        raise Outdated('If-Match is the ETag of no revision: send it as it was read, with its quotes, such as "3"')
    return int(match[1])

"""Runs operations in transactions, within a time, and once for each idempotency key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

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

        async def run() -> Result:
            async with self.database.begin(reads=True) as connection:
                return await operation(connection)

        return await _within(_WAIT_SECONDS, run())

    async def report(self, operation: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Run an operation that may read many rows. Raises DatabaseDown: soon, if the database does not answer."""
        answers = asyncio.Event()

        async def run() -> Result:
            async with self.database.begin(reads=True) as connection:
                await connection.exec_driver_sql("select 1")
                answers.set()
                return await operation(connection)

        return await _within(_WAIT_SECONDS, run(), answers)

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

        return await _within(_WAIT_SECONDS, run())


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


# operations that are given up, until their connections are closed
_given_up: set[asyncio.Task[Any]] = set()


async def _within(
    seconds: float, operation: Coroutine[Any, Any, Result], answers: asyncio.Event | None = None
) -> Result:
    """Run an operation for some seconds at most; for longer once the database `answers`.

    A connection that does not answer takes as long again to be closed, and nobody waits for that.

    Raises:
        DatabaseDown: it takes longer.
    """
    task = asyncio.create_task(operation)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done() and answers is not None and answers.is_set():
            seconds = _REPORT_SECONDS
            await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
    finally:
        if not task.done():
            task.cancel()
            _given_up.add(task)
            task.add_done_callback(_forget)
    raise DatabaseDown(f"the database did not answer within {seconds:g} seconds")


def _forget(task: asyncio.Task[Any]) -> None:
    _given_up.discard(task)
    if not task.cancelled():
        task.exception()

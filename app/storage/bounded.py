"""Bounds how long requests and commands wait for the database, whatever it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from app.storage.database_down import DatabaseDown

if TYPE_CHECKING:
    from sqlalchemy import Row, Select

    from app.storage.database import AsyncConnection, Database

# of two seconds, so that there is time for the rest of a request on a busy machine
_WAIT_SECONDS = 1.5
# a report reads more rows; its database has answered within the shorter time before
_REPORT_SECONDS = 15.0
# longer than the server runs a statement
_FETCH_SECONDS = 40.0
_FETCHED_ROWS = 1_000

Result = TypeVar("Result")
# operations that are given up, until their connections are closed
_given_up: set[asyncio.Task[Any]] = set()


async def soon(operation: Coroutine[Any, Any, Result]) -> Result:
    """Run an operation. Raises DatabaseDown: it takes longer than a moment."""
    return await _within(_WAIT_SECONDS, operation)


async def report(database: Database, operation: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    """Run an operation that may read many rows. Raises DatabaseDown: soon, if the database does not answer."""
    answers = asyncio.Event()

    async def run() -> Result:
        async with database.begin(reads=True) as connection:
            await connection.exec_driver_sql("select 1")
            answers.set()
            return await operation(connection)

    return await _within(_WAIT_SECONDS, run(), answers)


async def rows_of(connection: AsyncConnection, query: Select[Any]) -> AsyncIterator[Row[Any]]:
    """Yield the rows of a query, without holding them in memory. Whoever takes them may be slow.

    Raises:
        DatabaseDown: the next rows do not arrive.
    """
    try:
        async with asyncio.timeout(_FETCH_SECONDS):
            found = await connection.stream(query)
        parts = found.partitions(_FETCHED_ROWS)
        while True:
            async with asyncio.timeout(_FETCH_SECONDS):
                rows = await anext(parts, ())
            if not rows:
                return
            for row in rows:
                yield row
    except TimeoutError:
        raise DatabaseDown(f"the database sent no rows for {_FETCH_SECONDS:g} seconds") from None


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

"""Reads rows of the database for requests that wait for them: many at once, and none for longer than a moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

from app.errors import Overloaded
from app.storage.database import AsyncConnection, Database, DatabaseDown

_log = logging.getLogger(__name__)
T = TypeVar("T")

# less than two seconds together, whatever the database does
_READ_SECONDS = 1.5
_WAIT_SECONDS = 1.8
_DOWN_SECONDS = 0.5
_MAX_BATCH = 200
_MAX_WAITING = 10_000
_DOWN = "API keys cannot be checked now: the database does not answer"


class RowReader(Generic[T]):
    """Reads rows by id, one batch after the other.

    Args:
        read: reads those of some ids that exist. keep: called with each id and its row; None if there is none.
        owners_of: returns the ids of the key and the team that a row tells of.
    """

    def __init__(
        self,
        database: Database,
        read: Callable[[AsyncConnection, Collection[str]], Awaitable[Mapping[str, T]]],
        keep: Callable[[str, T | None], None],
        owners_of: Callable[[T], Collection[str]],
    ) -> None:
        self._database = database
        self._read = read
        self._keep = keep
        self._owners_of = owners_of
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._changed: set[str] = set()
        self._down_until = 0.0
        self._task: asyncio.Task[None] | None = None

    async def read(self, identifier: str) -> None:
        """Read a row. Raises Overloaded: the database does not answer."""
        if asyncio.get_running_loop().time() < self._down_until:
            raise Overloaded(_DOWN, detail="database")
        future = self.request(identifier)
        if future is None:
            raise Overloaded(_DOWN, detail="too many keys are being read")
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await asyncio.shield(future)
        except (DatabaseDown, TimeoutError):
            raise Overloaded(_DOWN, detail="database") from None

    def request(self, identifier: str) -> asyncio.Future[None] | None:
        """Have a row read soon. Returns what is done then; None if too many are waited for."""
        future = self._waiting.get(identifier)
        if future is None:
            if len(self._waiting) >= _MAX_WAITING:
                return None
            future = self._waiting[identifier] = asyncio.get_running_loop().create_future()
            # nobody may wait for it
            future.add_done_callback(_drop_error)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read_all(), name="keys")
        return future

    def note_change(self, identifier: str) -> None:
        """Do not keep what is being read of a key or a team: it has changed since."""
        if self._waiting:
            self._changed.add(identifier)

    async def close(self) -> None:
        """End what is being read."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read_all(self) -> None:
        while self._waiting:
            batch = [*self._waiting][:_MAX_BATCH]
            self._changed.clear()
            try:
                found = await self._read_batch(batch)
            except Exception as error:  # noqa: BLE001 -- requests wait for it
                if not isinstance(error, DatabaseDown | TimeoutError):
                    _log.exception("keys could not be read")
                self._down_until = asyncio.get_running_loop().time() + _DOWN_SECONDS
                for identifier in batch:
                    self._end(identifier, DatabaseDown(type(error).__name__))
                continue
            for identifier in batch:
                row = found.get(identifier)
                if self._changed.isdisjoint({identifier, *(() if row is None else self._owners_of(row))}):
                    self._keep(identifier, row)
                    self._end(identifier)
                # else it is read again

    async def _read_batch(self, batch: Collection[str]) -> Mapping[str, T]:
        async with asyncio.timeout(_READ_SECONDS):
            try:
                async with self._database.begin(reads=True) as connection:
                    return await self._read(connection, batch)
            except DatabaseDown:
                # the connection may have been lost while nobody used it
                async with self._database.begin(reads=True) as connection:
                    return await self._read(connection, batch)

    def _end(self, identifier: str, error: DatabaseDown | None = None) -> None:
        future = self._waiting.pop(identifier)
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(None)


def _drop_error(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()

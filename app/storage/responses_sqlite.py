"""Answers in a file of SQLite's, which all processes of one machine share and which outlives them."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from app.errors import Overloaded

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

_TABLE = """
create table if not exists responses (
    owner text not null, id text not null, until real not null, stored blob not null, primary key (owner, id)
)
"""


class SqliteResponses:
    """Keeps answers in a file, which only its user may read, bounded by their lifetime alone.

    One thread does all of it, so that a locked or slow file keeps nothing waiting but this.

    Args:
        path: of the file, made where it is missing. lifetime: seconds. patience: seconds that an operation may take.
        clock: seconds since the epoch.

    Raises:
        OSError: the file cannot be made.
        sqlite3.Error: it is not a database.
    """

    def __init__(
        self, path: Path, lifetime: float, patience: float = 1.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._lifetime = lifetime
        self._patience = patience
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "responses")
        with self._connected():
            pass

    async def put(self, owner: str, response_id: str, stored: bytes) -> bool:
        """Keep an answer; what is too old goes."""
        return await self._soon(lambda: self._put(owner, response_id, stored))

    async def get(self, owner: str, response_id: str) -> bytes | None:
        """An answer, if it is there and not too old."""
        return await self._soon(lambda: self._get(owner, response_id))

    async def delete(self, owner: str, response_id: str) -> bool:
        """Forget an answer; False if it was not there."""
        return await self._soon(lambda: self._delete(owner, response_id))

    def close(self) -> None:
        """End the thread, when it has done what it is doing."""
        self._thread.shutdown(cancel_futures=True)

    async def _soon(self, operation: Callable[[], Result]) -> Result:
        running = asyncio.get_running_loop().run_in_executor(self._thread, operation)
        try:
            return await asyncio.wait_for(running, self._patience)
        except (sqlite3.Error, OSError) as error:
            _log.error("the file of responses cannot be used", extra={"error": type(error).__name__})
            raise Overloaded("kept responses cannot be reached now", detail=type(error).__name__) from None

    def _put(self, owner: str, response_id: str, stored: bytes) -> bool:
        now = self._clock()
        with self._connected() as connection:
            connection.execute("delete from responses where until <= ?", (now,))
            row = (owner, response_id, now + self._lifetime, stored)
            connection.execute("insert or replace into responses values (?, ?, ?, ?)", row)
        return True

    def _get(self, owner: str, response_id: str) -> bytes | None:
        with self._connected() as connection:
            query = "select stored from responses where owner = ? and id = ? and until > ?"
            row = connection.execute(query, (owner, response_id, self._clock())).fetchone()
        return None if row is None else bytes(row[0])

    def _delete(self, owner: str, response_id: str) -> bool:
        with self._connected() as connection:
            query = "delete from responses where owner = ? and id = ? and until > ?"
            return connection.execute(query, (owner, response_id, self._clock())).rowcount > 0

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """One transaction on a connection of its own, which finds a file that was taken away made again."""
        is_new = not self._path.exists()
        if is_new:
            self._path.touch(mode=0o600)
        with closing(sqlite3.connect(self._path, timeout=self._patience / 2)) as connection:
            if is_new:
                connection.execute("pragma journal_mode = wal")
            with connection:
                connection.execute(_TABLE)
                yield connection

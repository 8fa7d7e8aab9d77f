"""Answers in a file of SQLite's, which all processes of one machine share and which outlives them."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from app.errors import Overloaded

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

_TABLE = """
create table if not exists responses (
    owner text not null, key text not null, grouped text not null, until real not null, entry blob not null,
    primary key (owner, key)
)
"""


class SqliteResponses:
    """Keeps answers in a file, which only its user may read, bounded by their lifetime alone.

    One thread does all of it, so that a locked or slow file keeps nothing waiting but this.

    Args:
        path: of the file, made where it is missing. lifetime: seconds. patience: seconds that an operation may take.
        clock: seconds since the epoch.

    Raises:
        OSError: the file cannot be made, or is not a database.
    """

    def __init__(
        self, path: Path, lifetime: float, patience: float = 1.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._lifetime = lifetime
        self._patience = patience
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "responses")
        try:
            with self._connected():
                pass
        except sqlite3.Error as error:
            raise OSError(f"SQLite says: {error}") from None

    async def put(self, owner: str, group: str, entries: Mapping[str, bytes]) -> bool:
        """Keep a group; what is too old goes."""
        return await self._soon(lambda connection: self._put(connection, owner, group, entries))

    async def get(self, owner: str, key: str) -> bytes | None:
        """An entry, if it is there and not too old."""
        return await self._soon(lambda connection: self._get(connection, owner, key))

    async def delete(self, owner: str, group: str) -> bool:
        """Forget a group; False if it was not there."""
        return await self._soon(lambda connection: self._delete(connection, owner, group))

    def close(self) -> None:
        """End the thread, when it has done what it is doing."""
        self._thread.shutdown(cancel_futures=True)

    async def _soon(self, operation: Callable[[sqlite3.Connection], Result]) -> Result:
        last_moment = time.monotonic() + self._patience

        def in_time() -> Result:
            with self._connected() as connection:
                result = operation(connection)
                # nobody waits any more: what was told not to be done must not be done
                if time.monotonic() >= last_moment:
                    raise TimeoutError
                return result

        running = asyncio.get_running_loop().run_in_executor(self._thread, in_time)
        try:
            return await asyncio.wait_for(running, self._patience)
        except (sqlite3.Error, OSError) as error:
            _log.error("the file of responses cannot be used", extra={"fields": {"error": type(error).__name__}})
            raise Overloaded("kept responses cannot be reached now", detail=type(error).__name__) from None

    def _put(self, connection: sqlite3.Connection, owner: str, group: str, entries: Mapping[str, bytes]) -> bool:
        now = self._clock()
        connection.execute("delete from responses where until <= ?", (now,))
        connection.execute("delete from responses where owner = ? and grouped = ?", (owner, group))
        rows = [(owner, key, group, now + self._lifetime, entry) for key, entry in entries.items()]
        connection.executemany("insert or replace into responses values (?, ?, ?, ?, ?)", rows)
        return True

    def _get(self, connection: sqlite3.Connection, owner: str, key: str) -> bytes | None:
        query = "select entry from responses where owner = ? and key = ? and until > ?"
        row = connection.execute(query, (owner, key, self._clock())).fetchone()
        return None if row is None else bytes(row[0])

    def _delete(self, connection: sqlite3.Connection, owner: str, group: str) -> bool:
        query = "delete from responses where owner = ? and grouped = ? and until > ?"
        return connection.execute(query, (owner, group, self._clock())).rowcount > 0

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

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

# smaller than in memory: what one caller writes keeps the one thread of all others busy
_LARGEST_SHARE = 32

# in one file for several processes, some of an older version at times: the triggers keep `held` right whoever writes
_VERSION = 1
_LAYOUT = (
    """create table if not exists responses (
        owner text not null, key text not null, grouped text not null, until real not null, entry blob not null,
        primary key (owner, key)
    )""",
    "create index if not exists responses_by_end on responses (until)",
    "create index if not exists responses_by_group on responses (owner, grouped, until)",
    "create index if not exists responses_by_age on responses (owner, until)",
    "create table if not exists held (owner text primary key, bytes integer not null) without rowid",
    "insert or replace into held select owner, sum(length(entry)) from responses group by owner",
    """create trigger if not exists responses_replaced before insert on responses begin
        delete from responses where owner = new.owner and key = new.key;
    end""",
    """create trigger if not exists responses_kept after insert on responses begin
        insert into held values (new.owner, length(new.entry))
            on conflict (owner) do update set bytes = bytes + excluded.bytes;
    end""",
    """create trigger if not exists responses_dropped after delete on responses begin
        update held set bytes = bytes - length(old.entry) where owner = old.owner;
    end""",
    f"pragma user_version = {_VERSION}",
)
_ENDED = "select owner, grouped from responses where until <= ? order by until limit 1"
_OLDEST_OF_LARGEST = """
select owner, grouped from responses where owner = (select owner from held order by bytes desc limit 1)
order by until limit 1
"""
_DROP = "delete from responses where owner = ? and grouped = ?"
# the first start after an upgrade may find a large file without indexes, and several processes that want to make them
_LAYOUT_PATIENCE = 60.0


class SqliteResponses:
    """Keeps answers in a file that only its user may read. Where there is too much, whoever has most loses the oldest.

    One thread does all of it, so that a locked or slow file keeps nothing waiting but this. A file that has grown keeps
    its size: pages that come free are used again.

    Args:
        path: of the file, made where it is missing. lifetime: seconds. patience: seconds that an operation may take.
        most_bytes: of all groups of all processes together, on the disk; one may have a 32nd of it.
        clock: seconds since the epoch.

    Raises:
        OSError: the file cannot be made, or is not a database.
    """

    def __init__(
        self,
        path: Path,
        lifetime: float,
        timeout: float = 1.0,
        max_bytes: int = 1_000_000_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._lifetime = lifetime
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "responses")
        try:
            with self._connected(_LAYOUT_PATIENCE):
                pass
        except sqlite3.Error as error:
            raise OSError(f"SQLite says: {error}") from None

    async def put(self, owner: str, group: str, entries: Mapping[str, bytes]) -> bool:
        """Keep a group; False if it is too large for that, or if what must go for it could not go in time."""
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
        last_moment = time.monotonic() + self._timeout

        def in_time() -> Result:
            with self._connected(self._timeout / 2) as connection:
                result = operation(connection)
                # nobody waits any more: what was told not to be done must not be done
                if time.monotonic() >= last_moment:
                    raise TimeoutError
                return result

        running = asyncio.get_running_loop().run_in_executor(self._thread, in_time)
        try:
            return await asyncio.wait_for(running, self._timeout)
        except (sqlite3.Error, OSError) as error:
            _log.error("the file of responses cannot be used", extra={"fields": {"error": type(error).__name__}})
            raise Overloaded("kept responses cannot be reached now", detail=type(error).__name__) from None

    def _put(self, connection: sqlite3.Connection, owner: str, group: str, entries: Mapping[str, bytes]) -> bool:
        size = sum(map(len, entries.values()))
        if size > self._max_bytes / _LARGEST_SHARE:
            return False
        now = self._clock()
        connection.execute(_DROP, (owner, group))
        if not self._make_room(connection, size, now):
            return False
        rows = [(owner, key, group, now + self._lifetime, entry) for key, entry in entries.items()]
        connection.executemany("insert into responses values (?, ?, ?, ?, ?)", rows)
        return True

    def _make_room(self, connection: sqlite3.Connection, size: int, now: float) -> bool:
        # what has gone by then is gone: the next put goes on from there, where one without an end would never get done
        last_moment = time.monotonic() + self._timeout / 10
        while True:
            fits = _used(connection) + size <= self._max_bytes
            oldest = connection.execute(_ENDED, (now,)).fetchone()
            if oldest is None and not fits:
                oldest = connection.execute(_OLDEST_OF_LARGEST).fetchone()
            if oldest is None or time.monotonic() >= last_moment:
                return fits
            connection.execute(_DROP, oldest)

    def _get(self, connection: sqlite3.Connection, owner: str, key: str) -> bytes | None:
        query = "select entry from responses where owner = ? and key = ? and until > ?"
        row = connection.execute(query, (owner, key, self._clock())).fetchone()
        return None if row is None else bytes(row[0])

    def _delete(self, connection: sqlite3.Connection, owner: str, group: str) -> bool:
        return connection.execute(f"{_DROP} and until > ?", (owner, group, self._clock())).rowcount > 0

    @contextmanager
    def _connected(self, timeout: float) -> Iterator[sqlite3.Connection]:
        """One transaction on a connection of its own, which finds a file that was taken away made again."""
        is_new = not self._path.exists()
        if is_new:
            self._path.touch(mode=0o600)
        with closing(sqlite3.connect(self._path, timeout=timeout)) as connection:
            if is_new:
                connection.execute("pragma journal_mode = wal")
            with connection:
                if _number(connection, "user_version") < _VERSION:
                    connection.execute("begin immediate")
                    for statement in _LAYOUT:
                        connection.execute(statement)
                yield connection


def _used(connection: sqlite3.Connection) -> int:
    pages = _number(connection, "page_count") - _number(connection, "freelist_count")
    return pages * _number(connection, "page_size")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"pragma {pragma}").fetchone()
    return int(number)

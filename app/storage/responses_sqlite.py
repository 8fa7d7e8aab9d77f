"""Stores responses in an SQLite file, which all processes of one machine share."""

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

# no group may have more than this part of the room; less than in memory, since one thread writes for all callers
_MAX_GROUP_SHARE = 1 / 32

# processes of an older version may write to the same file: triggers keep `held` correct for all of them
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
_EXPIRED = "select owner, grouped from responses where until <= ? order by until limit 1"
# the key of the entry that holds a group's reserve begins so
_RESERVE = "reserve/"
_LARGEST = "select owner from held where bytes > 0 order by bytes desc"
_OLDEST_OF = "select owner, grouped from responses where owner = ?"
_WITHOUT_RESERVE = """and not exists (
    select 1 from responses as held_for where held_for.owner = responses.owner
    and held_for.key = 'reserve/' || responses.grouped
)"""
_FIRST = "order by until limit 1"
_SIZE = "select sum(length(entry)) from responses where owner = ? and grouped = ?"
_DROP = "delete from responses where owner = ? and grouped = ?"
# after an upgrade, several processes may wait for the indexes of a large file
_LAYOUT_TIMEOUT = 60.0


class SqliteResponses:
    """Stores groups in a file that only its user may read. A full file drops the largest owner's oldest group.

    Groups with a reserve are dropped only if there are no others.

    All operations run in one thread, so that a locked or slow file blocks nothing else. The file does not shrink: free
    pages are used again.

    Args:
        path: of the file, which is created if it is missing. lifetime: seconds. timeout: seconds of one operation.
        max_bytes: of all groups of all processes together, on disk; one may have a 32nd of it.
        clock: seconds since the epoch.

    Raises:
        OSError: the file cannot be created, or is not a database.
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
            with self._connected(_LAYOUT_TIMEOUT):
                pass
        except sqlite3.Error as error:
            raise OSError(f"SQLite: {error}") from None

    async def put(self, owner: str, group: str, entries: Mapping[str, bytes], reserve: int = 0) -> bool:
        """Store a group, instead of the group of that name. Returns False if it is too large; that group stays then.

        Raises:
            Overloaded: also if there was no time to make room for it.
        """
        held = {**entries, f"{_RESERVE}{group}": bytes(reserve)} if reserve else entries
        if sum(map(len, held.values())) > self._max_bytes * _MAX_GROUP_SHARE:
            return False
        if not await self._run(lambda connection: self._put(connection, owner, group, held)):
            raise Overloaded("stored responses are not available now", detail="no room was made in time")
        return True

    async def get(self, owner: str, key: str) -> bytes | None:
        """Return an entry, if there is one that has not expired."""
        return await self._run(lambda connection: self._get(connection, owner, key))

    async def delete(self, owner: str, group: str) -> bool:
        """Delete a group. Returns False if there was none."""
        return await self._run(lambda connection: self._delete(connection, owner, group))

    def close(self) -> None:
        """End the thread after the operation that runs."""
        self._thread.shutdown(cancel_futures=True)

    async def _run(self, operation: Callable[[sqlite3.Connection], Result]) -> Result:
        deadline = time.monotonic() + self._timeout

        def transaction() -> Result:
            with self._connected(self._timeout / 2) as connection:
                result = operation(connection)
                # the caller has got an error, so the operation must not be committed
                if time.monotonic() >= deadline:
                    raise TimeoutError
                return result

        running = asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        try:
            return await asyncio.wait_for(running, self._timeout)
        except (sqlite3.Error, OSError) as error:
            _log.error("the file of stored responses cannot be used", extra={"fields": {"error": type(error).__name__}})
            raise Overloaded("stored responses are not available now", detail=type(error).__name__) from None

    def _put(self, connection: sqlite3.Connection, owner: str, group: str, entries: Mapping[str, bytes]) -> bool:
        now = self._clock()
        size = sum(map(len, entries.values()))
        (replaced,) = connection.execute(_SIZE, (owner, group)).fetchone()
        if not self._make_room(connection, size - (replaced or 0), now):
            return False
        connection.execute(_DROP, (owner, group))
        rows = [(owner, key, group, now + self._lifetime, entry) for key, entry in entries.items()]
        connection.executemany("insert into responses values (?, ?, ?, ?, ?)", rows)
        return True

    def _make_room(self, connection: sqlite3.Connection, size: int, now: float) -> bool:
        # deletions until then are committed, and the next put continues: one long transaction would time out each time
        deadline = time.monotonic() + self._timeout / 10
        while True:
            fits = _used(connection) + size <= self._max_bytes
            oldest = connection.execute(_EXPIRED, (now,)).fetchone()
            if oldest is None and not fits:
                oldest = _oldest_of_largest(connection)
            if oldest is None or time.monotonic() >= deadline:
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
        """Open a connection with one transaction; the file is created again if it was deleted."""
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


def _oldest_of_largest(connection: sqlite3.Connection) -> tuple[str, str] | None:
    """Return the owner and the name of the group to drop next, if there is any."""
    owners = connection.execute(_LARGEST).fetchall()
    for condition in (_WITHOUT_RESERVE, ""):
        for owner in owners:
            found: tuple[str, str] | None = connection.execute(f"{_OLDEST_OF} {condition} {_FIRST}", owner).fetchone()
            if found is not None:
                return found
    return None


def _used(connection: sqlite3.Connection) -> int:
    pages = _number(connection, "page_count") - _number(connection, "freelist_count")
    return pages * _number(connection, "page_size")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    (number,) = connection.execute(f"pragma {pragma}").fetchone()
    return int(number)

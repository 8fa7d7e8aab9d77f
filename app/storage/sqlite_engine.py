"""Opens a database of SQLite. Only deployments that use it load this module, which takes 2 MB."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import event

from app.config.database_url import DatabaseUrl
from app.storage.without_orm import AsyncEngine, create_async_engine

# how long a transaction waits for others, and how long SQLite looks for their end without a pause
_BUSY_SECONDS, _LOOK_SECONDS = 5.0, 0.06
_TROUBLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)


class _SqliteConnection(sqlite3.Connection):
    """Closes itself if nobody got it: who asked for it was cancelled while it was opened."""

    def close(self) -> None:
        # a cursor with unread rows, of a cancelled task, would keep the transaction and its locks after the close
        with suppress(sqlite3.Error):
            self.rollback()
        super().close()

    def __del__(self) -> None:
        self.close()


def is_trouble(code: int) -> bool:
    """Return whether an error code means that the file cannot be used now. Extended codes have more bits."""
    return code & 0xFF in _TROUBLE


def sqlite_engine(url: DatabaseUrl) -> AsyncEngine:
    """Return the engine of a file, or of a database in memory."""
    if url.path is not None:
        url.path.touch(mode=0o600)
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{url.path}",
        connect_args={"factory": _SqliteConnection},
        hide_parameters=True,
        pool_size=2,
        max_overflow=0,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        # transactions begin below
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"pragma busy_timeout = {_LOOK_SECONDS * 1000:.0f}")
        for pragma in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
            # of two connections that change the mode of a new file at once, SQLite lets neither wait
            if not _has_run(partial(cursor.execute, f"pragma {pragma}"), _BUSY_SECONDS):
                cursor.execute(f"pragma {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        options = connection.get_execution_options()
        if options["outcrop_reads"]:
            connection.exec_driver_sql("begin")
            _wait_to_run(connection, "select 1 from sqlite_master limit 1", _BUSY_SECONDS)
        else:
            # a transaction that writes only later could not wait for another one
            _wait_to_run(connection, "begin immediate", options["outcrop_wait"] or _BUSY_SECONDS)

    return engine


def _wait_to_run(connection: Any, statement: str, seconds: float) -> None:
    """Run a statement as soon as another transaction allows it. Raises DBAPIError: none does for so long.

    SQLite itself would look ever more seldom, and go on after the task was cancelled.
    """
    driver = connection.connection.dbapi_connection
    if not _has_run(lambda: driver.execute(statement).close(), seconds):
        # it fails again, with the error that SQLAlchemy raises
        connection.exec_driver_sql(statement)


def _has_run(run: Callable[[], object], seconds: float) -> bool:
    """Run a statement until no other connection locks the file; return False if it fails, or one does for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            run()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                return False
        else:
            return True
    return False

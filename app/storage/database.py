"""Opens the database: PostgreSQL, or SQLite on one machine. Only deployments with DATABASE_URL load this module."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext, SSLError
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import event, text
from sqlalchemy.exc import DataError, DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.config.database_url import DatabaseUrl
from app.process.deferred_imports import deferred
from app.storage.database_clock import DatabaseClock
from app.storage.database_down import DatabaseDown
from app.storage.without_orm import AsyncConnection, AsyncEngine, create_async_engine

if TYPE_CHECKING:
    import asyncpg

__all__ = ["AsyncConnection", "Database", "DatabaseDown"]

_CONNECT_SECONDS = 2.0
_MIN_POSTGRESQL = 140000
# as PostgreSQL names them: of a server that only reads, and of a user without the right
_READ_ONLY = "25006"
_NO_RIGHT = "42501"
# a stopped replica must not keep rows locked, and one that waited for a row goes on with what the other wrote
_SESSION = {
    "application_name": "outcrop",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "5000",
    "lock_timeout": "1500",
    "statement_timeout": "30000",
    "timezone": "UTC",
}


class Passwords(Protocol):
    """Makes the password of each new connection."""

    async def __call__(self) -> str:
        """Return a password that is valid now. Raises DatabaseDown: there is none."""
        ...

    async def close(self) -> None:
        """Stop what runs in the background."""
        ...


class Database:
    """Gives connections. Each is one transaction, committed at its end and rolled back on an error.

    clock: the time of the database, as far as somebody notes it.

    Args:
        connections: open at once, at most.
        tls: what verifies a PostgreSQL; None if the URL says that.
        passwords: None if the URL has the password.
    """

    def __init__(
        self,
        url: DatabaseUrl,
        connections: int = 5,
        tls: SSLContext | None = None,
        passwords: Passwords | None = None,
    ) -> None:
        self.url = url
        self.clock = DatabaseClock()
        self._tls = tls
        self._passwords = passwords
        self._engine = self._make_engine(connections)

    @property
    def is_sqlite(self) -> bool:
        """True for SQLite, whose transactions are one after the other."""
        return self.url.is_sqlite

    @asynccontextmanager
    async def begin(self, *, reads: bool = False, wait: float | None = None) -> AsyncIterator[AsyncConnection]:
        """Open a transaction.

        Args:
            reads: it only reads. On SQLite it then waits for no other transaction.
            wait: seconds for which it waits on SQLite for another one that writes; a few by default.

        Raises:
            DatabaseDown: the database cannot be reached, or the connection was lost.
        """
        try:
            async with self._engine.connect() as connection:
                if self.is_sqlite:
                    await connection.execution_options(outcrop_reads=reads, outcrop_wait=wait)
                try:
                    async with connection.begin():
                        yield connection
                except DBAPIError as error:
                    if _code_of(error) == _READ_ONLY:
                        # a former writer after a failover: new connections lead to the one of now
                        await connection.invalidate()
                        await self._engine.dispose()
                    raise
        except DBAPIError as error:
            if is_unreachable(error):
                raise DatabaseDown(self._describe(error.orig)) from None
            raise
        except PoolTimeout:
            raise DatabaseDown(f"{self.url.shown}: no connection was free for {_CONNECT_SECONDS:g} seconds") from None
        except OSError as error:
            raise DatabaseDown(self._describe(error)) from None
        except Exception as error:
            # asyncpg's own errors, raised while it connects; those of values are raised before it sends anything
            if type(error).__module__.partition(".")[0] == "asyncpg" and not isinstance(error, ValueError):
                raise DatabaseDown(self._describe(error)) from None
            raise

    async def check_version(self) -> None:
        """Check that the server is new enough, and that the database holds every text.

        Raises:
            DatabaseDown: it cannot be reached, is older than PostgreSQL 14, or has another encoding than UTF8.
        """
        async with self.begin(reads=True) as connection:
            if self.is_sqlite:
                await connection.execute(text("select 1"))
                return
            number = int((await connection.execute(text("show server_version_num"))).scalar_one())
            encoding = (await connection.execute(text("show server_encoding"))).scalar_one()
        if number < _MIN_POSTGRESQL:
            raise DatabaseDown(f"{self.url.shown} is PostgreSQL {number // 10000}: version 14 or later is needed")
        if encoding != "UTF8":
            raise DatabaseDown(f"{self.url.shown} has the encoding {encoding}: create a database with ENCODING 'UTF8'")

    @asynccontextmanager
    async def listening(self, channel: str, heard: Callable[[str], None]) -> AsyncIterator[asyncio.Event]:
        """Call `heard` with the payload of each notification in a channel. PostgreSQL only.

        Yields an event that is set when the connection is lost.

        Raises:
            DatabaseDown: see `begin`.
        """
        import asyncpg

        failures = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
        try:
            connection = await self._connect()
        except failures as error:
            raise DatabaseDown(self._describe(error)) from None
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            try:
                await connection.add_listener(channel, lambda *notification: heard(notification[3]))
            except failures as error:
                raise DatabaseDown(self._describe(error)) from None
            yield lost
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()
        if self._passwords is not None:
            await self._passwords.close()

    def _make_engine(self, connections: int) -> AsyncEngine:
        if not self.is_sqlite:
            return _postgresql_engine(self._connect, connections)
        from app.storage.sqlite_engine import sqlite_engine

        return sqlite_engine(self.url)

    async def _connect(self) -> asyncpg.Connection:
        """Connect to a PostgreSQL. Raises DatabaseDown: an option of the URL is wrong, or there is no password."""
        import asyncpg

        try:
            return await asyncpg.connect(
                self.url.dsn,
                timeout=_CONNECT_SECONDS,
                server_settings=_SESSION,
                ssl=self._tls,
                password=await self._passwords() if self._passwords is not None else None,
            )
        except asyncpg.exceptions.ClientConfigurationError as error:
            raise DatabaseDown(f"{self.url.shown} cannot be used: {error.args[0]}") from None

    def _describe(self, error: BaseException | None) -> str:
        """Say what is wrong without what a driver quotes of the URL: the kind, and the words of the server."""
        if isinstance(error, TimeoutError):
            return f"{self.url.shown} did not answer within {_CONNECT_SECONDS:g} seconds"
        if isinstance(error, SSLError):
            return f"{self.url.shown} cannot be used over TLS: {getattr(error, 'verify_message', '') or error.reason}"
        if "rejected SSL upgrade" in str(error):  # of asyncpg, which has no type of its own for it
            return f"{self.url.shown} cannot be used over TLS: the server does not offer it"
        reason, cause = "", getattr(error, "__cause__", None) or error
        if isinstance(error, OSError) and error.errno:
            # errors of the resolver have numbers of their own
            reason = os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
        # the server's own message, which names roles and databases, but never a password
        message = getattr(error, "message", None) or getattr(cause, "message", None) or (self.is_sqlite and str(error))
        return f"{self.url.shown} cannot be used: {reason or message or type(cause).__name__}"


def is_unreachable(error: DBAPIError) -> bool:
    """Return whether an error means that the connection is lost, or that the database cannot serve now."""
    if error.connection_invalidated:
        return True
    if (failure := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        from app.storage.sqlite_engine import is_trouble

        return is_trouble(failure)
    code = _code_of(error)
    # no connection, no authorization, no such database or schema, out of resources, intervention, a failure of its disk
    is_of_server = code[:2] in ("08", "28", "3D", "3F", "53", "57", "58")
    # lock not available; the database accepts no connections
    return is_of_server or code in ("55P03", "55000", _READ_ONLY, _NO_RIGHT)


def refuses_values(error: Exception) -> bool:
    """Return whether an error is caused by the values that were sent, so that sending them again is of no use."""
    if isinstance(error, DBAPIError):
        # invalid data, a violated constraint, or more than an index or a row takes
        return isinstance(error, DataError | IntegrityError) or _code_of(error)[:2] in ("22", "23", "54")
    return isinstance(error, OverflowError | ValueError)


def _code_of(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", "") or "")


def _postgresql_engine(connect: Callable[[], Awaitable[asyncpg.Connection]], connections: int) -> AsyncEngine:
    # the driver has a pool of its own, which nobody uses
    with deferred("asyncpg.pool"):
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=_CONNECT_SECONDS,
            hide_parameters=True,
        )

    @event.listens_for(engine.sync_engine, "checkout")
    def check(connection: Any, *_: object) -> None:
        # the server was restarted since it was last used: the pool then opens another one
        if connection.driver_connection.is_closed():
            raise DisconnectionError

    return engine

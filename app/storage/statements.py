"""Parts of statements that PostgreSQL and SQLite write differently."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, bindparam, cast, extract, func, literal, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection


def insert_into(connection: AsyncConnection, table: Any) -> Any:
    """Return an INSERT that knows ON CONFLICT, which both databases have with the same words."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: Any) -> Any:
    """Return the same by the name of the dialect, for statements that are built once."""
    if dialect != "sqlite":
        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite  # deployments with PostgreSQL do not load it

    return sqlite.insert(table)


def clock_us(connection: AsyncConnection) -> ColumnElement[int]:
    """Return the time in microseconds: of the server, or of this machine, which all processes of SQLite share."""
    if connection.dialect.name == "sqlite":
        return literal(time.time_ns() // 1000, BigInteger)
    return server_clock_us()


def clock_of(dialect: str) -> ColumnElement[int]:
    """Return the same by the name of the dialect, for statements that are built once. See `local_clock`."""
    return bindparam("local_us", type_=BigInteger) if dialect == "sqlite" else server_clock_us()


def local_clock() -> Mapping[str, int]:
    """Return the parameter that `clock_of` needs for SQLite."""
    return {"local_us": time.time_ns() // 1000}


def server_clock_us() -> ColumnElement[int]:
    """Return the time of PostgreSQL in microseconds."""
    return cast(extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger)


async def time_of_database(connection: AsyncConnection) -> datetime:
    """Return the time by the clock that decides which window of a budget runs."""
    moment_us = (await connection.execute(select(clock_us(connection)))).scalar_one()
    return datetime.fromtimestamp(moment_us / 1e6, UTC)


async def has_turn(connection: AsyncConnection, lock: int) -> bool:
    """Lock a number until the end of the transaction. Returns False if another transaction has locked it."""
    if connection.dialect.name == "sqlite":
        # its transactions are one after the other
        return True
    locked = await connection.execute(text("select pg_try_advisory_xact_lock(:key)"), {"key": lock})
    return bool(locked.scalar_one())

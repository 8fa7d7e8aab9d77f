"""Loads SQLAlchemy's asyncio engine without its ORM and without drivers of PostgreSQL that are not used here.

`sqlalchemy.ext.asyncio` imports its sessions, and they import the ORM: 6 MB and a tenth of a second. Import this module
before any other of SQLAlchemy.
"""

from app.process.deferred_imports import deferred

_POSTGRESQL = "sqlalchemy.dialects.postgresql"

with deferred(
    "importlib.metadata",
    "sqlalchemy.ext.asyncio.scoping",
    "sqlalchemy.ext.asyncio.session",
    f"{_POSTGRESQL}.hstore",
    f"{_POSTGRESQL}.pg8000",
    f"{_POSTGRESQL}.pg_catalog",
    f"{_POSTGRESQL}.psycopg",
    f"{_POSTGRESQL}.psycopg2",
    f"{_POSTGRESQL}.psycopg2cffi",
):
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

# tables ask the default driver which options PostgreSQL has
postgresql.base.dialect = postgresql.asyncpg.dialect  # type: ignore[attr-defined]
postgresql.dialect = postgresql.asyncpg.dialect  # type: ignore[assignment]

__all__ = ["AsyncConnection", "AsyncEngine", "create_async_engine"]

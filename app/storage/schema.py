"""Sets up an empty database, checks the revision of its schema, and migrates an older one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from app.storage.database import Database
from app.storage.schema_mismatch import SchemaMismatch

# any number that no other program locks in the same database
_LOCK = 7_308_604_896_523_351
_LOCK_SECONDS = 60
_OTHER = "tables of another program: name an empty database in DATABASE_URL"


async def prepare_schema(database: Database, *, migrate: bool) -> str:
    """Set up an empty database, or check the schema. Several replicas may do so at the same time.

    Args:
        migrate: bring an older schema up to date.

    Returns:
        What was done: `created`, `migrated`, or an empty string.

    Raises:
        SchemaMismatch: the schema is older and `migrate` is false; or newer by more than one revision; or the database
            holds tables of another program.
        DatabaseDown: the database cannot be reached, or another process migrates it for longer than a minute.
    """
    await database.check_version()
    async with database.begin(wait=_LOCK_SECONDS) as connection:
        if not database.is_sqlite:
            await connection.execute(text(f"set local lock_timeout = '{_LOCK_SECONDS}s'"))
            await connection.execute(text(f"set local statement_timeout = '{_LOCK_SECONDS * 10}s'"))
            await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        return await connection.run_sync(_prepare, migrate, database.url.shown)


async def schema_revision(database: Database) -> str:
    """Return the revision of the schema; empty for an empty database. Changes nothing.

    Raises:
        SchemaMismatch: this version cannot use it as it is, or may not set it up. DatabaseDown: see `prepare_schema`.
    """
    await database.check_version()
    async with database.begin(reads=True) as connection:
        found = await connection.run_sync(_checked_revision, False, database.url.shown)
        if found is None and not database.is_sqlite:
            may_create = text("select has_schema_privilege(current_schema(), 'create')")
            if (may := (await connection.execute(may_create)).scalar_one()) is None:
                raise SchemaMismatch(
                    f"{database.url.shown} has none of the schemas that search_path names for its user"
                )
            if not may:
                raise SchemaMismatch(
                    f"{database.url.shown} is empty, and its user may not set it up: let the owner of the database run "
                    "`grant create on schema public to USER`"
                )
    return found or ""


def _prepare(connection: Connection, migrate: bool, shown: str) -> str:
    current = _checked_revision(connection, migrate, shown)
    if current is not None and int(current) >= int(latest_revision()):
        return ""
    from app.storage.migrating import run_migrations  # its library takes 8 MB, and most starts have nothing to migrate

    run_migrations(connection)
    return "created" if current is None else "migrated"


def _checked_revision(connection: Connection, migrate: bool, shown: str) -> str | None:
    """Return the revision of the schema; None for an empty database. Raises SchemaMismatch: see `prepare_schema`."""
    head, current = latest_revision(), _revision_of(connection)
    if current is None:
        if {"teams", "keys", "ledger"} & set(inspect(connection).get_table_names()):
            raise SchemaMismatch(f"{shown} holds {_OTHER}")
        return None
    if not current.isdecimal():
        raise SchemaMismatch(f"{shown} holds {_OTHER}")
    difference = int(current) - int(head)
    if difference > 1:
        raise SchemaMismatch(
            f"the schema of {shown} has revision {current}, and this version knows {head}: run a newer version"
        )
    if difference < 0 and not migrate:
        raise SchemaMismatch(
            f"the schema of {shown} has revision {current}, and this version needs {head}: run "
            "`outcrop migrate`, or set MIGRATE_AT_START=true"
        )
    return current


def _revision_of(connection: Connection) -> str | None:
    """Return the revision that Alembic has written; None if it has written none."""
    # SQLAlchemy would load its tables of PostgreSQL's catalog
    is_there = (
        inspect(connection).has_table("alembic_version")
        if connection.dialect.name == "sqlite"
        else connection.scalar(text("select to_regclass('alembic_version') is not null"))
    )
    if not is_there:
        return None
    revision: str | None = connection.scalar(text("select version_num from alembic_version"))
    return revision


@cache
def latest_revision() -> str:
    """Return the revision of the last migration, which the name of its file begins with."""
    # compiled ones count too: the image holds no sources
    return max(file.name[1:5] for file in (Path(__file__).parent / "migrations" / "versions").glob("v*_*.py*"))

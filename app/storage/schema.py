"""Sets up an empty database, checks the revision of its schema, and migrates an older one."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, inspect, text

from app.storage.database import Database

# it writes which database it found
logging.getLogger("alembic").setLevel(logging.WARNING)
# any number that no other program locks in the same database
_LOCK = 7_308_604_896_523_351
_LOCK_SECONDS = 60


class SchemaMismatch(Exception):
    """The schema of the database is not one that this version can use. The message says what to do."""


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
    async with database.begin() as connection:
        if not database.is_sqlite:
            await connection.execute(text(f"set local lock_timeout = '{_LOCK_SECONDS}s'"))
            await connection.execute(text(f"set local statement_timeout = '{_LOCK_SECONDS * 10}s'"))
            await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        return await connection.run_sync(_prepare, migrate, database.url.shown)


async def schema_revision(database: Database) -> str:
    """Return the revision of the schema; empty for an empty database. Changes nothing.

    Raises:
        SchemaMismatch: this version cannot use it as it is. DatabaseDown: see `prepare_schema`.
    """
    await database.check_version()
    async with database.begin(reads=True) as connection:
        return await connection.run_sync(_checked_revision, False, database.url.shown) or ""


def _prepare(connection: Connection, migrate: bool, shown: str) -> str:
    scripts = scripts_of_this_version()
    current = _checked_revision(connection, migrate, shown)
    if current is not None and int(current) >= int(scripts.get_current_head() or ""):
        return ""
    run_migrations(connection, scripts)
    return "created" if current is None else "migrated"


def _checked_revision(connection: Connection, migrate: bool, shown: str) -> str | None:
    """Return the revision of the schema; None for an empty database. Raises SchemaMismatch: see `prepare_schema`."""
    head = scripts_of_this_version().get_current_head() or ""
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        if {"teams", "keys", "ledger"} & set(inspect(connection).get_table_names()):
            raise SchemaMismatch(f"{shown} holds tables of another program: name an empty database in DATABASE_URL")
        return None
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


def scripts_of_this_version() -> ScriptDirectory:
    """Return the migrations. Compiled ones count too: the image holds no sources."""
    return ScriptDirectory(str(Path(__file__).with_name("migrations")), sourceless=True)


def run_migrations(connection: Connection, scripts: ScriptDirectory, revision: str = "head") -> None:
    """Migrate up to a revision, within the transaction of the connection."""

    def steps(current: str | tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        try:
            return list(scripts._upgrade_revs(revision, current))  # type: ignore[arg-type]
        except CommandError as error:
            raise SchemaMismatch(str(error)) from None

    context = MigrationContext.configure(connection, opts={"fn": steps, "transactional_ddl": True})
    with Operations.context(context):
        context.run_migrations()

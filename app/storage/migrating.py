"""Runs the migrations of the schema, by Alembic."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from app.storage.schema_mismatch import SchemaMismatch

# it writes which database it found
logging.getLogger("alembic").setLevel(logging.WARNING)


def scripts_of_this_version() -> ScriptDirectory:
    """Return the migrations. Compiled ones count too: the image holds no sources."""
    return ScriptDirectory(str(Path(__file__).with_name("migrations")), sourceless=True)


def run_migrations(connection: Connection, scripts: ScriptDirectory | None = None, revision: str = "head") -> None:
    """Migrate up to a revision, within the transaction of the connection. scripts: those of this version by default."""
    migrations = scripts or scripts_of_this_version()

    def steps(current: str | tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        try:
            return list(migrations._upgrade_revs(revision, current))  # type: ignore[arg-type]
        except CommandError as error:
            raise SchemaMismatch(str(error)) from None

    context = MigrationContext.configure(connection, opts={"fn": steps, "transactional_ddl": True})
    with Operations.context(context):
        context.run_migrations()

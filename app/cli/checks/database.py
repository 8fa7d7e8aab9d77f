"""The step that tries the database: reached, its schema, KEY_PEPPER, and DATA_DIR."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.checks.step import Step, StepFailed
from app.config.settings import Settings

if TYPE_CHECKING:
    from app.storage.database import Database

_MEGABYTE = 1_000_000
_MIN_FREE_MEGABYTES = 100


def database_step(settings: Settings, database: Database) -> Step:
    """Return the step of a deployment with a database. It changes nothing."""
    return Step(
        name="database",
        run=lambda: _try(settings, database),
        remedy="check DATABASE_URL, the network and the rights of its user",
    )


async def _try(settings: Settings, database: Database) -> str:
    from app.storage.database import DatabaseDown
    from app.storage.schema import schema_revision
    from app.storage.schema_mismatch import SchemaMismatch

    free = _free_megabytes(settings.data_dir)
    try:
        revision = await schema_revision(database)
        if not revision:
            return f"{database.url.shown} is empty: the first start sets it up; DATA_DIR has {free} MB"
        await _check_pepper(settings, database)
    except (DatabaseDown, SchemaMismatch) as error:
        raise StepFailed(str(error)) from None
    return f"{database.url.shown}, schema {revision}; DATA_DIR has {free} MB"


def _free_megabytes(folder: Path | None) -> int:
    """Return what is free in DATA_DIR. Raises StepFailed: it cannot be written, or is nearly full."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            usage = os.statvfs(file.fileno())
    except OSError as error:
        raise StepFailed(
            f"DATA_DIR cannot be written: {error.strerror}", "give the gateway's user the right to write there"
        ) from None
    free = usage.f_bavail * usage.f_frsize // _MEGABYTE
    if free < _MIN_FREE_MEGABYTES:
        raise StepFailed(
            f"DATA_DIR has only {free} MB free", "calls are refused when no journal can be written: free some room"
        )
    return free


async def _check_pepper(settings: Settings, database: Database) -> None:
    """Decrypt what is stored of the newest key. Raises StepFailed: it was made with another KEY_PEPPER."""
    from app.governance.identity.key_secrets import is_other_pepper
    from app.storage.repository import newest_secret

    async with database.begin(reads=True) as connection:
        secret = await newest_secret(connection)
    if is_other_pepper(secret, settings.pepper()):
        raise StepFailed(
            "KEY_PEPPER is not the one with which keys were made", "set the KEY_PEPPER of the other gateways"
        )

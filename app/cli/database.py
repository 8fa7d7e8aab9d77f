"""The database of DATABASE_URL, for commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from app.composition.database import open_database, prepare_database
from app.config.environment import load_settings
from app.config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from app.storage.database import Database


def settings_with_database() -> Settings:
    """Read the settings. Raises SettingsError: they are invalid, or DATABASE_URL is not set."""
    settings = load_settings()
    if settings.database_url is None:
        raise SettingsError(["DATABASE_URL is not set: this command needs the database of the gateways"])
    return settings


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the database, whose schema must be of this version.

    Raises:
        SettingsError: the database cannot be used. click.ClickException: it could be used, and fails later.
    """
    from app.storage.database import DatabaseDown

    database = open_database(settings)
    if database is None:
        raise SettingsError(["DATABASE_URL is not set: this command needs the database of the gateways"])
    try:
        await prepare_database(database, migrate=False)
        yield database
    except DatabaseDown as error:
        raise click.ClickException(str(error)) from None
    finally:
        await database.close()

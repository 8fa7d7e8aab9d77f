"""Opens the database of a deployment that has one, and prepares its schema."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from app.config.settings import Settings, SettingsError
from app.process.child import ask_child

if TYPE_CHECKING:
    from app.governance.identity.virtual_keys import KeyDirectory
    from app.storage.database import Database
    from app.storage.records import KeySecret

_log = logging.getLogger(__name__)


def open_database(settings: Settings) -> Database | None:
    """Return the database, not connected yet; None without DATABASE_URL."""
    url = settings.database()
    if url is None:
        return None
    # only deployments with a database load it; the first one has to be imported before SQLAlchemy
    from app.storage import without_orm  # noqa: F401
    from app.storage.database import Database

    passwords = None
    if settings.database_iam_auth:
        from app.composition.database_passwords import make_iam_passwords

        passwords = make_iam_passwords(settings, url.dsn)
    try:
        return Database(url, tls=settings.database_tls(), passwords=passwords)
    except OSError as error:
        raise SettingsError([f"DATABASE_URL: {url.shown} cannot be used: {error.strerror}"]) from None


def key_directory_of(settings: Settings, database: Database | None) -> KeyDirectory | None:
    """Return the directory of the keys in a database; None without one."""
    if database is None:
        return None
    from app.governance.identity.virtual_keys import KeyDirectory

    return KeyDirectory(database, settings.pepper(), wall=database.clock.seconds)


async def prepare_database(database: Database, *, migrate: bool) -> str:
    """Set up an empty database, or check the schema of another. Returns what was done to it, if anything.

    Args:
        migrate: bring an older schema up to date.

    Raises:
        SettingsError: it cannot be reached, or its schema is not one that this version can use.
    """
    from app.storage.database import DatabaseDown
    from app.storage.schema import prepare_schema
    from app.storage.schema_mismatch import SchemaMismatch

    try:
        done = await prepare_schema(database, migrate=migrate)
    except (DatabaseDown, SchemaMismatch) as error:
        raise SettingsError([f"DATABASE_URL: {error}"]) from None
    if done:
        _log.info("database schema prepared", extra={"fields": {"database": database.url.shown, "done": done}})
    return done


async def check_database(settings: Settings, *, migrate: bool) -> tuple[str, KeySecret | None]:
    """Prepare the database before anything is served: see `prepare_database`.

    Returns what was done to it, and what is stored of its newest key.
    """
    database = open_database(settings)
    if database is None:
        return "", None
    from app.storage.database import DatabaseDown
    from app.storage.repository import newest_secret

    try:
        done = await prepare_database(database, migrate=migrate)
        with suppress(DatabaseDown):
            async with database.begin(reads=True) as connection:
                return done, await newest_secret(connection)
        return done, None
    finally:
        await database.close()


def log_other_pepper(secret: KeySecret | None, pepper: bytes) -> None:
    """Log an error if a key was made with another KEY_PEPPER: then all keys are refused.

    It does not end the start: a pepper that became known may be replaced, and all keys with it.
    """
    if secret is None:
        return
    from app.governance.identity.key_secrets import is_other_pepper

    # it loads 8 MB
    if ask_child(partial(is_other_pepper, secret, pepper)):
        _log.error("KEY_PEPPER is not the one with which keys were made, and they are refused")

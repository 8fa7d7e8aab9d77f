"""`outcrop migrate`: sets up the database of DATABASE_URL, or brings its schema up to date."""

import asyncio

import click

from app.cli.options import config_option
from app.composition.database import check_database
from app.config.environment import faults_end_the_start, load_settings
from app.config.settings import SettingsError


@click.command("migrate")
@config_option
def command() -> None:
    """Set up the database of DATABASE_URL, or bring its schema up to date."""
    with faults_end_the_start():
        settings = load_settings()
        if settings.database_url is None:
            raise SettingsError(["DATABASE_URL is not set: set it to the database to migrate"])
        done, _ = asyncio.run(check_database(settings, migrate=True))
    click.echo(f"The schema was {done}." if done else "The schema is up to date.")

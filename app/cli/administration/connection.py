"""The options that say whom a command asks: a gateway, or the database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import click

from app.cli.administration.client import AdminClient
from app.cli.options import config_option

F = TypeVar("F", bound=Callable[..., Any])

# what chooses a team, a key or entries
_CHOICES = frozenset({"team", "key", "key_id", "holder", "user", "model", "request_id", "object_id", "actor", "action"})


def asks_administration(command: F) -> F:
    """Add `--url`, `--key-file` and `--config`, and pass the client as the first argument."""

    @wraps(command)
    def run(*arguments: Any, url: str | None, key_file: str | None, **options: Any) -> Any:
        refuse_empty(options)
        with _open_client(url, key_file) as client:
            return command(client, *arguments, **options)

    decorated = click.option(
        "--url", envvar="OUTCROP_URL", show_envvar=True, help="A gateway. Without it, the database of DATABASE_URL."
    )(run)
    decorated = click.option(
        "--key-file",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True),
        help="A file with the administrator's key, instead of OUTCROP_ADMIN_KEY.",
    )(decorated)
    return config_option(decorated)  # type: ignore[return-value]


def refuse_empty(options: Mapping[str, Any]) -> None:
    """Refuse a choice that is empty, as of a variable of a script that is not set: it would choose all, or the first.

    Raises:
        click.BadParameter: one is empty.
    """
    for parameter in click.get_current_context().command.params:
        if parameter.name in _CHOICES and options.get(parameter.name) == "":
            raise click.BadParameter("must not be empty", param=parameter)


@contextmanager
def _open_client(url: str | None, key_file: str | None) -> Iterator[AdminClient]:
    if url:
        from app.cli.administration.http_client import HttpClient

        yield HttpClient(url, _key(key_file))
        return
    from app.cli.administration.database_client import DatabaseClient
    from app.cli.database import settings_with_database
    from app.config.environment import faults_end_the_start

    with faults_end_the_start(), DatabaseClient(settings_with_database()) as client:
        yield client


def _key(key_file: str | None) -> str:
    # not an option: others on this machine can read the arguments of a process
    key = os.environ.get("OUTCROP_ADMIN_KEY", "")
    if key_file is not None:
        with click.open_file(key_file) as file:
            key = file.read().strip()
    if not key:
        raise click.UsageError("set OUTCROP_ADMIN_KEY, or name a file with --key-file: one of the keys in ADMIN_KEYS")
    return key

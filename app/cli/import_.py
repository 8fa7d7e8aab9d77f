"""`outcrop import`: creates teams and keys from LiteLLM, or from API_KEYS."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import click

from app.cli.administration.client import AdminClient
from app.cli.administration.connection import asks_administration
from app.cli.administration.output import new_secret_file
from app.cli.imports.plan import Plan, Planned, carry_out
from app.wire import json

_SECRETS = click.option(
    "--secrets",
    "path",
    type=click.Path(),
    help="A new file for the secrets of the keys, which only you can read. Required without --dry-run.",
)
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Only say what would be created.")


@click.group("import")
def command() -> None:
    """Create teams and keys from LiteLLM, or from API_KEYS."""


@command.command("litellm")
@click.argument("files", nargs=-1, required=True, type=click.File("rb"))
@click.option("--team", default="litellm", show_default=True, help="The name of the team of keys without one.")
@_SECRETS
@_DRY_RUN
@asks_administration
def litellm(client: AdminClient, files: Sequence[Any], team: str, path: str | None, dry_run: bool) -> None:
    """Create the teams and keys in FILES, with new secrets.

    FILES are answers of LiteLLM's /team/list and /key/list?return_full_object=true, or rows of its tables, as JSON.
    What was imported before is left out.
    """
    from app.cli.imports.litellm import NotLiteLlm, plan_of, rows_of

    rows = []
    for file in files:
        try:
            rows += rows_of(json.loads(file.read()))
        except json.JsonError as error:
            raise click.ClickException(f"{file.name} is not JSON: {error}") from None
        except NotLiteLlm as error:
            raise click.ClickException(f"{file.name}: {error}") from None
    _import(client, plan_of(rows, team), path, is_dry=dry_run)
    click.echo("Not carried over for any: secrets, and what was spent so far.", err=True)


@command.command("env")
@click.option("--team", required=True, help="The name of the team, which is created if there is none.")
@_SECRETS
@_DRY_RUN
@asks_administration
def env(client: AdminClient, team: str, path: str | None, dry_run: bool) -> None:
    """Create a key for each name in API_KEYS, with a new secret.

    The keys in API_KEYS stay valid until they are removed there.
    """
    from app.config.entries import parse_api_keys

    text = os.environ.get("API_KEYS", "")
    if not text:
        raise click.ClickException("API_KEYS is not set: set it as the gateway has it")
    try:
        names = [*parse_api_keys(text)]
    except ValueError as error:
        raise click.ClickException(f"API_KEYS: {error}") from None
    plan = Plan({"": Planned({"name": team})})
    for name in names:
        origin = f"env:{hashlib.sha256(f'{team}/{name}'.encode()).hexdigest()[:16]}"
        plan.keys.append(("", Planned({"name": name}).marked(origin)))
    _import(client, plan, path, is_dry=dry_run)


def _import(client: AdminClient, plan: Plan, path: str | None, *, is_dry: bool) -> None:
    for loss in plan.losses():
        click.echo(loss, err=True)
    if is_dry:
        click.echo(f"{len(plan.teams)} teams and {len(plan.keys)} keys would be created, less those that exist.")
        return
    if path is None:
        raise click.UsageError("name a new file for the secrets with --secrets, or add --dry-run")
    counts = {"team": 0, "key": 0}
    with new_secret_file(path) as write:
        for kind, planned, created in carry_out(client, plan):
            counts[kind] += 1
            if created["name"] != planned.name:
                click.echo(f"{kind} {planned.name}: the name is taken, so it is called {created['name']}", err=True)
            if kind == "key":
                write(json.dumps({name: created[name] for name in ("name", "id", "team_id", "secret")}).decode())
    where = f" Their secrets are in {path}." if counts["key"] else ""
    click.echo(f"{counts['team']} teams and {counts['key']} keys were created.{where}")

"""`outcrop teams`: lists, shows, creates, changes and deletes teams."""

from __future__ import annotations

from typing import Any

import click

from app.cli.administration.client import AdminClient, find_team, list_all
from app.cli.administration.connection import asks_administration
from app.cli.administration.members import body_of, member_options
from app.cli.administration.output import json_option, write_list, write_one

_COLUMNS = ("id", "name", "status", "models", "limits", "labels")


@click.group("teams")
def command() -> None:
    """List, show, create, change and delete teams. TEAM is an id or a name."""


@command.command("list")
@json_option
@asks_administration
def list_teams(client: AdminClient, is_json: bool) -> None:
    """List all teams."""
    write_list(list_all(client, "teams"), _COLUMNS, is_json=is_json)


@command.command("show")
@click.argument("team")
@json_option
@asks_administration
def show(client: AdminClient, team: str, is_json: bool) -> None:
    """Show a team."""
    write_one(client.call("GET", f"teams/{find_team(client, team)}"), is_json=is_json)


@command.command("create")
@click.argument("name")
@member_options
@json_option
@asks_administration
def create(client: AdminClient, is_json: bool, **options: Any) -> None:
    """Create a team."""
    write_one(client.call("POST", "teams", body=body_of(options)), is_json=is_json)


@command.command("change")
@click.argument("team")
@click.option("--name", help="Another name.")
@member_options
@json_option
@asks_administration
def change(client: AdminClient, team: str, is_json: bool, **options: Any) -> None:
    """Change members of a team. Others stay as they are."""
    path = f"teams/{find_team(client, team)}"
    before = client.call("GET", path)
    body = body_of(options, before)
    write_one(client.call("PATCH", path, body=body, revision=before["revision"]), is_json=is_json)


@command.command("delete")
@click.argument("team")
@asks_administration
def delete(client: AdminClient, team: str) -> None:
    """Delete a team that has no keys. Its usage and its entries in the ledger stay."""
    client.call("DELETE", f"teams/{find_team(client, team)}")

"""`outcrop spend`: shows what is left of budgets."""

from __future__ import annotations

import click

from app.cli.administration.client import AdminClient, find_team, list_all
from app.cli.administration.connection import asks_administration
from app.cli.administration.output import json_option, write_list

_COLUMNS = (
    "scope", "scope_id", "value", "period", "action", "amount_usd", "posted_usd", "held_usd", "remaining_usd",
    "resets_at",
)  # fmt: skip


@click.command("spend")
@click.option("--team", help="Only the budgets of a team and its keys, by its id or name.")
@click.option("--key", "key_id", help="Only the budgets of a key and its team.")
@json_option
@asks_administration
def command(client: AdminClient, team: str | None, key_id: str | None, is_json: bool) -> None:
    """Show what of each budget is spent, held and left in the window that runs now."""
    query = {"team_id": find_team(client, team)} if team else {}
    if key_id:
        query["key_id"] = key_id
    write_list(list_all(client, "spend", query), _COLUMNS, is_json=is_json)

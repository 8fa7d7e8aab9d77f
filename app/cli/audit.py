"""`outcrop audit`: lists changes of teams and keys."""

from __future__ import annotations

from datetime import datetime

import click

from app.cli.administration.client import AdminClient, list_all
from app.cli.administration.connection import asks_administration
from app.cli.administration.output import json_option, write_list
from app.cli.moments import Moment


@click.command("audit")
@click.option("--object", "object_id", help="Only changes of a team or a key, by its id.")
@click.option("--actor", help="Only changes by an administrator.")
@click.option("--action", help="Such as team.create; or team for all changes of teams.")
@click.option("--from", "since", type=Moment(), help="The first time.")
@click.option("--to", "until", type=Moment(), help="The end, which is not included.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The most entries.")
@json_option
@asks_administration
def command(
    client: AdminClient,
    object_id: str | None,
    actor: str | None,
    action: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    is_json: bool,
) -> None:
    """List who changed what, when and from where, the newest first. The JSON has how it was before and after."""
    given = {
        "object_id": object_id,
        "actor": actor,
        "action": action,
        "from": since and since.isoformat(),
        "to": until and until.isoformat(),
    }
    query = {name: value for name, value in given.items() if value}
    columns = ("at", "actor", "address", "action", "object_id")
    write_list(list_all(client, "audit", query, limit=limit), columns, is_json=is_json)

"""`outcrop usage`: sums up requests, tokens and cost."""

from __future__ import annotations

from datetime import datetime

import click

from app.cli.administration.client import AdminClient, find_team, list_all
from app.cli.administration.connection import asks_administration
from app.cli.administration.output import json_option, write_list
from app.cli.moments import Moment

_COLUMNS = {"team": "team_id", "key": "key_id", "model": "model", "user": "user"}
_SUMS = ("requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd")


@click.command("usage")
@click.option("--by", "groups", default="", metavar="NAMES", help="Of team, key, model, user, label, label:NAME.")
@click.option("--interval", type=click.Choice(["hour", "day", "month"]), help="A row for each, in UTC.")
@click.option("--from", "since", type=Moment(), help="The first time. By default a day, a month or a year ago.")
@click.option("--to", "until", type=Moment(), help="The end, which is not included.")
@click.option("--team", help="Only a team, by its id or name.")
@click.option("--key", "key_id", help="Only a key.")
@click.option("--model", help="Only a model.")
@json_option
@asks_administration
def command(
    client: AdminClient,
    groups: str,
    interval: str | None,
    since: datetime | None,
    until: datetime | None,
    team: str | None,
    key_id: str | None,
    model: str | None,
    is_json: bool,
) -> None:
    """Sum up requests, tokens and cost by group and interval."""
    given = {
        "group_by": groups,
        "interval": interval,
        "from": since and since.isoformat(),
        "to": until and until.isoformat(),
        "team_id": team and find_team(client, team),
        "key_id": key_id,
        "model": model,
    }
    query = {name: value for name, value in given.items() if value}
    by = dict.fromkeys(_COLUMNS.get(name, "labels") for name in filter(None, groups.split(",")))
    columns = (*(["start"] if interval else []), *by, *_SUMS)
    write_list(list_all(client, "usage", query), columns, is_json=is_json)

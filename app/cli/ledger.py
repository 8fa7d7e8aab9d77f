"""`outcrop ledger`: lists and exports the ledger, verifies what is derived from it, and deletes old entries."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import click

from app.cli.administration.client import AdminClient, find_team, list_all
from app.cli.administration.connection import asks_administration, refuse_empty
from app.cli.administration.output import json_option, write_list
from app.cli.database import opened_database, settings_with_database
from app.cli.export_file import open_output
from app.cli.moments import Moment
from app.cli.options import config_option
from app.config.environment import faults_end_the_start
from app.config.settings import Settings
from app.process.signals import cleaning_up_on_sigterm


@click.group("ledger")
def command() -> None:
    """List and export the ledger, verify what is derived from it, and delete old entries."""


@command.command("list")
@click.option("--from", "since", type=Moment(), help="The first time.")
@click.option("--to", "until", type=Moment(), help="The end, which is not included.")
@click.option("--team", help="Only entries of a team, by its id or name.")
@click.option("--key", "key_id", help="Only entries of a key.")
@click.option("--user", help="Only entries of an end user.")
@click.option("--request", "request_id", help="Only entries of a request.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The most entries.")
@json_option
@asks_administration
def list_entries(
    client: AdminClient,
    since: datetime | None,
    until: datetime | None,
    team: str | None,
    limit: int,
    is_json: bool,
    **ids: str | None,
) -> None:
    """List entries, the newest first."""
    given = {
        "from": since and since.isoformat(),
        "to": until and until.isoformat(),
        "team_id": team and find_team(client, team),
        **ids,
    }
    query = {name: value for name, value in given.items() if value}
    columns = ("at", "phase", "key_id", "user", "model_served", "input_tokens", "output_tokens", "cost_usd", "outcome")
    write_list(list_all(client, "ledger", query, limit=limit), columns, is_json=is_json)


@command.command("export")
@config_option
@click.option("--from", "since", type=Moment(), help="The first day, or time.")
@click.option("--to", "until", type=Moment(), help="The end, which is not included.")
@click.option("--team", help="Only entries of a team, by its id or name.")
@click.option("--key", "key_id", metavar="ID", help="Only entries of a key.")
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl"]), help="By default that of the output's name.")
@click.option(
    "--output", default="-", help="A file, a folder that ends in /, s3://BUCKET/KEY, or - for standard output."
)
def export(
    since: datetime | None, until: datetime | None, team: str | None, key_id: str | None, kind: str | None, output: str
) -> None:
    """Write entries of the ledger as CSV or as JSON lines, compressed if the name ends in .gz."""
    refuse_empty({"team": team, "key_id": key_id})
    if since and until and until <= since:
        raise click.BadParameter("must be after --from: the time itself is not included", param_hint="--to")
    form = kind or ("csv" if output.removesuffix(".gz").endswith(".csv") else "jsonl")
    first, last = (f"{moment:%Y-%m-%d}" if moment else "" for moment in (since, until))
    name = f"ledger{f'-from-{first}' if first else ''}{f'-to-{last}' if last else ''}.{form}"
    with faults_end_the_start(), cleaning_up_on_sigterm():
        settings = settings_with_database()
        team_id = _team_id(settings, team) if team else ""
        count = asyncio.run(_export(settings, (since, until), (team_id, key_id or ""), form, (output, name)))
    if output != "-":
        click.echo(f"{count} entries were exported.", err=True)


def _team_id(settings: Settings, team: str) -> str:
    """Return the id of a team of the database by its id or name. Raises click.ClickException: there is none."""
    from app.cli.administration.database_client import DatabaseClient

    with DatabaseClient(settings) as client:
        return find_team(client, team)


async def _export(
    settings: Settings,
    times: tuple[datetime | None, datetime | None],
    ids: tuple[str, str],
    kind: str,
    target: tuple[str, str],
) -> int:
    from app.governance.ledger.export import LedgerFilter, as_document, read_entries, writer

    head, line_of = writer("csv" if kind == "csv" else "jsonl")
    count = 0
    async with opened_database(settings) as database:
        with open_output(*target) as out:
            out.write(head)
            async for entry in read_entries(database, LedgerFilter(*times, *ids)):
                out.write(line_of(as_document(entry)))
                count += 1
    return count


@command.command("verify")
@config_option
@click.option("--from", "since", type=Moment(), help="The first day. By default 35 days ago.")
@click.option("--rebuild", is_flag=True, help="Correct the sums of usage of the days that differ.")
def verify(since: datetime | None, rebuild: bool) -> None:
    """Compare the ledger with the sums of usage, and with the budgets of windows that began since then.

    Exit code 1 if something differs.
    """
    first = since or datetime.now(UTC) - timedelta(days=35)
    with faults_end_the_start():
        differs = asyncio.run(_verify(settings_with_database(), first, rebuilds=rebuild))
    raise SystemExit(1 if differs else 0)


async def _verify(settings: Settings, since: datetime, *, rebuilds: bool) -> bool:
    from app.governance.ledger import verification

    async with opened_database(settings) as database:
        found = await verification.verify(database, since)
        if rebuilds and found.usage:
            days = sorted({each.group["start"].replace(hour=0) for each in found.usage})
            for day in days:
                count = await verification.rebuild_usage(database, day)
                click.echo(f"{day:%Y-%m-%d}: {count} sums were corrected.")
            found = await verification.verify(database, since)
    if found.since is None:
        click.echo("The ledger has no entries.")
        return False
    for each in found.usage:
        group = " ".join(f"{name}={value}" for name, value in each.group.items())
        click.echo(f"{each.table} {group}: the ledger has {_more(each.missing)}")
    for balance in found.balances:
        click.echo(f"balance {balance.key}: settled {balance.settled} nano-dollars, the ledger has {balance.charged}")
    differences = len(found.usage) + len(found.balances)
    click.echo(f"{found.entries} entries of {found.days} days since {found.since:%Y-%m-%d}: {differences} differences.")
    return found.differs


def _more(missing: Mapping[str, int]) -> str:
    return ", ".join(f"{count:+} {name}" for name, count in missing.items())


@command.command("prune")
@config_option
def prune() -> None:
    """Delete old rows now. A gateway does so once an hour by itself."""
    with faults_end_the_start():
        deleted = asyncio.run(_prune(settings_with_database()))
    for name, count in deleted.items():
        click.echo(f"{name}: {count} rows were deleted.")
    if not deleted:
        click.echo("Nothing is old.")


async def _prune(settings: Settings) -> dict[str, int]:
    from app.governance.maintenance.retention import delete_old_rows

    async with opened_database(settings) as database:
        return await delete_old_rows(database, settings.ledger_retention_days)
